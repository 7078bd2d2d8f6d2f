variable "name" {
  description = "Name of the cluster, under which the agents report their metrics."
  type        = string
  nullable    = false
}

variable "ecs_cluster" {
  description = "Name of the ECS cluster."
  type        = string
  nullable    = false
}

variable "ecs_service" {
  description = "Name of the ECS service."
  type        = string
  nullable    = false
}

variable "min_tasks" {
  description = "Fewest agents."
  type        = number
  nullable    = false

  validation {
    condition     = var.min_tasks >= 1 && floor(var.min_tasks) == var.min_tasks
    error_message = "Keep at least one task; with three, the loss of one leaves two to share its partitions."
  }
}

variable "max_tasks" {
  description = "Most agents."
  type        = number
  nullable    = false

  validation {
    condition     = var.max_tasks >= var.min_tasks && floor(var.max_tasks) == var.max_tasks
    error_message = "Give max_tasks at least as many as min_tasks; the same number switches autoscaling off in effect."
  }
}

variable "cpu_percent" {
  description = "CPU that the agents are kept at, on average, in percent."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.cpu_percent >= 10 && var.cpu_percent <= 90
    error_message = "Give a target from 10 to 90 percent: above it, an agent has no room for the partitions of one that leaves."
  }
}

variable "bytes_per_second" {
  description = "Bytes a second that each agent is kept at, on average."
  type        = number
  default     = 20971520
  nullable    = false

  validation {
    condition     = var.bytes_per_second >= 65536
    error_message = "Give at least 65536 bytes a second for an agent."
  }
}
