# What a validation refuses.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "events"
  image              = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  vpc_id             = "vpc-0123456789abcdef0"
  subnet_ids         = ["subnet-0a", "subnet-0b", "subnet-0c"]
  security_group_id  = "sg-0123456789abcdef0"
  bucket             = "events-123456789012-eu-central-1"
  table_prefix       = "events"
  task_role_arn      = "arn:aws:iam::123456789012:role/task"
  execution_role_arn = "arn:aws:iam::123456789012:role/execution"
  log_group_name     = "/streamhouse/events"
}

run "an_image_by_tag" {
  command = plan
  variables {
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent:latest"
  }
  expect_failures = [var.image]
}

run "an_unknown_processor" {
  command = plan
  variables {
    architecture = "x86"
  }
  expect_failures = [var.architecture]
}

run "a_size_that_fargate_lacks" {
  command = plan
  variables {
    cpu = 1000
  }
  expect_failures = [var.cpu]
}

run "memory_that_does_not_go_with_the_cpu" {
  command = plan
  variables {
    memory = 16384
  }
  expect_failures = [var.memory]
}

run "buffers_for_less_than_two_batches" {
  command = plan
  variables {
    buffer_bytes = 1000000
  }
  expect_failures = [var.buffer_bytes]
}

run "buffers_that_do_not_fit" {
  command = plan
  variables {
    buffer_bytes = 2000000000
  }
  expect_failures = [var.buffer_bytes]
}

run "no_room_for_compaction" {
  command = plan
  variables {
    cpu          = 256
    memory       = 512
    buffer_bytes = 268435456
  }
  expect_failures = [var.buffer_bytes]
}

run "no_cache" {
  command = plan
  variables {
    cache_bytes = 0
  }
  expect_failures = [var.cache_bytes]
}

run "no_task" {
  command = plan
  variables {
    desired_count = 0
  }
  expect_failures = [var.desired_count]
}

run "more_spot_than_all" {
  command = plan
  variables {
    spot_percent = 101
  }
  expect_failures = [var.spot_percent]
}

run "one_subnet" {
  command = plan
  variables {
    subnet_ids = ["subnet-0a"]
  }
  expect_failures = [var.subnet_ids]
}

run "the_name_of_a_vpc" {
  command = plan
  variables {
    bootstrap_vpc_ids = ["applications"]
  }
  expect_failures = [var.bootstrap_vpc_ids]
}

run "certificates_of_clients_without_own" {
  command = plan
  variables {
    tls_client_auth = true
  }
  expect_failures = [var.tls_client_auth]
}

run "an_unknown_level" {
  command = plan
  variables {
    log_level = "trace"
  }
  expect_failures = [var.log_level]
}

run "a_negative_ceiling" {
  command = plan
  variables {
    flush_max_per_second = -1
  }
  expect_failures = [var.flush_max_per_second]
}
