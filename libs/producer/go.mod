module github.com/streamhouse/streamhouse/libs/producer

go 1.25.0

require github.com/streamhouse/streamhouse/proto v0.1.0

replace github.com/streamhouse/streamhouse/proto => ../../proto
