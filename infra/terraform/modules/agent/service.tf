resource "aws_ecs_cluster" "this" {
  name = var.name

  setting { # what it would tell, the agents' own metrics do
    name  = "containerInsights"
    value = "disabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

locals {
  capacity = merge(
    var.spot_percent < 100 ? { FARGATE = { base = 1, weight = 100 - var.spot_percent } } : {},
    var.spot_percent > 0 ? { FARGATE_SPOT = { base = 0, weight = var.spot_percent } } : {},
  )
}

resource "aws_ecs_service" "agent" {
  name                          = "agent"
  cluster                       = aws_ecs_cluster.this.id
  task_definition               = aws_ecs_task_definition.agent.arn
  desired_count                 = var.desired_count
  propagate_tags                = "SERVICE"
  enable_ecs_managed_tags       = true
  availability_zone_rebalancing = "ENABLED"
  wait_for_steady_state         = var.wait
  force_new_deployment          = true # or another capacity mix would replace the service

  dynamic "capacity_provider_strategy" {
    for_each = local.capacity
    content {
      capacity_provider = capacity_provider_strategy.key
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.agents.arn
  }

  # None is missing while a new one starts, and one extra runs at a time, at the
  # size that the service begins with: each hand-over moves partitions.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 100 + ceil(100 / var.desired_count)

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  lifecycle {
    ignore_changes = [desired_count] # autoscaling's
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}
