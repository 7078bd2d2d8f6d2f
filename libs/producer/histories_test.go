//go:build !race

package producer_test

// histories is how many TestRandomHistories runs.
const histories = 200
