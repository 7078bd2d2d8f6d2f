output "bucket" {
  description = "Name of the bucket that keeps the segments."
  value       = local.express ? aws_s3_directory_bucket.segments[0].bucket : aws_s3_bucket.segments[0].bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = local.express ? aws_s3_directory_bucket.segments[0].arn : aws_s3_bucket.segments[0].arn
}

output "table_prefix" {
  description = "What the tables' names begin with, before a hyphen."
  value       = var.name
}

output "table_arns" {
  description = "ARNs of the tables, by the kind of rows."
  value       = { for kind, table in aws_dynamodb_table.rows : kind => table.arn }
}
