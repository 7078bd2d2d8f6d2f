# What a validation refuses; the stack's own tests have those of its variables.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "a_zone_for_a_region" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}
