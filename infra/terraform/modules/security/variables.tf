variable "name" {
  description = "Name of the cluster, for the names of what is created."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "The VPC that the agents run in."
  type        = string
  nullable    = false
}

variable "port" {
  description = "Port of the agents."
  type        = number
  default     = 7070
  nullable    = false

  validation {
    condition     = var.port >= 1024 && var.port <= 65535 && floor(var.port) == var.port
    error_message = "Use a port from 1024 to 65535: the agent does not run as root."
  }

  validation {
    # STREAMHOUSE_HTTP_LISTEN of the image.
    condition     = var.port != 9464
    error_message = "Use another port than 9464: the agent's health checks and metrics are there."
  }
}

variable "client_security_group_ids" {
  description = "Security groups whose members may connect to the agents, besides the one that is made here for clients to join."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.client_security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "Give ids of security groups, as sg-0123456789abcdef0. Addresses are not taken: clients are let in by group."
  }
}

variable "bucket_arn" {
  description = "ARN of the bucket of the segments."
  type        = string
  nullable    = false
}

variable "express" {
  description = "Whether it is a directory bucket, which has one permission for everything."
  type        = bool
  default     = false
  nullable    = false
}

variable "table_arns" {
  description = "ARNs of the tables, by the kind of rows."
  type        = map(string)
  nullable    = false
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the segments."
  type        = string
  default     = null
}

variable "log_group_arn" {
  description = "ARN of the log group of the agents."
  type        = string
  nullable    = false
}

variable "repository_arn" {
  description = "ARN of the repository that the image is pulled from. Without one, the image is not in ECR."
  type        = string
  default     = null
}

variable "tls_secret_arn" {
  description = "ARN of the secret with the agents' certificate and key."
  type        = string
  default     = null

  validation {
    condition     = var.tls_secret_arn == null || can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$", var.tls_secret_arn))
    error_message = "Give the ARN of a secret in Secrets Manager, as arn:aws:secretsmanager:eu-central-1:123456789012:secret:streamhouse-tls-AbCdEf."
  }
}

variable "tls_kms_key_arn" {
  description = "KMS key of that secret, where it is not AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.tls_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.tls_kms_key_arn))
    error_message = "Give the ARN of a key, as arn:aws:kms:eu-central-1:123456789012:key/1234abcd-…: a permission to decrypt names the key and no alias."
  }

  validation {
    condition     = var.tls_kms_key_arn == null || var.tls_secret_arn != null
    error_message = "Give tls_secret_arn as well, or leave tls_kms_key_arn out: it is the key of that secret."
  }
}
