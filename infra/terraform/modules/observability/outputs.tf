output "log_group_name" {
  description = "Log group of the agents."
  value       = aws_cloudwatch_log_group.agents.name
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = aws_cloudwatch_log_group.agents.arn
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = "https://${data.aws_region.current.name}.console.aws.amazon.com/cloudwatch/home?region=${data.aws_region.current.name}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "alarm_count" {
  description = "Alarms, which are billed each."
  value       = length(aws_cloudwatch_metric_alarm.agents) + 1
}
