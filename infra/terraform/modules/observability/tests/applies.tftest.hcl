# What is watched.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name      = "events"
  min_tasks = 3
}

run "defaults" {
  variables {
    alarm_actions = ["arn:aws:sns:eu-central-1:123456789012:pager"]
  }
  assert {
    condition     = aws_cloudwatch_log_group.agents.retention_in_days == 30
    error_message = "Logs are kept for ever."
  }
  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.agents), [aws_cloudwatch_metric_alarm.missing_agents]) : alarm.alarm_actions == toset(var.alarm_actions) && alarm.dimensions.Cluster == "events" && alarm.namespace == "StreamHouse"])
    error_message = "An alarm watches something else, or tells nobody."
  }
  assert {
    # Three agents make 15 samples in 5 minutes, two make 10.
    condition     = aws_cloudwatch_metric_alarm.missing_agents.threshold > 10 && aws_cloudwatch_metric_alarm.missing_agents.threshold < 15
    error_message = "A missing agent would not be noticed."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 8
    error_message = "A chart is missing."
  }
}
