# The whole stack against a stand-in for AWS on this machine, which
# AWS_ENDPOINT_URL names. `task test-apply` starts one and applies this; no
# container runs, and nothing of it is a statement about AWS itself.
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  max_retries                 = 2
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

variable "min_tasks" {
  description = "Fewest agents."
  type        = number
  default     = 3
}

variable "protect_data" {
  description = "Whether the log is kept from being deleted."
  type        = bool
  default     = true
}

variable "tls_secret_arn" {
  description = "Secret with the agents' certificate and key."
  type        = string
  default     = null
}

module "streamhouse" {
  source = "../../modules/stack"

  image          = "123456789012.dkr.ecr.us-east-1.amazonaws.com/streamhouse-agent@sha256:${sha256("local")}"
  min_tasks      = var.min_tasks
  protect_data   = var.protect_data
  tls_secret_arn = var.tls_secret_arn
  wait           = false # no task ever runs
}

output "stack" {
  description = "All outputs of the stack."
  value       = module.streamhouse
}
