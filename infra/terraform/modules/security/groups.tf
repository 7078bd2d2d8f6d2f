# Who may talk to whom. No rule lets an address in, only members of groups.
resource "aws_security_group" "agents" {
  name        = "${var.name}-agents"
  description = "StreamHouse agents"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-agents" }
}

resource "aws_security_group" "clients" {
  name        = "${var.name}-clients"
  description = "Join it to reach the StreamHouse agents"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-clients" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.agents.id
  description                  = "Clients"
  referenced_security_group_id = aws_security_group.clients.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_ingress_rule" "more_clients" {
  count = length(var.client_security_group_ids)

  security_group_id            = aws_security_group.agents.id
  description                  = "Clients"
  referenced_security_group_id = var.client_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_ingress_rule" "agents" {
  security_group_id            = aws_security_group.agents.id
  description                  = "Agents among themselves"
  referenced_security_group_id = aws_security_group.agents.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_egress_rule" "agents" {
  security_group_id            = aws_security_group.agents.id
  description                  = "Agents among themselves"
  referenced_security_group_id = aws_security_group.agents.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.agents.id
  description       = "AWS services, by way of endpoints or a gateway"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  security_group_id            = aws_security_group.clients.id
  description                  = "StreamHouse agents"
  referenced_security_group_id = aws_security_group.agents.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}
