//go:build !race

package producer_test

// histories is how many TestRandomHistories runs; with -short no more than 200.
const histories = 2000
