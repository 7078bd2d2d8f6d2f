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
