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
