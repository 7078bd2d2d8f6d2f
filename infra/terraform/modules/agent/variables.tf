variable "name" {
  description = "Name of the cluster, under which metrics are reported too."
  type        = string
  nullable    = false
}

variable "image" {
  description = "The agent's image by digest, as `123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent@sha256:…`. `task deploy` builds, pushes and passes it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Give the image by its digest, as registry/repository@sha256:<64 hexadecimal digits>: a tag may come to stand for something else between two tasks. `task deploy` does it for you."
  }
}

variable "architecture" {
  description = "Processor that the image is for: `arm64`, which costs a fifth less, or `amd64`."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "amd64"], var.architecture)
    error_message = "Use arm64 or amd64, and an image that was built for it."
  }
}

variable "cpu" {
  description = "CPU units of a task; 1024 are one vCPU."
  type        = number
  default     = 1024
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "Use 256, 512, 1024, 2048, 4096, 8192 or 16384 CPU units: Fargate has no others."
  }
}

variable "memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 2048
  nullable    = false

  validation {
    # Smallest, largest and step for each size of CPU.
    condition = try(contains({
      256   = [512, 1024, 2048]
      512   = range(1024, 4097, 1024)
      1024  = range(2048, 8193, 1024)
      2048  = range(4096, 16385, 1024)
      4096  = range(8192, 30721, 1024)
      8192  = range(16384, 61441, 4096)
      16384 = range(32768, 122881, 8192)
    }[var.cpu], var.memory), false)
    error_message = "Fargate has no task of this cpu and memory. With 1024 CPU units it has 2048 to 8192 MiB in steps of 1024; with 512, 1024 to 4096; with 2048, 4096 to 16384."
  }
}

variable "buffer_bytes" {
  description = "Memory for batches that are not committed yet, in bytes. Beyond it, producers are told to wait."
  type        = number
  default     = 268435456
  nullable    = false

  validation {
    condition     = var.buffer_bytes >= 16777216 && floor(var.buffer_bytes) == var.buffer_bytes
    error_message = "Give the buffers at least 16777216 bytes (16 MiB): one batch may take 15."
  }

  validation {
    # Compaction takes 128 MiB besides, all else 128, and Go some room to work in.
    condition     = var.buffer_bytes + var.cache_bytes + 268435456 <= var.memory * 1048576 * 0.9
    error_message = "Raise memory or lower buffer_bytes and cache_bytes: both and 256 MiB for the rest have to fit into nine tenths of the task's memory."
  }
}

variable "cache_bytes" {
  description = "Memory for what readers ask for, in bytes."
  type        = number
  default     = 67108864
  nullable    = false

  validation {
    condition     = var.cache_bytes >= 1048576 && floor(var.cache_bytes) == var.cache_bytes
    error_message = "Give the cache at least 1048576 bytes (1 MiB)."
  }
}

variable "flush_max_per_second" {
  description = "Flushes of less than 4 MiB that an agent makes in a second at most. Each is a PUT and a write to DynamoDB: fewer cost less and let batches wait longer. 0 is no ceiling."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.flush_max_per_second >= 0 && var.flush_max_per_second <= 1000
    error_message = "Give 1 to 1000 flushes a second, or 0 for no ceiling: docs/deploy.md has what they cost."
  }
}

variable "desired_count" {
  description = "Tasks that are started first. Autoscaling decides afterwards."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.desired_count >= 1 && floor(var.desired_count) == var.desired_count
    error_message = "Start at least one task."
  }
}

variable "spot_percent" {
  description = "Share of the tasks, in percent, that run on Fargate Spot for about a third of the price. AWS takes them back with two minutes' notice, in which they drain; each time their partitions change owners. The first task is never one, unless it is 100."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.spot_percent >= 0 && var.spot_percent <= 100 && floor(var.spot_percent) == var.spot_percent
    error_message = "Give a whole number of percents from 0 to 100."
  }
}

variable "vpc_id" {
  description = "The VPC that the agents run in."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Private subnets for the tasks, in at least two zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "Give subnets in at least two zones, so that the cluster outlives one of them."
  }
}

variable "security_group_id" {
  description = "Security group of the agents."
  type        = string
  nullable    = false
}

variable "bootstrap_vpc_ids" {
  description = "Further VPCs in which the bootstrap name resolves, of this account and peered with the agents' one."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.bootstrap_vpc_ids : can(regex("^vpc-[0-9a-f]+$", id))])
    error_message = "Give ids of VPCs, as vpc-0123456789abcdef0."
  }
}

variable "port" {
  description = "Port of the agents."
  type        = number
  default     = 7070
  nullable    = false
}

variable "bucket" {
  description = "Name of the bucket of the segments."
  type        = string
  nullable    = false
}

variable "table_prefix" {
  description = "What the tables' names begin with."
  type        = string
  nullable    = false
}

variable "task_role_arn" {
  description = "Role of the agents."
  type        = string
  nullable    = false
}

variable "execution_role_arn" {
  description = "Role with which ECS starts a task."
  type        = string
  nullable    = false
}

variable "log_group_name" {
  description = "Log group of the agents."
  type        = string
  nullable    = false
}

variable "tls_secret_arn" {
  description = "Secret in Secrets Manager, JSON of the texts `cert` and `key`, PEM. Without one, agents speak plaintext."
  type        = string
  default     = null
}

variable "tls_client_auth" {
  description = "Lets only clients in whose certificates come from the authorities that the secret has as `client_ca`, PEM."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.tls_client_auth || var.tls_secret_arn != null
    error_message = "Give tls_secret_arn as well: the authorities of clients are in that secret."
  }
}

variable "log_level" {
  description = "Lowest level that is logged: `debug`, `info`, `warn` or `error`."
  type        = string
  default     = "info"
  nullable    = false

  validation {
    condition     = contains(["debug", "info", "warn", "error"], var.log_level)
    error_message = "Use debug, info, warn or error."
  }
}

variable "wait" {
  description = "Lets apply wait until all tasks are healthy."
  type        = bool
  default     = true
  nullable    = false
}
