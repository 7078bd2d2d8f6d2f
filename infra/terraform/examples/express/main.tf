# Segments in S3 Express One Zone, which answers sooner.
#
# It is in one availability zone. Should AWS lose that zone, records that were
# acknowledged are lost with it.
provider "aws" {
  region = "us-east-1"
}

variable "image" {
  description = "The agent's image by digest; `task deploy` prints it."
  type        = string
}

module "streamhouse" {
  source = "../../modules/stack"

  name            = "streamhouse-express"
  image           = var.image
  express_zone_id = "use1-az4"
}

output "bootstrap" {
  description = "What producers and readers connect to first."
  value       = module.streamhouse.bootstrap
}
