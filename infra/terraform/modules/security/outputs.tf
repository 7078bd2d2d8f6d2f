output "task_role_arn" {
  description = "Role of the agents."
  value       = aws_iam_role.task.arn
  # A task that starts before its role has the policy would find its stores closed.
  depends_on = [aws_iam_role_policy.task]
}

output "task_role_name" {
  description = "Name of the agents' role."
  value       = aws_iam_role.task.name
}

output "execution_role_arn" {
  description = "Role with which ECS starts a task."
  value       = aws_iam_role.execution.arn
  depends_on  = [aws_iam_role_policy.execution]
}

output "agent_security_group_id" {
  description = "Security group of the agents."
  value       = aws_security_group.agents.id
}

output "client_security_group_id" {
  description = "Security group that clients join."
  value       = aws_security_group.clients.id
}
