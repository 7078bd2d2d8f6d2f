# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "events"
}

run "a_name_in_capitals" {
  command = plan
  variables {
    name = "Events"
  }
  expect_failures = [var.name]
}

run "a_name_with_two_hyphens" {
  command = plan
  variables {
    name = "my--events"
  }
  expect_failures = [var.name]
}

run "a_name_that_is_too_long" {
  command = plan
  variables {
    name = "a-name-of-twenty-five-let"
  }
  expect_failures = [var.name]
}

run "the_alias_of_a_key" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/log"
  }
  expect_failures = [var.kms_key_arn]
}

run "a_key_for_a_directory_bucket" {
  command = plan
  variables {
    kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/1"
    express_zone_id = "use1-az4"
  }
  expect_failures = [var.kms_key_arn]
}

run "the_name_of_a_zone" {
  command = plan
  variables {
    express_zone_id = "us-east-1a"
  }
  expect_failures = [var.express_zone_id]
}
