output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Its private subnets, one in each zone."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
  # A task cannot start before its endpoints answer.
  depends_on = [aws_route_table_association.private, aws_vpc_endpoint.gateway, aws_vpc_endpoint.interface, aws_vpc_security_group_ingress_rule.endpoints]
}

output "interface_endpoint_count" {
  description = "Interface endpoints times zones, which is what is billed."
  value       = length(var.interface_endpoints) * (var.endpoints_in_every_zone ? var.zones : 1)
}
