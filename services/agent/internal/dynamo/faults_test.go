package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/standin"
)

func awsError(kind string) string {
	return fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"injected"}`, kind)
}

// doubtful faults leave open whether the request happened; some of them did.
var doubtfulFaults = map[string]standin.Rule{
	"lost":        {Kind: standin.Lose},
	"dropped":     {Kind: standin.Drop},
	"cut":         {Kind: standin.Cut},
	"spoilt 500":  {Kind: standin.Spoil, Status: 500, Body: awsError("InternalServerError")},
	"refused 500": {Kind: standin.Refuse, Status: 500, Body: awsError("InternalServerError")},
	"refused 503": {Kind: standin.Refuse, Status: 503, Body: awsError("ServiceUnavailable")},
	"a proxy's":   {Kind: standin.Refuse, Status: 502, Body: "<html>Bad Gateway</html>"},
	"half a 400":  {Kind: standin.Spoil, Status: 400, Body: `{"__type":"com.amazonaws.dyn`},
	"slow":        {Kind: standin.Slow, Delay: slow},
	"late":        {Kind: standin.Late, Delay: slow},
}

// clearFaults say that the request did not happen.
var clearFaults = map[string]standin.Rule{
	"throttled":        {Kind: standin.Refuse, Status: 400, Body: awsError("ThrottlingException")},
	"too much for AWS": {Kind: standin.Refuse, Status: 400, Body: awsError("ProvisionedThroughputExceededException")},
	"too much for us":  {Kind: standin.Refuse, Status: 400, Body: awsError("RequestLimitExceeded")},
}

// A try is given up after patience, and what is slow takes longer.
const (
	patience = 30 * time.Millisecond
	slow     = 3 * patience / 2
)

// each yields every fault, once and three times in a row.
func each(sets ...map[string]standin.Rule) iter.Seq2[string, standin.Rule] {
	return func(yield func(string, standin.Rule) bool) {
		for _, set := range sets {
			for name, rule := range set {
				for _, times := range []int{1, 3} {
					rule.Times = times
					if !yield(fmt.Sprintf("%s %d times", name, times), rule) {
						return
					}
				}
			}
		}
	}
}

// impatient is a store that gives a try up after patience.
func impatient(t *testing.T) (*world, *dynamo.Store) {
	t.Helper()
	w := newWorld(t)
	s := w.store(t)
	dynamo.Hurry(s, patience)
	return w, s
}

// While nobody else writes, every write succeeds once, whatever happens to its
// requests: a try that meets what an earlier one did is a success.
func TestWritesMeetThemselves(t *testing.T) {
	t.Parallel()
	for name, rule := range each(doubtfulFaults, clearFaults) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := impatient(t)
			row := &meta.Session{ID: "s", Beat: 1}
			w.set(t, rule)
			mustCreate(t, s, row)
			wantRow(t, w, row)
			for beat := range uint64(3) {
				row.Beat = beat
				w.set(t, rule)
				if err := s.Swap(t.Context(), row); err != nil {
					t.Fatalf("swap: %v", err)
				}
				if row.Version != beat+2 {
					t.Fatalf("version after swap: got %d, want %d", row.Version, beat+2)
				}
				wantRow(t, w, row)
			}
			w.set(t, rule)
			if err := s.Delete(t.Context(), row); err != nil {
				t.Fatalf("delete: %v", err)
			}
			if w.fired(t) == 0 { // and what was late has landed
				t.Error("no fault was injected")
			}
			if err := w.peace(t).Get(t.Context(), &meta.Session{ID: "s"}); !errors.Is(err, meta.ErrNotFound) {
				t.Fatalf("get after delete: got %v, want ErrNotFound", err)
			}
		})
	}
}

// What others have written before is never taken for our own.
func TestRefusalsStayRefusals(t *testing.T) {
	t.Parallel()
	for name, rule := range each(doubtfulFaults, clearFaults) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := impatient(t)
			other := w.peace(t)
			theirs := &meta.Session{ID: "s", Agent: "theirs"}
			mustCreate(t, other, theirs)
			w.set(t, rule)
			if err := s.Create(t.Context(), &meta.Session{ID: "s"}); !errors.Is(err, meta.ErrExists) {
				t.Errorf("create: got %v, want ErrExists", err)
			}
			stale := &meta.Session{Header: theirs.Header, ID: "s"}
			w.set(t)
			if err := other.Swap(t.Context(), theirs); err != nil {
				t.Fatal(err)
			}
			w.set(t, rule)
			if err := s.Swap(t.Context(), stale); !errors.Is(err, meta.ErrConflict) {
				t.Errorf("swap: got %v, want ErrConflict", err)
			}
			w.set(t, rule)
			if err := s.Delete(t.Context(), stale); !errors.Is(err, meta.ErrConflict) {
				t.Errorf("delete: got %v, want ErrConflict", err)
			}
			if stale.Version != 1 {
				t.Errorf("refused writes changed the caller's version to %d", stale.Version)
			}
			wantRow(t, w, theirs)
		})
	}
}

// Reads are sent again too.
func TestReadsAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, rule := range each(doubtfulFaults, clearFaults) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := impatient(t)
			mustCreate(t, s, &meta.Entry{Session: "s", Seq: 0}, &meta.Entry{Session: "s", Seq: 1})
			w.set(t, rule)
			if err := s.Get(t.Context(), &meta.Entry{Session: "s", Seq: 1}); err != nil {
				t.Errorf("get: %v", err)
			}
			for name, rows := range map[string]func() int{
				"query": func() int { return count(t, meta.Query[*meta.Entry](t.Context(), s, "s", 0)) },
				"scan":  func() int { return count(t, meta.Scan[*meta.Entry](t.Context(), s)) },
			} {
				w.set(t, rule)
				if n := rows(); n != 2 {
					t.Errorf("%s: got %d rows, want 2", name, n)
				}
			}
		})
	}
}

func count(t *testing.T, rows func(func(*meta.Entry, error) bool)) (n int) {
	t.Helper()
	for _, err := range rows {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	return n
}

// Our write happened, its answer was lost, and before it is sent again others
// go on from it. Then a conflict would be a lie, and a success perhaps one.
func TestOverwritten(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(s meta.Store, row *meta.Session) error{
		"swapped": func(s meta.Store, row *meta.Session) error { return s.Swap(context.Background(), row) },
		"deleted": func(s meta.Store, row *meta.Session) error { return s.Delete(context.Background(), row) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			other := w.peace(t)
			between := func() {
				row := &meta.Session{ID: "s"}
				if err := errors.Join(other.Get(context.Background(), row), then(other, row)); err != nil {
					t.Error(err)
				}
			}
			s, arm := interposed(t, w, between)
			row := &meta.Session{ID: "s", Beat: 7}
			mustCreate(t, s, row)
			arm()
			before := *row
			err := s.Swap(t.Context(), row)
			if err == nil || errors.Is(err, meta.ErrConflict) || errors.Is(err, meta.ErrExists) {
				t.Errorf("swap: got %v, want an unknown outcome", err)
			}
			if !reflect.DeepEqual(*row, before) {
				t.Errorf("an unknown outcome changed the caller's row: %+v", row)
			}
		})
	}
}

// Without a lost answer, the same is a plain conflict.
func TestConflictWithoutDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	row := &meta.Session{ID: "s"}
	mustCreate(t, s, row)
	stale := *row
	for range 3 {
		if err := s.Swap(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	w.set(t, clearFaults["throttled"])
	if err := s.Swap(t.Context(), &stale); !errors.Is(err, meta.ErrConflict) {
		t.Errorf("swap: got %v, want ErrConflict", err)
	}
	if err := s.Delete(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	w.set(t, clearFaults["throttled"])
	if err := s.Swap(t.Context(), row); !errors.Is(err, meta.ErrConflict) {
		t.Errorf("swap of no row: got %v, want ErrConflict", err)
	}
}

// interposed is a store whose next write after arm happens, and then between
// does, and its answer is lost.
func interposed(t *testing.T, w *world, between func()) (s *dynamo.Store, arm func()) {
	t.Helper()
	var armed atomic.Bool
	s = w.open(t, front(t, func(string, []byte) func() {
		if armed.Swap(false) {
			return between
		}
		return nil
	}))
	return s, func() { armed.Store(true) }
}

// What never gets an answer ends in an error of its own, within bounds, and
// leaves the caller's row as it was.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]standin.Rule{
		"dropped":   {Kind: standin.Drop, Times: 1 << 30},
		"lost":      {Kind: standin.Lose, Times: 1 << 30},
		"throttled": {Kind: standin.Refuse, Status: 400, Body: awsError("ThrottlingException"), Times: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.store(t)
			dynamo.SetTotal(s, 200*time.Millisecond)
			w.set(t, rule)
			row := &meta.Session{ID: "s"}
			start := time.Now()
			err := s.Create(t.Context(), row)
			if err == nil || errors.Is(err, meta.ErrExists) || errors.Is(err, meta.ErrConflict) {
				t.Errorf("create: got %v, want an unknown outcome", err)
			}
			if row.Version != 0 {
				t.Errorf("the caller's row has version %d", row.Version)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("gave up after %v", took)
			}
			// Pauses of 5 to 10 ms at the most: anything above is a storm.
			if n := w.fired(t); n < 5 || n > 60 {
				t.Errorf("sent %d times in 200 ms, want it to back off and not to give up early", n)
			}
		})
	}
}

// A caller that leaves is let go at once, though the request hangs.
func TestLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	w.set(t, standin.Rule{Kind: standin.Late, Delay: 500 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Create(ctx, &meta.Session{ID: "s"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create: got %v, want the caller's deadline", err)
	}
	if took := time.Since(start); took > 400*time.Millisecond {
		t.Errorf("left after %v", took)
	}
}

// Nobody listens: nothing can have happened, and the error says where.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	var seen ledger
	s := open(t, config(closed.URL), dynamo.Options{TablePrefix: "test", Observe: seen.observe})
	dynamo.Hurry(s, patience)
	dynamo.SetTotal(s, 50*time.Millisecond)
	err := s.Create(t.Context(), &meta.Session{ID: "s"})
	if err == nil || errors.Is(err, meta.ErrExists) {
		t.Fatalf("create: got %v, want an error", err)
	}
	all := seen.take()
	if len(all) < 2 {
		t.Errorf("sent %d times, want it to try again", len(all))
	}
	for _, r := range all {
		if r.Err == nil || r.WriteUnits != 0 {
			t.Errorf("observed %+v, want a failure without units", r)
		}
	}
}

// wantRow reads with a store of its own, when what is late has landed.
func wantRow(t *testing.T, w *world, want *meta.Session) {
	t.Helper()
	w.fired(t)
	got := &meta.Session{ID: want.ID}
	if err := w.peace(t).Get(t.Context(), got); err != nil {
		t.Fatalf("get: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}
