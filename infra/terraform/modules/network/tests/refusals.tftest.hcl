# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "events"
}

run "a_range_that_is_too_small" {
  command = plan
  variables {
    cidr = "10.0.0.0/26"
  }
  expect_failures = [var.cidr]
}

run "no_range" {
  command = plan
  variables {
    cidr = "10.0.0.0"
  }
  expect_failures = [var.cidr]
}

run "one_zone" {
  command = plan
  variables {
    zones = 1
  }
  expect_failures = [var.zones]
}

run "a_services_full_name" {
  command = plan
  variables {
    interface_endpoints = ["com.amazonaws.eu-central-1.logs"]
  }
  expect_failures = [var.interface_endpoints]
}
