//go:build mutations

package sim

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent"
)

var only = flag.String("rules", "", "switch off these rules only, joined by commas")

// within is how many seeds a mutation may live.
const within = 5000

// telling is what shows that a rule is gone, for each that can be switched off: a
// violation of one of these kinds.
var telling = []struct {
	rule  string
	kinds []string
}{
	{"R1", []string{"lost"}},
	{"R3", []string{"lost"}},
	{"R4", []string{"lost"}},
	{"R6", []string{"lost", "doubled", "unreadable"}},
	{"R6Resume", []string{"lost", "doubled", "unreadable"}},
	{"R7", []string{"disputed", "unserved"}},
	{"R8", []string{"hasty"}},
	{"R11", []string{"lost", "doubled", "unreadable"}},
	{"R11Version", []string{"lost", "doubled", "unreadable", "store"}},
	{"Unnamed", []string{"lost", "doubled", "unreadable", "store"}},
	{"TrimEarly", []string{"lost", "doubled", "unreadable", "unserved", "store"}},
	{"RemoveByAge", []string{"lost", "doubled", "unreadable", "unserved", "store"}},
	{"SealByAge", []string{"lost", "doubled", "unreadable", "store"}},
}

// TestMutations switches one rule of the commit protocol off after the other and
// plays histories until one goes wrong: the simulation would notice.
func TestMutations(t *testing.T) {
	defer agent.Mutate("")
	for _, m := range telling {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), m.rule) {
			continue
		}
		t.Run(m.rule, func(t *testing.T) {
			agent.Mutate(m.rule)
			for seed := *first; seed < *first+within; seed++ {
				if v := find(violationsOf(t, seed), m.kinds); v != "" {
					t.Logf("found by seed %d, the %d. one: %s", seed, seed-*first+1, v)
					return
				}
			}
			t.Errorf("no violation in %d seeds: nobody would notice that %s is gone", within, m.rule)
		})
	}
}

// find returns a violation of one of the kinds, or "".
func find(violations, kinds []string) string {
	for _, v := range violations {
		for _, kind := range kinds {
			if strings.Contains(v, kind+": ") {
				return v
			}
		}
	}
	return ""
}
