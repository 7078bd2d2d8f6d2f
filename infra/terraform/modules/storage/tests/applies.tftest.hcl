# What is created.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "events"
}

run "defaults" {
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.rows : table.deletion_protection_enabled && table.point_in_time_recovery[0].enabled && table.billing_mode == "PAY_PER_REQUEST"])
    error_message = "A table can be deleted, cannot be restored, or has a capacity that can be exceeded."
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.rows : length([for ttl in table.ttl : ttl if try(ttl.enabled, false)]) == 0])
    error_message = "A clock would delete rows."
  }
  assert {
    condition     = aws_dynamodb_table.rows["journal"].hash_key == "session" && aws_dynamodb_table.rows["journal"].range_key == "seq" && length(aws_dynamodb_table.rows) == 8
    error_message = "The tables are not those of the agent."
  }
  assert {
    condition     = aws_s3_bucket.segments[0].bucket == "events-123456789012-eu-central-1" && !aws_s3_bucket.segments[0].force_destroy
    error_message = "The bucket is not named after the cluster, or can be deleted with its objects."
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.segments[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "Without a key, S3's own encryption is expected."
  }
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.segments[0].rule : length(rule.expiration) == 0 && length(rule.noncurrent_version_expiration) == 0 && length(rule.transition) == 0])
    error_message = "A rule would delete or move segments."
  }
  assert {
    condition     = one(one(aws_s3_bucket_lifecycle_configuration.segments[0].rule).abort_incomplete_multipart_upload).days_after_initiation == 2
    error_message = "Stray multipart uploads would be billed for ever."
  }
  assert {
    condition     = alltrue([for on in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] : aws_s3_bucket_public_access_block.segments[0][on]])
    error_message = "The bucket could be made public."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.segments[0].statement).effect == "Deny" && one(one(data.aws_iam_policy_document.segments[0].statement).condition).variable == "aws:SecureTransport"
    error_message = "The bucket would take requests without TLS."
  }
}

run "a_key" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.segments[0].rule).bucket_key_enabled
    error_message = "Each object would ask KMS."
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.segments[0].rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    error_message = "The key is not used."
  }
}

run "unprotected" {
  variables {
    protect_data = false
  }
  assert {
    condition     = aws_s3_bucket.segments[0].force_destroy && alltrue([for table in aws_dynamodb_table.rows : !table.deletion_protection_enabled])
    error_message = "The cluster could not be destroyed."
  }
}

run "express" {
  variables {
    express_zone_id = "use1-az4"
  }
  assert {
    condition     = output.bucket == "events-123456789012--use1-az4--x-s3" && length(aws_s3_bucket.segments) == 0
    error_message = "There is no directory bucket, or another one as well."
  }
}
