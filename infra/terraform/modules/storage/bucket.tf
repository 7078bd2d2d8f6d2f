data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  express = var.express_zone_id != null
}

resource "aws_s3_bucket" "segments" {
  count = local.express ? 0 : 1

  bucket        = "${var.name}-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.name}"
  force_destroy = !var.protect_data
}

resource "aws_s3_bucket_public_access_block" "segments" {
  count = local.express ? 0 : 1

  bucket                  = aws_s3_bucket.segments[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "segments" {
  count = local.express ? 0 : 1

  bucket = aws_s3_bucket.segments[0].id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "segments" {
  count = local.express ? 0 : 1

  bucket = aws_s3_bucket.segments[0].id
  rule {
    bucket_key_enabled = var.kms_key_arn != null # one call to KMS for many objects
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# The only rule. Segments never expire by age: a row may name them for ever.
resource "aws_s3_bucket_lifecycle_configuration" "segments" {
  count = local.express ? 0 : 1

  bucket = aws_s3_bucket.segments[0].id
  rule {
    id     = "abort-stray-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

data "aws_iam_policy_document" "segments" {
  count = local.express ? 0 : 1

  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.segments[0].arn, "${aws_s3_bucket.segments[0].arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "segments" {
  count = local.express ? 0 : 1

  bucket = aws_s3_bucket.segments[0].id
  policy = data.aws_iam_policy_document.segments[0].json

  depends_on = [aws_s3_bucket_public_access_block.segments] # S3 refuses both at a time
}
