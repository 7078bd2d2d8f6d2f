# What a module below checks, it checks under the same name.

variable "image" {
  description = "The agent's image by digest, as `123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent@sha256:…`. `task deploy` builds, pushes and passes it."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Name of the cluster. Begins the names of all that is created; it cannot be changed later."
  type        = string
  default     = "streamhouse"
  nullable    = false
}

variable "architecture" {
  description = "Processor that the image is for: `arm64`, which costs a fifth less, or `amd64`."
  type        = string
  default     = "arm64"
  nullable    = false
}

variable "cpu" {
  description = "CPU units of a task; 1024 are one vCPU."
  type        = number
  default     = 1024
  nullable    = false
}

variable "memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 2048
  nullable    = false
}

variable "buffer_bytes" {
  description = "Memory for batches that are not committed yet, in bytes. Beyond it, producers are told to wait."
  type        = number
  default     = 268435456
  nullable    = false
}

variable "cache_bytes" {
  description = "Memory for what readers ask for, in bytes."
  type        = number
  default     = 67108864
  nullable    = false
}

variable "flush_max_per_second" {
  description = "Flushes of less than 4 MiB that an agent makes in a second at most. Each is a PUT and a write to DynamoDB: fewer cost less and let batches wait longer. 0 is no ceiling."
  type        = number
  default     = 10
  nullable    = false
}

variable "min_tasks" {
  description = "Fewest agents, and as many as are started first. With three, the loss of one leaves two."
  type        = number
  default     = 3
  nullable    = false
}

variable "max_tasks" {
  description = "Most agents. The same as min_tasks switches autoscaling off in effect."
  type        = number
  default     = 9
  nullable    = false
}

variable "cpu_percent" {
  description = "CPU that the agents are kept at, on average, in percent."
  type        = number
  default     = 60
  nullable    = false
}

variable "bytes_per_second" {
  description = "Bytes a second that each agent is kept at, on average."
  type        = number
  default     = 20971520
  nullable    = false
}

variable "spot_percent" {
  description = "Share of the tasks, in percent, that run on Fargate Spot for about a third of the price. AWS takes them back with two minutes' notice, in which they drain; each time their partitions change owners. The first task is never one, unless it is 100."
  type        = number
  default     = 0
  nullable    = false
}

variable "vpc" {
  description = "A VPC of yours and private subnets in at least two of its zones. It needs gateway endpoints for S3 and DynamoDB (or its data pays for NAT), and a way to ECR, CloudWatch Logs and Secrets Manager. Without it, a VPC is made."
  type = object({
    id         = string
    subnet_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null || can(regex("^vpc-[0-9a-f]+$", var.vpc.id))
    error_message = "Give the id of a VPC, as vpc-0123456789abcdef0, together with its subnet_ids; or leave vpc out to have one made."
  }

  validation {
    condition     = var.vpc == null || try(alltrue([for id in var.vpc.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))]), false)
    error_message = "Give the ids of private subnets of that VPC as its subnet_ids, as subnet-0123456789abcdef0."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC that is made, between /16 and /24. Choose a range that no network has which will be peered with it."
  type        = string
  default     = "10.42.0.0/16"
  nullable    = false
}

variable "zones" {
  description = "Number of availability zones of the VPC that is made, 2 or 3."
  type        = number
  default     = 3
  nullable    = false
}

variable "endpoints_in_every_zone" {
  description = "Puts the interface endpoints into every zone instead of one. Each endpoint costs $7.30 a month in each zone. With one zone, no task can start or log while that zone is away; running agents go on to serve."
  type        = bool
  default     = false
  nullable    = false
}

variable "bootstrap_vpc_ids" {
  description = "Further VPCs in which the bootstrap name resolves, of this account and peered with the agents' one."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "client_security_group_ids" {
  description = "Security groups whose members may connect to the agents, besides the one that is made here for clients to join."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "port" {
  description = "Port of the agents."
  type        = number
  default     = 7070
  nullable    = false
}

variable "tls_secret_arn" {
  description = "Secret in Secrets Manager, JSON of the texts `cert` and `key`, PEM. Make it outside of Terraform: the key is in no state. Without one, agents speak plaintext, and security groups are all that keeps others out."
  type        = string
  default     = null
}

variable "tls_kms_key_arn" {
  description = "KMS key of that secret, where it is not AWS's own."
  type        = string
  default     = null
}

variable "tls_client_auth" {
  description = "Lets only clients in whose certificates come from the authorities that the secret has as `client_ca`, PEM."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the segments. Without one, S3 encrypts with keys of its own (SSE-S3). Not for a directory bucket."
  type        = string
  default     = null
}

variable "express_zone_id" {
  description = "Zone id, as `use1-az4`, of a directory bucket (S3 Express One Zone) to keep the segments in. It answers sooner, and acknowledged records are lost if AWS loses that zone. Without one, the bucket is an ordinary one, in at least three zones. It cannot be changed later: objects do not move."
  type        = string
  default     = null
}

variable "protect_data" {
  description = "Keeps the tables and a bucket that is not empty from being deleted. Apply false before you destroy the cluster together with its log."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_retention_days" {
  description = "How long the agents' logs are kept."
  type        = number
  default     = 30
  nullable    = false
}

variable "log_level" {
  description = "Lowest level that is logged: `debug`, `info`, `warn` or `error`."
  type        = string
  default     = "info"
  nullable    = false
}

variable "alarm_actions" {
  description = "ARNs of what an alarm tells, as SNS topics. Without any, alarms only show in the console."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "ack_p99_ms" {
  description = "Milliseconds within which 99 of 100 batches should be acknowledged."
  type        = number
  default     = 1000
  nullable    = false
}

variable "wait" {
  description = "Lets apply wait until all tasks are healthy."
  type        = bool
  default     = true
  nullable    = false
}
