# The truth about the log. The keys are those that the agent asks for, and it
# checks them at its start.
locals {
  tables = {
    sessions   = { hash = "id", type = "S", range = null }
    partitions = { hash = "topic", type = "N", range = "partition" }
    journal    = { hash = "session", type = "S", range = "seq" }
    index      = { hash = "log", type = "S", range = "last" }
    merges     = { hash = "session", type = "S", range = "number" }
    topics     = { hash = "name", type = "S", range = null }
    tombstones = { hash = "topic", type = "N", range = null }
    counters   = { hash = "name", type = "S", range = null }
  }
}

# No table has a time to live: the protocol never lets a clock delete a row.
resource "aws_dynamodb_table" "rows" {
  for_each = local.tables

  name                        = "${var.name}-${each.key}"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = each.value.hash
  range_key                   = each.value.range
  deletion_protection_enabled = var.protect_data

  attribute {
    name = each.value.hash
    type = each.value.type
  }

  dynamic "attribute" {
    for_each = each.value.range[*]
    content {
      name = attribute.value
      type = "N"
    }
  }

  # To look at and to copy from. A restored table in the place of this one forks
  # the log: docs/deploy.md has the procedure.
  point_in_time_recovery {
    enabled = true
  }
}
