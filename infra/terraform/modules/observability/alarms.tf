locals {
  alarms = {
    partitions-without-owner = {
      description = "Partitions have had no owner for 3 minutes: producers of them wait. Look whether agents start and can reach DynamoDB."
      metric      = "PartitionsWithoutOwner", statistic = "Maximum", above = 0, minutes = 3
    }
    commit-failures = {
      description = "Writes of journal rows have failed in each of 5 minutes. They are tried again, and nothing is lost; look at the log and at DynamoDB's health."
      metric      = "StoreErrors_commit", statistic = "Sum", above = 0, minutes = 5
    }
    put-failures = {
      description = "Writes of segments have failed in each of 5 minutes. They are tried again, and nothing is lost; look at the log and at S3's health."
      metric      = "StoreErrors_put", statistic = "Sum", above = 0, minutes = 5
    }
    throttling = {
      description = "S3 or DynamoDB has asked to slow down in each of 5 minutes. Both grow by themselves; if it lasts, look at the account's table quotas."
      metric      = "ThrottledRequests", statistic = "Sum", above = 0, minutes = 5
    }
    ack-p99 = {
      description = "1 of 100 batches has waited more than ${var.ack_p99_ms} ms for its acknowledgement, for 5 minutes."
      metric      = "AckLatency", statistic = "p99", above = var.ack_p99_ms, minutes = 5
    }
    buffer-full = {
      description = "An agent's buffers have been more than 90 % full for 3 minutes: it refuses producers. Look at PutLatency, and add tasks or buffer_bytes."
      metric      = "BufferUsed", statistic = "Maximum", above = 90, minutes = 3
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "agents" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = local.namespace
  metric_name         = each.value.metric
  dimensions          = local.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.minutes
  datapoints_to_alarm = each.value.minutes
  treat_missing_data  = "notBreaching" # whether agents report is the alarm below
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# Every agent reports each gauge once a minute, so the number of samples in 5
# minutes is 5 for each that runs. ECS tells how many it wants only through
# Container Insights, which is billed; autoscaling wants min_tasks at least.
resource "aws_cloudwatch_metric_alarm" "missing_agents" {
  alarm_name          = "${var.name}-missing-agents"
  alarm_description   = "Fewer than ${var.min_tasks} agents have reported for 10 minutes. Look at the service's events and at the stopped tasks' reasons."
  namespace           = local.namespace
  metric_name         = "Leases"
  dimensions          = local.dimensions
  statistic           = "SampleCount"
  comparison_operator = "LessThanThreshold"
  threshold           = 5 * var.min_tasks - 2
  period              = 300
  evaluation_periods  = 2
  datapoints_to_alarm = 2
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
