# What runs.
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

run "defaults" {
  assert {
    condition     = jsondecode(aws_ecs_task_definition.agent.container_definitions)[0].healthCheck.command == ["CMD", "/streamhouse-agent", "health"]
    error_message = "The health check needs a shell, which the image lacks."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.agent.container_definitions)[0].stopTimeout == 120 && output.environment.STREAMHOUSE_DRAIN_TIMEOUT == "100s"
    error_message = "A drain would not end before ECS kills the task."
  }
  assert {
    condition     = aws_ecs_task_definition.agent.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "The default is arm64."
  }
  assert {
    condition     = aws_ecs_service.agent.deployment_maximum_percent == 134 && aws_ecs_service.agent.deployment_minimum_healthy_percent == 100
    error_message = "Of three tasks, one extra is expected in a deployment, and none missing."
  }
  assert {
    condition     = !aws_ecs_service.agent.network_configuration[0].assign_public_ip && aws_ecs_service.agent.availability_zone_rebalancing == "ENABLED"
    error_message = "A task has a public address, or zones are not balanced."
  }
  assert {
    condition     = aws_ecs_service.agent.deployment_circuit_breaker[0].enable && aws_ecs_service.agent.deployment_circuit_breaker[0].rollback
    error_message = "A deployment that fails would go on."
  }
  assert {
    condition     = [for strategy in aws_ecs_service.agent.capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE"]
    error_message = "Without a share of Spot there is none."
  }
  assert {
    condition     = one(aws_service_discovery_service.agents.dns_config[0].dns_records).type == "A" && one(aws_service_discovery_service.agents.dns_config[0].dns_records).ttl == 10 && aws_service_discovery_service.agents.dns_config[0].routing_policy == "MULTIVALUE"
    error_message = "Clients would not find all agents."
  }
  assert {
    condition     = output.bootstrap == "dns:///agents.events.internal:7070"
    error_message = "The bootstrap target is wrong."
  }
  assert {
    condition     = output.environment.STREAMHOUSE_INSECURE == "true" && length(jsondecode(aws_ecs_task_definition.agent.container_definitions)[0].secrets) == 0
    error_message = "Without a certificate, the agent has to be told that plaintext is meant."
  }
}

run "a_size_is_only_the_first" {
  variables {
    desired_count = 5
  }
  assert {
    condition     = aws_ecs_service.agent.desired_count == 3
    error_message = "An apply would undo what autoscaling decided."
  }
}

run "tls" {
  variables {
    tls_secret_arn  = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf"
    tls_client_auth = true
    architecture    = "amd64"
  }
  assert {
    condition     = !contains(keys(output.environment), "STREAMHOUSE_INSECURE")
    error_message = "With a certificate, plaintext is not allowed."
  }
  assert {
    condition = { for secret in jsondecode(aws_ecs_task_definition.agent.container_definitions)[0].secrets : secret.name => secret.valueFrom } == {
      STREAMHOUSE_TLS_CERT_PEM      = "${var.tls_secret_arn}:cert::"
      STREAMHOUSE_TLS_KEY_PEM       = "${var.tls_secret_arn}:key::"
      STREAMHOUSE_TLS_CLIENT_CA_PEM = "${var.tls_secret_arn}:client_ca::"
    }
    error_message = "The secret's texts do not reach the agent."
  }
  assert {
    condition     = aws_ecs_task_definition.agent.runtime_platform[0].cpu_architecture == "X86_64"
    error_message = "The processor is not the image's."
  }
}

run "mostly_spot" {
  variables {
    spot_percent = 75
  }
  assert {
    condition     = { for strategy in aws_ecs_service.agent.capacity_provider_strategy : strategy.capacity_provider => [strategy.base, strategy.weight] } == { FARGATE = [1, 25], FARGATE_SPOT = [0, 75] }
    error_message = "Three of four tasks should be on Spot, and never the first."
  }
}

run "only_spot" {
  variables {
    spot_percent = 100
  }
  assert {
    condition     = [for strategy in aws_ecs_service.agent.capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE_SPOT"]
    error_message = "All tasks should be on Spot."
  }
}

run "other_vpcs" {
  variables {
    bootstrap_vpc_ids = ["vpc-0aaa", "vpc-0bbb"]
  }
  assert {
    condition     = length(aws_route53_zone_association.clients) == 2
    error_message = "The name does not resolve where clients are."
  }
}
