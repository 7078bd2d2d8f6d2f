# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name          = "events"
  vpc_id        = "vpc-0123456789abcdef0"
  bucket_arn    = "arn:aws:s3:::events"
  table_arns    = { journal = "arn:aws:dynamodb:eu-central-1:123456789012:table/events-journal" }
  log_group_arn = "arn:aws:logs:eu-central-1:123456789012:log-group:events"
}

run "a_port_for_root" {
  command = plan
  variables {
    port = 443
  }
  expect_failures = [var.port]
}

run "the_port_of_the_health_checks" {
  command = plan
  variables {
    port = 9464
  }
  expect_failures = [var.port]
}

run "an_address_for_a_group" {
  command = plan
  variables {
    client_security_group_ids = ["10.0.0.0/8"]
  }
  expect_failures = [var.client_security_group_ids]
}

run "the_name_of_a_secret" {
  command = plan
  variables {
    tls_secret_arn = "streamhouse-tls"
  }
  expect_failures = [var.tls_secret_arn]
}

run "an_alias_of_a_key" {
  command = plan
  variables {
    tls_secret_arn  = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf"
    tls_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/streamhouse"
  }
  expect_failures = [var.tls_kms_key_arn]
}

run "a_key_without_a_secret" {
  command = plan
  variables {
    tls_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  expect_failures = [var.tls_kms_key_arn]
}
