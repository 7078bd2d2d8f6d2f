output "bootstrap" {
  description = "What producers and readers connect to first."
  value       = module.stack.bootstrap
}

output "producer_snippet" {
  description = "Go code that writes a record."
  value       = module.stack.producer_snippet
}

output "client_security_group_id" {
  description = "Security group that clients join to reach the agents."
  value       = module.stack.client_security_group_id
}

output "agent_security_group_id" {
  description = "Security group of the agents."
  value       = module.stack.agent_security_group_id
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = module.stack.dashboard_url
}

output "monthly_fixed_cost" {
  description = "US dollars a month before the first record, with the arithmetic. us-east-1 list prices."
  value       = module.stack.monthly_fixed_cost
}

output "vpc_id" {
  description = "The VPC that the agents run in."
  value       = module.stack.vpc_id
}

output "subnet_ids" {
  description = "The subnets that the agents run in."
  value       = module.stack.subnet_ids
}

output "bucket" {
  description = "Name of the bucket that keeps the segments."
  value       = module.stack.bucket
}

output "table_prefix" {
  description = "What the tables' names begin with."
  value       = module.stack.table_prefix
}

output "task_role" {
  description = "Name of the agents' role."
  value       = module.stack.task_role
}

output "ecs_cluster" {
  description = "Name of the ECS cluster."
  value       = module.stack.ecs_cluster
}

output "ecs_service" {
  description = "Name of the ECS service."
  value       = module.stack.ecs_service
}

output "log_group" {
  description = "Log group of the agents."
  value       = module.stack.log_group
}

output "task_definition_arn" {
  description = "The task definition that was deployed last."
  value       = module.stack.task_definition_arn
}

output "data_is_protected" {
  description = "Whether the log is kept from being deleted."
  value       = module.stack.data_is_protected
}
