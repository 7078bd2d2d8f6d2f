variable "region" {
  description = "Region of the repository: the one of the cluster. Without one, the region that the AWS command line uses."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]+(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "Give the name of a region, as eu-central-1, without a zone's letter; or leave region out for the one that the AWS command line uses."
  }
}

variable "name" {
  description = "Name of the repository."
  type        = string
  default     = "streamhouse-agent"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/-]{1,127}$", var.name))
    error_message = "Name the repository in lower-case letters, digits, dots, hyphens, underscores and slashes, as streamhouse-agent."
  }
}

variable "keep_images" {
  description = "Images that are kept. Tasks pull theirs again when they are replaced, so keep more than are deployed."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.keep_images >= 5 && floor(var.keep_images) == var.keep_images
    error_message = "Keep at least 5 images, or the one that a cluster runs may be gone when a task is replaced."
  }
}
