output "repository_url" {
  description = "Where the image is pushed."
  value       = aws_ecr_repository.agent.repository_url
}

output "repository_name" {
  description = "Name of the repository."
  value       = aws_ecr_repository.agent.name
}
