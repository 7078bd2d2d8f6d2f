# The whole, from few inputs.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "only_an_image" {
  assert {
    condition     = output.bootstrap == "dns:///agents.streamhouse.internal:7070" && strcontains(output.producer_snippet, output.bootstrap)
    error_message = "The snippet does not work as it is pasted."
  }
  assert {
    # 3 x 730 h x $0.0395 + 3 x 730 h x $0.01 + 44 x $0.30 + 11 x $0.10 + $3 + $0.50 + 3 x 730 h x $0.00207
    condition     = output.monthly_fixed_cost.usd == "130.74"
    error_message = "The fixed cost is not the sum of its parts."
  }
  assert {
    condition     = output.monthly_fixed_cost.arithmetic.tasks == "3 tasks x 730 h x (1 vCPU x $0.03238 + 2 GB x $0.00356) = $86.50"
    error_message = "The arithmetic cannot be followed."
  }
  assert {
    condition     = local.repository_arn == "arn:aws:ecr:eu-central-1:123456789012:repository/streamhouse-agent"
    error_message = "ECS could not pull the image."
  }
  assert {
    condition     = output.data_is_protected
    error_message = "The log could be deleted by mistake."
  }
}

run "a_vpc_that_is_there" {
  variables {
    vpc = { id = "vpc-0123456789abcdef0", subnet_ids = ["subnet-0a", "subnet-0b"] }
  }
  assert {
    condition     = length(module.network) == 0 && output.vpc_id == var.vpc.id && strcontains(output.monthly_fixed_cost.arithmetic.endpoints, "= $0.00")
    error_message = "A VPC is made although there is one."
  }
}

run "tls" {
  variables {
    tls_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf"
  }
  assert {
    condition     = module.network[0].interface_endpoint_count == 4 && strcontains(output.producer_snippet, "WithTLS(&tls.Config{}), producer.WithServerName(\"agents.streamhouse.internal\")")
    error_message = "A task could not fetch its certificate, or the snippet speaks plaintext, or to a name that no certificate has: agents advertise addresses."
  }
}

run "an_image_from_elsewhere" {
  variables {
    image = "ghcr.io/streamhouse/agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  assert {
    condition     = local.repository_arn == null
    error_message = "There is no repository of ECR to pull from."
  }
}

run "express" {
  variables {
    express_zone_id = "use1-az4"
  }
  assert {
    condition     = output.bucket == "streamhouse-123456789012--use1-az4--x-s3"
    error_message = "The segments are in another bucket."
  }
}
