package rpc

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

// What waits to be merged and to be removed is told with its size, its age and its
// price, and so is what the background has cost.
func TestBacklogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.opts.Prices = cost.Prices{Put: 1e6, Get: 1e4, Write: 100}
		ask := func() (merge, cleanup *streamhousev1.Backlog, spent float64) {
			t.Helper()
			s, err := streamhousev1.NewAgentServiceClient(a.conn).GetStats(t.Context(), &streamhousev1.GetStatsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			return s.GetMergeBacklog(), s.GetCleanupBacklog(), s.GetBackgroundCostUsd()
		}
		same := func(what string, got *streamhousev1.Backlog, bytes, ageMillis uint64, usd float64) {
			t.Helper()
			if got.GetBytes() != bytes || got.GetAgeMs() != ageMillis || math.Abs(got.GetCostUsd()-usd) > 1e-9 {
				t.Errorf("%s: %v, want %d bytes, %d ms, $%v", what, got, bytes, ageMillis, usd)
			}
		}
		a.stats.Behind(5000, time.Minute)
		merge, cleanup, spent := ask()
		same("before the first merge", merge, 5000, 60_000, 0)
		same("before the first clean-up", cleanup, 0, 0, 0)
		if spent != 0 {
			t.Errorf("nothing was done, for $%v", spent)
		}

		// Two objects and two of states; 50 GETs; two rows that note them, and two of
		// each of five parts.
		a.stats.Merged(600, 6, 3, 30)
		a.stats.Merged(400, 4, 2, 20)
		a.stats.Removed(7, 3, 999)
		a.stats.Removable(11, 123, time.Hour)
		merging := 4*1.0 + 50*0.01 + 12*0.0001
		merge, cleanup, spent = ask()
		same("five times as much as was merged", merge, 5000, 60_000, 5*merging)
		same("eleven rows", cleanup, 123, 3_600_000, 11*0.0001)
		if want := merging + 7*0.0001; math.Abs(spent-want) > 1e-9 {
			t.Errorf("the background cost $%v, want $%v", spent, want)
		}
	})
}
