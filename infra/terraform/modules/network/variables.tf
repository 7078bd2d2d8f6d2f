variable "name" {
  description = "Name of the cluster, for the names of what is created."
  type        = string
  nullable    = false
}

variable "cidr" {
  description = "Addresses of the VPC, between /16 and /24. Choose a range that no network has which will be peered with it."
  type        = string
  default     = "10.42.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/(1[6-9]|2[0-4])$", var.cidr))
    error_message = "Give a range of IPv4 addresses between /16 and /24, as 10.42.0.0/16: each zone gets a quarter of it."
  }
}

variable "zones" {
  description = "Number of availability zones, 2 or 3."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "Use 2 or 3 zones: with one, a cluster stops together with it, and more cost more endpoints than they help."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached through interface endpoints, by their short names. A task without a way to the internet needs these to start and to log."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs"]
  nullable    = false

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z0-9.-]+$", service)) && !startswith(service, "com.")])
    error_message = "Give the short names of services, as ecr.api: the region is put before them here."
  }
}

variable "endpoints_in_every_zone" {
  description = "Puts the interface endpoints into every zone instead of one. Each endpoint costs $7.30 a month in each zone. With one zone, no task can start or log while that zone is away; running agents go on to serve."
  type        = bool
  default     = false
  nullable    = false
}

variable "express" {
  description = "Adds the gateway endpoint of S3 Express One Zone."
  type        = bool
  default     = false
  nullable    = false
}
