# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name      = "events"
  min_tasks = 3
}

run "a_retention_that_cloudwatch_lacks" {
  command = plan
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}

run "logs_for_ever" {
  command = plan
  variables {
    log_retention_days = 0
  }
  expect_failures = [var.log_retention_days]
}

run "an_address_for_a_topic" {
  command = plan
  variables {
    alarm_actions = ["pager@example.com"]
  }
  expect_failures = [var.alarm_actions]
}

run "faster_than_s3" {
  command = plan
  variables {
    ack_p99_ms = 5
  }
  expect_failures = [var.ack_p99_ms]
}
