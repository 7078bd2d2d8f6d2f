data "aws_region" "current" {}

# All that an agent has to be told; its address and its zone it asks ECS for.
# docs/configuration.md explains each.
locals {
  environment = merge({
    AWS_REGION                       = data.aws_region.current.name
    STREAMHOUSE_STORE                = "aws"
    STREAMHOUSE_STORE_BUCKET         = var.bucket
    STREAMHOUSE_STORE_TABLE_PREFIX   = var.table_prefix
    STREAMHOUSE_CLUSTER              = var.name
    STREAMHOUSE_LISTEN               = "internal=0.0.0.0:${var.port}"
    STREAMHOUSE_BUFFER_BYTES         = tostring(var.buffer_bytes)
    STREAMHOUSE_CACHE_BYTES          = tostring(var.cache_bytes)
    STREAMHOUSE_FLUSH_MAX_PER_SECOND = tostring(var.flush_max_per_second)
    STREAMHOUSE_DRAIN_TIMEOUT        = "100s" # less than stopTimeout
    STREAMHOUSE_METRICS_CLOUDWATCH   = "true"
    STREAMHOUSE_LOG_FORMAT           = "json"
    STREAMHOUSE_LOG_LEVEL            = var.log_level
    # The security group is all that keeps others out, then.
  }, var.tls_secret_arn == null ? { STREAMHOUSE_INSECURE = "true" } : {})

  secrets = var.tls_secret_arn == null ? {} : merge({
    STREAMHOUSE_TLS_CERT_PEM = "${var.tls_secret_arn}:cert::"
    STREAMHOUSE_TLS_KEY_PEM  = "${var.tls_secret_arn}:key::"
  }, var.tls_client_auth ? { STREAMHOUSE_TLS_CLIENT_CA_PEM = "${var.tls_secret_arn}:client_ca::" } : {})
}

resource "aws_ecs_task_definition" "agent" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.execution_role_arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = { arm64 = "ARM64", amd64 = "X86_64" }[var.architecture]
  }

  container_definitions = jsonencode([{
    name                   = "agent"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
    stopTimeout            = 120 # the most that Fargate allows, and Spot's notice
    portMappings           = [{ name = "internal", containerPort = var.port, hostPort = var.port, protocol = "tcp" }]
    ulimits                = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]
    environment            = [for name, value in local.environment : { name = name, value = value }]
    secrets                = [for name, from in local.secrets : { name = name, valueFrom = from }]
    mountPoints            = []
    volumesFrom            = []
    systemControls         = []

    healthCheck = {
      command     = ["CMD", "/streamhouse-agent", "health"] # the image has no shell
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group_name
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = "agent"
        # Logs that cannot be delivered must not hold the agent.
        mode            = "non-blocking"
        max-buffer-size = "25m"
      }
    }
  }])
}
