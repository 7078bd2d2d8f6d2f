data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# Both roles are for tasks of this account alone.
data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:*"]
    }
  }
}

# What the agent itself may do: its log, and nothing else.
resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy" "task" {
  name   = "log"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

data "aws_iam_policy_document" "task" {
  statement {
    sid       = "Rows"
    actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:Scan"]
    resources = values(var.table_arns)
  }

  dynamic "statement" {
    for_each = var.express ? [] : [1]
    content {
      sid       = "Segments"
      actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
      resources = ["${var.bucket_arn}/*"]
    }
  }

  dynamic "statement" {
    for_each = var.express ? [] : [1]
    content {
      sid       = "Bucket"
      actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
      resources = [var.bucket_arn]
    }
  }

  dynamic "statement" {
    for_each = var.express ? [1] : []
    content {
      sid       = "DirectoryBucket"
      actions   = ["s3express:CreateSession"] # stands for every request that follows
      resources = [var.bucket_arn]
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "Key"
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [statement.value]
    }
  }
}
