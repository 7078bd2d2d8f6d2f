variable "name" {
  description = "Name of the cluster. Begins the names of the bucket and of the tables."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "Give the cluster a name of 3 to 24 lower-case letters, digits and single hyphens that begins with a letter and does not end with a hyphen: it is part of a bucket's name."
  }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the segments. Without one, S3 encrypts with keys of its own (SSE-S3). Not for a directory bucket."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "Give the ARN of a key, as arn:aws:kms:eu-central-1:123456789012:key/1234abcd-…: the name of an alias may come to stand for another key."
  }

  validation {
    condition     = var.kms_key_arn == null || var.express_zone_id == null
    error_message = "Leave out kms_key_arn or express_zone_id: a directory bucket is encrypted with S3's own keys here."
  }
}

variable "protect_data" {
  description = "Keeps the tables and a bucket that is not empty from being deleted. Apply false before you destroy the cluster together with its log."
  type        = bool
  default     = true
  nullable    = false
}

variable "express_zone_id" {
  description = "Zone id, as `use1-az4`, of a directory bucket (S3 Express One Zone) to keep the segments in. It answers sooner, and acknowledged records are lost if AWS loses that zone. Without one, the bucket is an ordinary one, in at least three zones. It cannot be changed later: objects do not move."
  type        = string
  default     = null

  validation {
    condition     = var.express_zone_id == null || can(regex("^[a-z0-9]+-az[0-9]+$", var.express_zone_id))
    error_message = "Give the id of a zone, as use1-az4, not its name: `aws ec2 describe-availability-zones` lists both."
  }
}
