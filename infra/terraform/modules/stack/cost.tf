# What the cluster costs before the first record, at us-east-1 list prices as of
# 2025, in US dollars for a month of 730 hours. Requests, storage and data are in
# docs/deploy.md.
locals {
  hours = 730
  price = {
    vcpu_hour     = var.architecture == "arm64" ? 0.03238 : 0.04048
    gb_hour       = var.architecture == "arm64" ? 0.00356 : 0.004445
    endpoint_hour = 0.01
    metric        = 0.30
    alarm         = 0.10
    dashboard     = 3.00
    zone          = 0.50
  }

  # What agents ask DynamoDB for when nothing happens, in an hour (DESIGN.md), at
  # $0.625 a million writes and $0.125 a million reads.
  idle_hour = (1800 * 0.625 + 7560 * 0.125) / 1000000

  metrics   = 44                                   # docs/metrics.md, with a kind each
  alarms    = module.observability.alarm_count + 4 # of autoscaling: each target has two
  endpoints = local.made ? module.network[0].interface_endpoint_count : 0
  vcpu      = var.cpu / 1024
  gb        = var.memory / 1024

  costs = {
    tasks = {
      usd  = var.min_tasks * local.hours * (local.vcpu * local.price.vcpu_hour + local.gb * local.price.gb_hour)
      text = format("%d tasks x %d h x (%g vCPU x $%g + %g GB x $%g)", var.min_tasks, local.hours, local.vcpu, local.price.vcpu_hour, local.gb, local.price.gb_hour)
    }
    endpoints = {
      usd  = local.endpoints * local.hours * local.price.endpoint_hour
      text = format("%d interface endpoints, counted in each zone, x %d h x $%g", local.endpoints, local.hours, local.price.endpoint_hour)
    }
    observability = {
      usd  = local.metrics * local.price.metric + local.alarms * local.price.alarm + local.price.dashboard
      text = "${local.metrics} metrics x $0.30 + ${local.alarms} alarms x $0.10 + a dashboard, $3"
    }
    discovery = {
      usd  = local.price.zone
      text = "a private hosted zone"
    }
    idle = {
      usd  = var.min_tasks * local.hours * local.idle_hour
      text = format("%d agents x %d h x (1,800 writes x $0.625 + 7,560 reads x $0.125, a million)", var.min_tasks, local.hours)
    }
  }
}
