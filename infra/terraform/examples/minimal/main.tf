# A cluster in a VPC of its own: three small agents in three zones.
provider "aws" {
  region = "eu-central-1"
}

variable "image" {
  description = "The agent's image by digest; `task deploy` prints it."
  type        = string
}

module "streamhouse" {
  source = "../../modules/stack"

  image = var.image
}

output "bootstrap" {
  description = "What producers and readers connect to first."
  value       = module.streamhouse.bootstrap
}

output "monthly_fixed_cost" {
  description = "US dollars a month before the first record."
  value       = module.streamhouse.monthly_fixed_cost
}
