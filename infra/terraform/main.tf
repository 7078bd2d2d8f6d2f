variable "region" {
  description = "Region of the cluster. Without one, the region that the AWS command line uses."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]+(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "Give the name of a region, as eu-central-1, without a zone's letter; or leave region out for the one that the AWS command line uses."
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project = "streamhouse"
      Cluster = var.name
    }
  }
}

# variables.tf is the stack's own file: nothing has two defaults.
module "stack" {
  source = "./modules/stack"

  image                     = var.image
  name                      = var.name
  architecture              = var.architecture
  cpu                       = var.cpu
  memory                    = var.memory
  buffer_bytes              = var.buffer_bytes
  cache_bytes               = var.cache_bytes
  flush_max_per_second      = var.flush_max_per_second
  min_tasks                 = var.min_tasks
  max_tasks                 = var.max_tasks
  cpu_percent               = var.cpu_percent
  bytes_per_second          = var.bytes_per_second
  spot_percent              = var.spot_percent
  vpc                       = var.vpc
  vpc_cidr                  = var.vpc_cidr
  zones                     = var.zones
  endpoints_in_every_zone   = var.endpoints_in_every_zone
  bootstrap_vpc_ids         = var.bootstrap_vpc_ids
  client_security_group_ids = var.client_security_group_ids
  port                      = var.port
  tls_secret_arn            = var.tls_secret_arn
  tls_kms_key_arn           = var.tls_kms_key_arn
  tls_client_auth           = var.tls_client_auth
  kms_key_arn               = var.kms_key_arn
  express_zone_id           = var.express_zone_id
  protect_data              = var.protect_data
  log_retention_days        = var.log_retention_days
  log_level                 = var.log_level
  alarm_actions             = var.alarm_actions
  ack_p99_ms                = var.ack_p99_ms
  wait                      = var.wait
}
