# Who may do what.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name          = "events"
  vpc_id        = "vpc-0123456789abcdef0"
  bucket_arn    = "arn:aws:s3:::events"
  table_arns    = { journal = "arn:aws:dynamodb:eu-central-1:123456789012:table/events-journal" }
  log_group_arn = "arn:aws:logs:eu-central-1:123456789012:log-group:events"
}

run "defaults" {
  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.task.statement : !contains(statement.resources, "*") && alltrue([for action in statement.actions : !strcontains(action, "*")])])
    error_message = "An agent may do more than it has to."
  }
  assert {
    condition     = length(data.aws_iam_policy_document.execution.statement) == 1
    error_message = "Without a repository and a secret, ECS needs to write logs only."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.clients.from_port == 7070
    error_message = "Addresses are let in."
  }
}

run "everything" {
  variables {
    client_security_group_ids = ["sg-0aaa", "sg-0bbb"]
    kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/1"
    repository_arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/agent"
    tls_secret_arn            = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf"
    tls_kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/2"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.more_clients) == 2
    error_message = "A group of clients is not let in."
  }
  assert {
    condition     = [for statement in data.aws_iam_policy_document.execution.statement : statement.sid] == ["Logs", "Image", "Registry", "TLS", "TLSKey"]
    error_message = "ECS could not start a task."
  }
  assert {
    condition     = contains([for statement in data.aws_iam_policy_document.task.statement : one(statement.resources) if statement.sid == "Key"], var.kms_key_arn)
    error_message = "The agent could not use the bucket's key."
  }
}

run "express" {
  variables {
    express = true
  }
  assert {
    condition     = [for statement in data.aws_iam_policy_document.task.statement : one(statement.actions) if statement.sid != "Rows"] == ["s3express:CreateSession"]
    error_message = "A directory bucket has one permission."
  }
}
