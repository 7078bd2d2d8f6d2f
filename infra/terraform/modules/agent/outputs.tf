output "bootstrap" {
  description = "What producers and readers connect to first."
  value       = "dns:///${local.host}:${var.port}"
}

output "bootstrap_host" {
  description = "The name in it, which a certificate has to be for."
  value       = local.host
}

output "ecs_cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "ecs_service" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.agent.name
}

output "task_definition_arn" {
  description = "The task definition that was deployed last."
  value       = aws_ecs_task_definition.agent.arn
}

output "environment" {
  description = "The agents' environment, without secrets."
  value       = local.environment
}
