package producertest_test

import "testing"

// run stands for the test of a user's program that an example shows.
var run func(name string, test func(*testing.T))

// TestExamples runs what the examples show: as examples they have no test to
// run in, and are only compiled.
func TestExamples(t *testing.T) {
	ran := 0
	run = func(name string, test func(*testing.T)) {
		ran++
		t.Run(name, test)
	}
	examples := []func(){Example, ExampleCluster_Script, ExampleOverload, ExampleCluster_Drain}
	for _, example := range examples {
		example()
	}
	if ran != len(examples) {
		t.Errorf("%d of %d examples ran", ran, len(examples))
	}
}
