//go:build race

package faults

// The race detector makes everything some ten times slower: it gets a share of
// the sweep and of the seeds.
const share = 10
