# A directory bucket never has public access, speaks TLS only, and is encrypted
# with S3's own keys; nothing of that can be switched off.
resource "aws_s3_directory_bucket" "segments" {
  count = local.express ? 1 : 0

  bucket        = "${var.name}-${data.aws_caller_identity.current.account_id}--${var.express_zone_id}--x-s3"
  force_destroy = !var.protect_data

  location {
    name = var.express_zone_id
  }
}
