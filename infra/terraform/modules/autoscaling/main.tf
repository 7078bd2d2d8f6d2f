resource "aws_appautoscaling_target" "agents" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.ecs_cluster}/${var.ecs_service}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
}

# Out when either wants it, in when both allow it. A task that goes gets
# SIGTERM and gives its partitions away before it ends.
resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.agents.service_namespace
  scalable_dimension = aws_appautoscaling_target.agents.scalable_dimension
  resource_id        = aws_appautoscaling_target.agents.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.cpu_percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

# Every agent reports its bytes once a minute, so their average is what one
# agent took in a minute.
resource "aws_appautoscaling_policy" "bytes" {
  name               = "${var.name}-bytes"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.agents.service_namespace
  scalable_dimension = aws_appautoscaling_target.agents.scalable_dimension
  resource_id        = aws_appautoscaling_target.agents.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.bytes_per_second * 60
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    customized_metric_specification {
      namespace   = "StreamHouse"
      metric_name = "BytesIn"
      statistic   = "Average"
      dimensions {
        name  = "Cluster"
        value = var.name
      }
    }
  }
}
