# What is followed.
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

run "defaults" {
  assert {
    condition     = aws_appautoscaling_target.agents.resource_id == "service/events/agent"
    error_message = "Another service would be scaled."
  }
  assert {
    # 20 MiB a second, in bytes a minute
    condition     = aws_appautoscaling_policy.bytes.target_tracking_scaling_policy_configuration[0].target_value == 1258291200
    error_message = "The agents report once a minute."
  }
  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].target_value == 60 && aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ECSServiceAverageCPUUtilization"
    error_message = "CPU is not followed."
  }
  assert {
    condition     = one(aws_appautoscaling_policy.bytes.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].dimensions).value == var.name
    error_message = "Another cluster's bytes would be followed."
  }
}
