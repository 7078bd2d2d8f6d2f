# What is created.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "events"
}

run "defaults" {
  assert {
    condition     = length(output.subnet_ids) == 3 && aws_subnet.private["eu-central-1b"].cidr_block == "10.42.64.0/18"
    error_message = "There is not one subnet for each zone."
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.private : !subnet.map_public_ip_on_launch])
    error_message = "A subnet gives public addresses."
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.gateway)) == toset(["s3", "dynamodb"])
    error_message = "Data would pay for NAT."
  }
  assert {
    condition     = output.interface_endpoint_count == 3
    error_message = "Small stacks have each endpoint in one zone."
  }
}

run "every_zone" {
  variables {
    zones                   = 2
    endpoints_in_every_zone = true
    express                 = true
  }
  assert {
    condition     = output.interface_endpoint_count == 6 && alltrue([for endpoint in aws_vpc_endpoint.interface : length(endpoint.subnet_ids) == 2])
    error_message = "An endpoint is not in every zone."
  }
  assert {
    condition     = contains(keys(aws_vpc_endpoint.gateway), "s3express")
    error_message = "The way to S3 Express is missing."
  }
}
