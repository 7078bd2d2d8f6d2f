# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "events"
  ecs_cluster = "events"
  ecs_service = "agent"
  min_tasks   = 3
  max_tasks   = 9
}

run "no_task" {
  command = plan
  variables {
    min_tasks = 0
  }
  expect_failures = [var.min_tasks]
}

run "fewer_at_most_than_at_least" {
  command = plan
  variables {
    max_tasks = 2
  }
  expect_failures = [var.max_tasks]
}

run "all_cpu" {
  command = plan
  variables {
    cpu_percent = 100
  }
  expect_failures = [var.cpu_percent]
}

run "hardly_a_byte" {
  command = plan
  variables {
    bytes_per_second = 100
  }
  expect_failures = [var.bytes_per_second]
}
