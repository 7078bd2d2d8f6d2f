//go:build !race

package faults

// share is which part of the sweep and of the seeds is run: all.
const share = 1
