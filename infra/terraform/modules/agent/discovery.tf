# Where clients begin: a name with the addresses of healthy agents, at most 8 in
# each answer. From there on, they talk to the partitions' owners directly. A
# load balancer or Service Connect would choose the agent, and so cannot be used.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "StreamHouse agents"
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "agents" {
  name          = "agents"
  force_destroy = true # what a stopped task may have left registered

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"
    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  health_check_custom_config { # ECS tells which tasks are healthy
    failure_threshold = 1
  }
}

locals {
  host = "${aws_service_discovery_service.agents.name}.${aws_service_discovery_private_dns_namespace.this.name}"
}

resource "aws_route53_zone_association" "clients" {
  for_each = var.bootstrap_vpc_ids

  zone_id = aws_service_discovery_private_dns_namespace.this.hosted_zone
  vpc_id  = each.key
}
