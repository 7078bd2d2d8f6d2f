# A cluster in a VPC that is there, with TLS, a key of your own for the
# segments, and alarms that go to a topic. Applications keep their security
# group.
provider "aws" {
  region = "eu-central-1"
}

variable "image" {
  description = "The agent's image by digest; `task deploy` prints it."
  type        = string
}

variable "vpc_id" {
  description = "The VPC. It has gateway endpoints for S3 and DynamoDB."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones, with a way to ECR, CloudWatch Logs and Secrets Manager."
  type        = list(string)
}

variable "application_security_group_id" {
  description = "Security group of the applications that produce and read."
  type        = string
}

variable "tls_secret_arn" {
  description = "Secret with the texts `cert` and `key`."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the segments."
  type        = string
}

variable "pager_topic_arn" {
  description = "SNS topic that alarms go to."
  type        = string
}

module "streamhouse" {
  source = "../../modules/stack"

  image                     = var.image
  vpc                       = { id = var.vpc_id, subnet_ids = var.subnet_ids }
  client_security_group_ids = [var.application_security_group_id]
  tls_secret_arn            = var.tls_secret_arn
  kms_key_arn               = var.kms_key_arn
  alarm_actions             = [var.pager_topic_arn]

  min_tasks    = 3
  max_tasks    = 12
  cpu          = 2048
  memory       = 4096
  buffer_bytes = 1024 * 1024 * 1024
}

output "bootstrap" {
  description = "What producers and readers connect to first."
  value       = module.streamhouse.bootstrap
}
