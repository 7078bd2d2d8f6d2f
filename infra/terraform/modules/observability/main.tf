data "aws_region" "current" {}

# Also where metrics come from: agents write them as lines that CloudWatch reads.
resource "aws_cloudwatch_log_group" "agents" {
  name              = "/streamhouse/${var.name}"
  retention_in_days = var.log_retention_days
}

locals {
  # docs/metrics.md says what each is.
  namespace  = "StreamHouse"
  dimensions = { Cluster = var.name }
}
