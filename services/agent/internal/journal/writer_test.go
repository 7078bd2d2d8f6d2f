package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// segmentOf is the key of the n-th segment that a test commits.
func segmentOf(n int) string { return fmt.Sprintf("s/%d", n) }

// segments are what a row names.
func segments(keys ...string) []meta.Segment {
	all := make([]meta.Segment, len(keys))
	for i, key := range keys {
		all[i] = meta.Segment{Key: key, Size: 1}
	}
	return all
}

// stored returns the journal as it stands: the segments in order, and whether
// it ends with a seal. Gaps and rows behind the seal are errors.
func stored(t *testing.T, rows meta.Store) (segments []string, sealed bool) {
	t.Helper()
	next := uint64(0)
	for row, err := range meta.Query[*meta.Entry](t.Context(), rows, "s", 0) {
		switch {
		case err != nil:
			t.Fatal(err)
		case row.Seq != next:
			t.Fatalf("row %d follows row %d", row.Seq, int64(next)-1)
		case sealed:
			t.Fatalf("row %d (%+v) stands behind the seal", row.Seq, row)
		case row.Seal:
			sealed = true
		default:
			for _, s := range row.Segments {
				segments = append(segments, s.Key)
			}
		}
		next++
	}
	return segments, sealed
}

// kinds are all faults, each with the pause that lets it do harm.
var kinds = []faults.Rule{
	{Kind: faults.ErrBefore},
	{Kind: faults.ErrAfter},
	{Kind: faults.Pause, Pause: 3 * time.Second},
	{Kind: faults.Late, Pause: time.Millisecond},
	{Kind: faults.Late, Pause: time.Second},
}

// Whatever single operation fails, before or after its effect or late, every
// segment is committed once, in order (R1, R3).
func TestWriterEveryFault(t *testing.T) {
	for _, kind := range kinds {
		for n := uint64(1); ; n++ {
			rule := kind
			rule.First = n
			if !writeFive(t, rule) {
				break
			}
		}
	}
}

// writeFive returns whether the rule fired at all.
func writeFive(t *testing.T, rule faults.Rule) (fired bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		injector := faults.New(faults.Plan{Rules: []faults.Rule{rule}})
		w := NewWriter(injector.Rows(rows), "s")
		var want []string
		for i := range 5 {
			want = append(want, segmentOf(i))
			if err := w.Append(t.Context(), segments(segmentOf(i))); err != nil {
				t.Fatalf("%v: %v", rule, err)
			}
			if got, _ := stored(t, rows); !slices.Equal(got, want) {
				t.Fatalf("%v: acknowledged %v while the journal has %v", rule, want, got)
			}
		}
		injector.Wait()
		if got, _ := stored(t, rows); !slices.Equal(got, want) || w.Next() != 5 {
			t.Fatalf("%v: the journal has %v, and next is %d", rule, got, w.Next())
		}
		fired = injector.Injected() > 0
	})
	return fired
}

// A commit whose outcome stays unknown is the writer's last: whatever came
// after it could stand on a row that is not there, or be written over by it.
func TestUnresolvedIsLast(t *testing.T) {
	for _, rule := range []faults.Rule{
		{Kind: faults.ErrBefore, Every: 1},
		{Kind: faults.ErrAfter, Every: 1},
		{Kind: faults.Late, Every: 1, Pause: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			rows := memory.NewRows()
			injector := faults.New(faults.Plan{Rules: []faults.Rule{rule}})
			w := NewWriter(injector.Rows(rows), "s")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("had enough"))
			defer cancel()
			if err := w.Append(ctx, segments("s/lost")); !errors.Is(err, faults.ErrInjected) || !errors.Is(err, context.Cause(ctx)) {
				t.Errorf("%v: ended with %v", rule, err)
			}
			injector.Disarm()
			if err := w.Append(t.Context(), segments("s/other")); !errors.Is(err, ErrUnresolved) {
				t.Errorf("%v: went on with %v", rule, err)
			}
			injector.Wait()
			if got, _ := stored(t, rows); slices.Contains(got, "s/other") {
				t.Errorf("%v: the journal has %v", rule, got)
			}
		})
	}
}

// A store that is down for a while delays a commit and does not lose it.
func TestWriterOutlastsOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		injector := faults.New(faults.Plan{Rules: []faults.Rule{{Kind: faults.ErrBefore, Every: 1}}})
		w := NewWriter(injector.Rows(rows), "s")
		time.AfterFunc(10*time.Minute, injector.Disarm)
		began := time.Now()
		if err := w.Append(t.Context(), segments("s/0")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 10*time.Minute+maxBackoff {
			t.Errorf("tried again only %v after the store was back", took-10*time.Minute)
		}
		if tries := injector.Ops()[faults.RowCreate]; tries > 700 {
			t.Errorf("tried %d times in 10 minutes", tries)
		}
	})
}

// Any other row in the place of ours means that the session is finished (R7),
// and it stays so.
func TestFenced(t *testing.T) {
	ours := []meta.Segment{{Key: "s/1", Size: 5, Commits: []byte{1, 2}}, {Key: "s/2", Size: 6, Commits: []byte{3}}}
	for name, change := range map[string]func(*meta.Entry){
		"seal":          func(e *meta.Entry) { *e = meta.Entry{Session: "s", Seal: true, By: "x"} },
		"other segment": func(e *meta.Entry) { e.Segments[1].Key = "s/3" },
		"other size":    func(e *meta.Entry) { e.Segments[1].Size++ },
		"other commits": func(e *meta.Entry) { e.Segments[0].Commits = []byte{1, 3} },
		"fewer":         func(e *meta.Entry) { e.Segments = e.Segments[:1] },
		"none":          func(e *meta.Entry) { e.Segments = nil },
	} {
		t.Run(name, func(t *testing.T) {
			rows := memory.NewRows()
			other := meta.Entry{Session: "s", Segments: slices.Clone(ours)}
			change(&other)
			if err := rows.Create(t.Context(), &other); err != nil {
				t.Fatal(err)
			}
			w := NewWriter(rows, "s")
			if err := w.Append(t.Context(), ours); !errors.Is(err, ErrFenced) {
				t.Errorf("appended with %v", err)
			}
			if err := rows.Delete(t.Context(), &other); err != nil { // even then
				t.Fatal(err)
			}
			if err := w.Append(t.Context(), segments("s/9")); err == nil {
				t.Error("a fenced session committed")
			}
			if w.Next() != 0 {
				t.Errorf("next is %d", w.Next())
			}
		})
	}
}

// Seal keeps an earlier seal, and says where it stands.
func TestSealAgain(t *testing.T) {
	rows := memory.NewRows()
	w := NewWriter(rows, "s")
	for i := range 3 {
		if err := w.Append(t.Context(), segments(segmentOf(i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []uint64{0, 2, 3} {
		end, err := Seal(t.Context(), rows, "s", fmt.Sprint("x", from), from)
		if err != nil || end != 3 {
			t.Errorf("sealed from %d at %d, %v", from, end, err)
		}
	}
	seal := &meta.Entry{Session: "s", Seq: 3}
	if err := rows.Get(t.Context(), seal); err != nil || !seal.Seal || seal.By != "x0" {
		t.Errorf("the seal is %+v, %v", seal, err)
	}
}

// A row that was trimmed and came back, with a gap behind it, keeps nobody from
// finding the end and sealing it: a late write must not decide who can take over.
func TestRowThatCameBack(t *testing.T) {
	for came := range uint64(8) {
		rows := memory.NewRows()
		for _, seq := range []uint64{came, 9, 10, 11} {
			row := &meta.Entry{Session: "s", Seq: seq, Segments: segments("s/x")}
			if seq == came && came%2 == 1 { // of one who lost against the commit that stood here
				row = &meta.Entry{Session: "s", Seq: seq, Seal: true}
			}
			if err := rows.Create(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
		for from := range uint64(13) {
			if tail, err := Tail(t.Context(), rows, "s", from); err != nil || tail != 12 {
				t.Errorf("with row %d, from %d: the tail is %d, %v", came, from, tail, err)
			}
		}
		if at, err := Seal(t.Context(), rows, "s", "x", came); err != nil || at != 12 {
			t.Errorf("with row %d: sealed at %d, %v", came, at, err)
		}
	}
}

// One session writes while two others seal its journal, each on a bad network
// of its own. Once a seal stands nothing can be committed behind it, everything
// that was acknowledged stands before it, and both sealers agree (R4).
func TestSealAgainstWriter(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) { sealRace(t, seed) })
	}
}

func sealRace(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 4))
	rows := memory.NewRows()
	w := NewWriter(network(r).Rows(rows), "s")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var group sync.WaitGroup
	var acknowledged, tried []string
	var ended error
	group.Go(func() {
		for i := 0; ended == nil; i++ {
			tried = append(tried, segmentOf(i))
			if ended = w.Append(ctx, segments(segmentOf(i))); ended == nil {
				acknowledged = append(acknowledged, segmentOf(i))
			}
		}
	})
	ends := [2]uint64{}
	for i := range ends {
		delay := time.Duration(r.IntN(100)) * time.Millisecond
		sealer := network(r)
		group.Go(func() {
			time.Sleep(delay)
			end, err := Seal(t.Context(), sealer.Rows(rows), "s", fmt.Sprint("sealer ", i), 0)
			if err != nil {
				t.Errorf("seed %d: seal: %v", seed, err)
			}
			ends[i] = end
		})
	}
	group.Wait()
	time.Sleep(time.Minute) // what is late lands
	got, sealed := stored(t, rows)
	if !sealed || ends[0] != uint64(len(got)) || ends[1] != ends[0] {
		t.Errorf("seed %d: seals at %v, and the journal has %d rows (sealed: %v)", seed, ends, len(got), sealed)
	}
	if len(got) > len(tried) || !slices.Equal(got, tried[:len(got)]) || len(got) < len(acknowledged) {
		t.Errorf("seed %d: acknowledged %d, tried %d, and the journal has %v", seed, len(acknowledged), len(tried), got)
	}
	if !errors.Is(ended, ErrFenced) {
		t.Errorf("seed %d: the writer ended with %v", seed, ended)
	}
}

// network loses and delays some of what passes through it.
func network(r *rand.Rand) *faults.Injector {
	plan := faults.Plan{
		Seed:   r.Uint64(),
		Commit: faults.Latency{P50: 2 * time.Millisecond, P99: 20 * time.Millisecond},
		Read:   faults.Latency{P50: time.Millisecond, P99: 10 * time.Millisecond},
	}
	for _, kind := range kinds {
		// An even distance could hit every write, and spare every read.
		kind.First, kind.Every = 1+r.Uint64N(6), 3+2*r.Uint64N(5)
		if kind.Pause > 0 {
			kind.Pause = time.Duration(1 + r.IntN(int(200*time.Millisecond)))
		}
		plan.Rules = append(plan.Rules, kind)
	}
	injector := faults.New(plan)
	time.AfterFunc(10*time.Second, injector.Disarm) // some plans let nothing pass for ever
	return injector
}
