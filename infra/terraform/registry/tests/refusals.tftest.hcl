# What a validation refuses.
mock_provider "aws" {
  source = "../mocks"
}

run "a_name_in_capitals" {
  command = plan
  variables {
    name = "Agent"
  }
  expect_failures = [var.name]
}

run "too_few_images" {
  command = plan
  variables {
    keep_images = 2
  }
  expect_failures = [var.keep_images]
}

run "a_zone_for_a_region" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}
