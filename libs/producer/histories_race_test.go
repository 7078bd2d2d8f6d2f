//go:build race

package producer_test

// histories is smaller where each takes ten times as long.
const histories = 40
