# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "the_name_of_a_vpc" {
  command = plan
  variables {
    vpc = { id = "default", subnet_ids = ["subnet-0a", "subnet-0b"] }
  }
  expect_failures = [var.vpc]
}

run "the_names_of_subnets" {
  command = plan
  variables {
    vpc = { id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0a", "private-b"] }
  }
  expect_failures = [var.vpc]
}
