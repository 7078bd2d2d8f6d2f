module github.com/streamhouse/streamhouse/services/agent

go 1.26.0

require github.com/streamhouse/streamhouse/proto v0.1.0

replace github.com/streamhouse/streamhouse/proto => ../../proto
