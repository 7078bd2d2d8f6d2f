locals {
  made       = var.vpc == null
  vpc_id     = local.made ? module.network[0].vpc_id : var.vpc.id
  subnet_ids = local.made ? module.network[0].subnet_ids : var.vpc.subnet_ids

  # registry/repository@digest, where the registry is ECR
  ecr            = try(regex("^(?P<account>[0-9]{12})\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/(?P<repository>[^@:]+)", var.image), null)
  repository_arn = local.ecr == null ? null : "arn:${data.aws_partition.current.partition}:ecr:${local.ecr.region}:${local.ecr.account}:repository/${local.ecr.repository}"
}

data "aws_partition" "current" {}

module "network" {
  source = "../network"
  count  = local.made ? 1 : 0

  name                    = var.name
  cidr                    = var.vpc_cidr
  zones                   = var.zones
  interface_endpoints     = concat(["ecr.api", "ecr.dkr", "logs"], var.tls_secret_arn == null ? [] : ["secretsmanager"])
  endpoints_in_every_zone = var.endpoints_in_every_zone
  express                 = var.express_zone_id != null
}

module "storage" {
  source = "../storage"

  name            = var.name
  kms_key_arn     = var.kms_key_arn
  express_zone_id = var.express_zone_id
  protect_data    = var.protect_data
}

module "observability" {
  source = "../observability"

  name               = var.name
  log_retention_days = var.log_retention_days
  alarm_actions      = var.alarm_actions
  min_tasks          = var.min_tasks
  ack_p99_ms         = var.ack_p99_ms
}

module "security" {
  source = "../security"

  name                      = var.name
  vpc_id                    = local.vpc_id
  port                      = var.port
  client_security_group_ids = var.client_security_group_ids
  bucket_arn                = module.storage.bucket_arn
  express                   = var.express_zone_id != null
  table_arns                = module.storage.table_arns
  kms_key_arn               = var.kms_key_arn
  log_group_arn             = module.observability.log_group_arn
  repository_arn            = local.repository_arn
  tls_secret_arn            = var.tls_secret_arn
  tls_kms_key_arn           = var.tls_kms_key_arn
}

module "agent" {
  source = "../agent"

  name                 = var.name
  image                = var.image
  architecture         = var.architecture
  cpu                  = var.cpu
  memory               = var.memory
  buffer_bytes         = var.buffer_bytes
  cache_bytes          = var.cache_bytes
  flush_max_per_second = var.flush_max_per_second
  desired_count        = var.min_tasks
  spot_percent         = var.spot_percent
  vpc_id               = local.vpc_id
  subnet_ids           = local.subnet_ids
  security_group_id    = module.security.agent_security_group_id
  bootstrap_vpc_ids    = var.bootstrap_vpc_ids
  port                 = var.port
  bucket               = module.storage.bucket
  table_prefix         = module.storage.table_prefix
  task_role_arn        = module.security.task_role_arn
  execution_role_arn   = module.security.execution_role_arn
  log_group_name       = module.observability.log_group_name
  tls_secret_arn       = var.tls_secret_arn
  tls_client_auth      = var.tls_client_auth
  log_level            = var.log_level
  wait                 = var.wait
}

module "autoscaling" {
  source = "../autoscaling"

  name             = var.name
  ecs_cluster      = module.agent.ecs_cluster
  ecs_service      = module.agent.ecs_service
  min_tasks        = var.min_tasks
  max_tasks        = var.max_tasks
  cpu_percent      = var.cpu_percent
  bytes_per_second = var.bytes_per_second
}
