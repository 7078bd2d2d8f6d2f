output "bootstrap" {
  description = "What producers and readers connect to first."
  value       = module.agent.bootstrap
}

output "producer_snippet" {
  description = "Go code that writes a record."
  value       = <<-GO
    ctx := context.Background()
    p, err := producer.New(ctx, "${module.agent.bootstrap}", producer.WithTopic("orders")${var.tls_secret_arn == null ? "" : ", producer.WithTLS(&tls.Config{}), producer.WithServerName(\"${module.agent.bootstrap_host}\")"})
    if err != nil {
    	return err
    }
    defer p.Close(ctx)
    ack, err := p.Send(ctx, producer.Record{Key: []byte("customer-7"), Value: []byte(`{"total": 42}`)})
    if err != nil {
    	return err
    }
    fmt.Println("durable in partition", ack.Partition, "at offset", ack.Offset)
  GO
}

output "client_security_group_id" {
  description = "Security group that clients join to reach the agents."
  value       = module.security.client_security_group_id
}

output "agent_security_group_id" {
  description = "Security group of the agents."
  value       = module.security.agent_security_group_id
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = module.observability.dashboard_url
}

output "monthly_fixed_cost" {
  description = "US dollars a month before the first record, with the arithmetic. us-east-1 list prices."
  value = {
    usd        = format("%.2f", sum([for part in local.costs : part.usd]))
    arithmetic = { for name, part in local.costs : name => format("%s = $%.2f", part.text, part.usd) }
  }
}

output "vpc_id" {
  description = "The VPC that the agents run in."
  value       = local.vpc_id
}

output "subnet_ids" {
  description = "The subnets that the agents run in."
  value       = local.subnet_ids
}

output "bucket" {
  description = "Name of the bucket that keeps the segments."
  value       = module.storage.bucket
}

output "table_prefix" {
  description = "What the tables' names begin with."
  value       = module.storage.table_prefix
}

output "task_role" {
  description = "Name of the agents' role."
  value       = module.security.task_role_name
}

output "ecs_cluster" {
  description = "Name of the ECS cluster."
  value       = module.agent.ecs_cluster
}

output "ecs_service" {
  description = "Name of the ECS service."
  value       = module.agent.ecs_service
}

output "log_group" {
  description = "Log group of the agents."
  value       = module.observability.log_group_name
}

output "task_definition_arn" {
  description = "The task definition that was deployed last."
  value       = module.agent.task_definition_arn
}

output "data_is_protected" {
  description = "Whether the log is kept from being deleted."
  value       = var.protect_data
}
