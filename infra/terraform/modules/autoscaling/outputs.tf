output "resource_id" {
  description = "What Application Auto Scaling calls the service."
  value       = aws_appautoscaling_target.agents.resource_id
}
