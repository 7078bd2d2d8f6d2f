# The bucket and the tables of a cluster, against the server in the place of AWS
# that AWS_ENDPOINT_URL names: `task test-local` applies this, runs agents on what
# it made, and destroys it.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  max_retries                 = 2
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "protect_data" {
  description = "Whether the log is kept from being deleted."
  type        = bool
}

module "storage" {
  source = "../../../infra/terraform/modules/storage"

  name         = var.name
  protect_data = var.protect_data
}

output "bucket" {
  description = "Name of the bucket that keeps the segments."
  value       = module.storage.bucket
}

output "table_prefix" {
  description = "What the tables' names begin with."
  value       = module.storage.table_prefix
}
