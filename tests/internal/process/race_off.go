//go:build !race

package process

// raceEnabled tells whether the test runs under the race detector.
const raceEnabled = false
