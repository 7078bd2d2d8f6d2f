variable "name" {
  description = "Name of the cluster, under which the agents report their metrics."
  type        = string
  nullable    = false
}

variable "log_retention_days" {
  description = "How long the agents' logs are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "Keep logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or more days, as CloudWatch offers; for ever is not offered here."
  }
}

variable "alarm_actions" {
  description = "ARNs of what an alarm tells, as SNS topics. Without any, alarms only show in the console."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.alarm_actions : startswith(arn, "arn:")])
    error_message = "Give ARNs, as arn:aws:sns:eu-central-1:123456789012:pager, not addresses: subscribe those to the topic."
  }
}

variable "min_tasks" {
  description = "Fewest agents that should run."
  type        = number
  nullable    = false
}

variable "ack_p99_ms" {
  description = "Milliseconds within which 99 of 100 batches should be acknowledged."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.ack_p99_ms >= 10
    error_message = "Give at least 10 ms: an acknowledgement waits for a write to S3 and one to DynamoDB."
  }
}
