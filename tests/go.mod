module github.com/streamhouse/streamhouse/tests

go 1.26.0

require (
	github.com/streamhouse/streamhouse/libs/producer v0.1.0
	github.com/streamhouse/streamhouse/proto v0.1.0
	github.com/streamhouse/streamhouse/services/agent v0.1.0
)

replace (
	github.com/streamhouse/streamhouse/libs/producer => ../libs/producer
	github.com/streamhouse/streamhouse/proto => ../proto
	github.com/streamhouse/streamhouse/services/agent => ../services/agent
)
