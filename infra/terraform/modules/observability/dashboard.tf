locals {
  # Titles, and their lines as [metric, statistic, label]. A chart stands in the
  # order in which one looks for a fault.
  charts = [
    { title = "Throughput, bytes a minute", lines = [["BytesIn", "Sum", "taken"], ["SegmentBytes", "Sum", "written to S3"]] },
    { title = "Acknowledgement, ms", lines = [["AckLatency", "p50", "p50"], ["AckLatency", "p99", "p99"]] },
    { title = "Refusals and failures", lines = [["Refusals", "Sum", "refused"], ["StoreErrors_put", "Sum", "segments"], ["StoreErrors_commit", "Sum", "journal rows"], ["ThrottledRequests", "Sum", "throttled"]] },
    { title = "Partitions", lines = [["Leases", "Sum", "owned"], ["Leases", "Maximum", "most of an agent"], ["Leases", "Minimum", "fewest of an agent"], ["PartitionsWithoutOwner", "Maximum", "without owner"]] },
    { title = "Partitions that move, a minute", lines = [["LeaseMoves_handed_over", "Sum", "handed over"], ["LeaseMoves_acquired", "Sum", "acquired"], ["LeaseMoves_taken_over", "Sum", "taken over from the dead"]] },
    { title = "Stores, ms", lines = [["PutLatency", "p50", "segment p50"], ["PutLatency", "p99", "segment p99"], ["CommitLatency", "p50", "row p50"], ["CommitLatency", "p99", "row p99"]] },
    { title = "Agents, and buffers in percent", lines = [["Leases", "SampleCount", "agents"], ["BufferUsed", "Maximum", "fullest buffer"]] },
  ]

  widgets = [for i, chart in local.charts : {
    type = "metric", x = 12 * (i % 2), y = 6 * floor(i / 2), width = 12, height = 6
    properties = {
      title  = chart.title
      region = data.aws_region.current.name
      period = 60
      view   = "timeSeries"
      yAxis  = { left = { min = 0 } }
      metrics = [for line in chart.lines :
        [local.namespace, line[0], "Cluster", var.name, { stat = line[1], label = line[2] }]
      ]
    }
  }]

  cost = {
    type = "metric", x = 12, y = 18, width = 12, height = 6
    properties = {
      title  = "Requests, US dollars for a GiB"
      region = data.aws_region.current.name
      period = 300
      view   = "timeSeries"
      yAxis  = { left = { min = 0 } }
      metrics = [
        [{ expression = "IF(bytes > 0, cost / (bytes / 1073741824))", label = "by list prices", id = "price" }],
        [local.namespace, "RequestCost", "Cluster", var.name, { stat = "Sum", id = "cost", visible = false }],
        [local.namespace, "BytesIn", "Cluster", var.name, { stat = "Sum", id = "bytes", visible = false }],
      ]
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = concat(local.widgets, [local.cost]) })
}
