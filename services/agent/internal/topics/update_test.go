package topics

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

const day = 24 * 60 * 60 * 1000

func stored(t *testing.T, rows meta.Store, name string) *meta.Topic {
	t.Helper()
	row := &meta.Topic{Name: name}
	if err := rows.Get(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	return row
}

// Only what is given changes, in the row and in what is remembered; what is so
// already writes nothing.
func TestUpdate(t *testing.T) {
	rows := memory.NewRows()
	c := New(rows, 10)
	made := create(t, c, "t")
	want := *made
	for i, step := range []struct {
		change Change
		expect func()
	}{
		{Change{}, func() {}},
		{Change{Partitions: new(uint32(3))}, func() {}},
		{Change{RetentionMillis: new(int64(day))}, func() { want.RetentionMillis, want.Version = day, 2 }},
		{Change{Partitions: new(uint32(10)), ID: &made.ID}, func() { want.Partitions, want.Version = 10, 3 }},
		{Change{RetentionBytes: new(int64(1 << 20))}, func() { want.RetentionBytes, want.Version = 1<<20, 4 }},
		{Change{RetentionBytes: new(int64(1 << 20))}, func() {}},
		{Change{RetentionMillis: new(int64(0)), RetentionBytes: new(int64(0))}, func() {
			want.RetentionMillis, want.RetentionBytes, want.Version = 0, 0, 5
		}},
	} {
		step.expect()
		got, err := c.Update(t.Context(), "t", step.change)
		if err != nil || *got != want {
			t.Errorf("step %d: %+v, %v; want %+v", i, got, err, want)
		}
		if row := stored(t, rows, "t"); *row != want {
			t.Errorf("step %d: stored is %+v, want %+v", i, row, want)
		}
		if known, err := c.ByID(t.Context(), made.ID); err != nil || *known != want {
			t.Errorf("step %d: remembered is %+v, %v", i, known, err)
		}
	}
	if made.Partitions != 3 {
		t.Error("a topic that was handed out has changed under its holder")
	}
}

// What no topic can have is refused, by creation and change alike, and says what
// can be done.
func TestRefusedSettings(t *testing.T) {
	rows := memory.NewRows()
	c := New(rows, 10)
	made := create(t, c, "t")
	for name, tt := range map[string]struct {
		change Change
		says   string
	}{
		"fewer":         {Change{Partitions: new(uint32(2))}, "can only grow"},
		"none":          {Change{Partitions: new(uint32(0))}, "can only grow"},
		"too many":      {Change{Partitions: new(uint32(11))}, "has 1 to 10"},
		"negative time": {Change{RetentionMillis: new(int64(-1))}, "0 to keep records for ever"},
		"a second":      {Change{RetentionMillis: new(int64(1000))}, "give 60000 ms"},
		"almost":        {Change{RetentionMillis: new(int64(59_999))}, "give 60000 ms"},
		"negative size": {Change{RetentionBytes: new(int64(-1 << 40))}, "0 to keep all"},
		"small size":    {Change{RetentionBytes: new(int64(1<<20 - 1))}, "give 1048576 (1 MiB)"},
	} {
		if _, err := c.Update(t.Context(), "t", tt.change); !errors.Is(err, reason.InvalidArgument) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
		fresh := &meta.Topic{Name: "u", Partitions: 1}
		if n := tt.change.Partitions; n != nil {
			if *n == 2 {
				continue
			}
			fresh.Partitions = *n
		}
		if ms := tt.change.RetentionMillis; ms != nil {
			fresh.RetentionMillis = *ms
		}
		if bytes := tt.change.RetentionBytes; bytes != nil {
			fresh.RetentionBytes = *bytes
		}
		if err := c.Make(t.Context(), fresh); !errors.Is(err, reason.InvalidArgument) {
			t.Errorf("%s: made with %v", name, err)
		}
	}
	if row := stored(t, rows, "t"); *row != *made {
		t.Errorf("stored is %+v", row)
	}
	if err := c.Make(t.Context(), &meta.Topic{Name: "least", Partitions: 1, RetentionMillis: 60_000, RetentionBytes: 1 << 20}); err != nil {
		t.Error(err)
	}
	if row := stored(t, rows, "least"); row.RetentionMillis != 60_000 || row.RetentionBytes != 1<<20 {
		t.Errorf("stored is %+v", row)
	}
}

// A change never hits a topic that took the name of the one that was meant.
func TestUpdateOfTopicMadeAnew(t *testing.T) {
	rows := memory.NewRows()
	c := New(rows, 10)
	old := create(t, c, "t")
	var young *meta.Topic
	store := &retrying{Store: rows, meanwhile: func() {
		if _, err := c.Delete(t.Context(), "t", nil); err != nil {
			t.Error(err)
		}
		young = create(t, c, "t")
	}}
	if got, err := New(store, 10).Update(t.Context(), "t", Change{Partitions: new(uint32(7))}); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("%v, %v", got, err)
	}
	if row := stored(t, rows, "t"); row.ID != young.ID || row.Partitions != 3 {
		t.Errorf("the later topic is %+v", row)
	}
	for name, change := range map[string]Change{"old": {ID: &old.ID}, "other": {ID: new(young.ID + 1)}} {
		if _, err := c.Update(t.Context(), "t", change); !errors.Is(err, reason.UnknownTopic) {
			t.Errorf("under the %s id: %v", name, err)
		}
	}
	if _, err := c.Delete(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t", "never"} {
		if _, err := c.Update(t.Context(), name, Change{}); !errors.Is(err, reason.UnknownTopic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Many agents change different settings of a topic at a time, over a slow
// store: none of the changes is lost, and the number of partitions never falls.
func TestConcurrentUpdates(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			latency := faults.Latency{P50: time.Millisecond, P99: 20 * time.Millisecond}
			rows := memory.NewRows()
			slow := faults.New(faults.Plan{Seed: seed, Commit: latency, Read: latency}).Rows(rows)
			create(t, New(rows, 100), "t")
			var group sync.WaitGroup
			update := func(change Change) {
				group.Go(func() {
					if _, err := New(slow, 100).Update(t.Context(), "t", change); err != nil && !errors.Is(err, reason.InvalidArgument) {
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			for n := range uint32(8) {
				update(Change{Partitions: new(4 + n)})
			}
			update(Change{RetentionMillis: new(int64(day))})
			update(Change{RetentionBytes: new(int64(1 << 30))})
			group.Wait()
			if row := stored(t, rows, "t"); row.Partitions != 11 || row.RetentionMillis != day || row.RetentionBytes != 1<<30 {
				t.Errorf("seed %d: %+v", seed, row)
			}
		})
	}
}

// Whatever single request fails, before or after its effect or late: an error
// may hide a success, a success hides nothing, and asking again gets there.
func TestUpdateUnderFaults(t *testing.T) {
	for _, rule := range []faults.Rule{
		{Kind: faults.ErrBefore},
		{Kind: faults.ErrAfter},
		{Kind: faults.Late, Pause: time.Second},
	} {
		for rule.First = 1; ; rule.First++ {
			fired := false
			synctest.Test(t, func(t *testing.T) { fired = updates(t, rule) })
			if !fired {
				break
			}
		}
	}
}

func updates(t *testing.T, rule faults.Rule) (fired bool) {
	t.Helper()
	rows := memory.NewRows()
	create(t, New(rows, 100), "t")
	injector := faults.New(faults.Plan{Rules: []faults.Rule{rule}})
	c := New(injector.Rows(rows), 100)
	for n := uint32(4); n < 8; n++ {
		got := insist(t, func() (*meta.Topic, error) {
			got, err := c.Update(t.Context(), "t", Change{Partitions: &n})
			if err == nil && stored(t, rows, "t").Partitions != n {
				t.Errorf("under %v: %d partitions are told and %d stored", rule, n, stored(t, rows, "t").Partitions)
			}
			return got, err
		}, "")
		if got == nil || got.Partitions != n {
			t.Fatalf("under %v: %+v", rule, got)
		}
	}
	injector.Wait()
	if row := stored(t, rows, "t"); row.Partitions != 7 {
		t.Errorf("under %v: %+v", rule, row)
	}
	return injector.Injected() > 0
}

// Partitions that another agent added are not denied by one that has not heard
// of them: UNKNOWN_TOPIC makes producers give up.
func TestPartitionAddedElsewhere(t *testing.T) {
	rows := memory.NewRows()
	here, there := New(rows, 10), New(rows, 10)
	made := create(t, here, "t")
	old, err := there.ByName(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.Update(t.Context(), "t", Change{Partitions: new(uint32(5))}); err != nil {
		t.Fatal(err)
	}
	if now, err := there.With(t.Context(), old, 4); err != nil || now.Partitions != 5 {
		t.Errorf("%+v, %v", now, err)
	}
	if known, err := there.ByID(t.Context(), made.ID); err != nil || known.Partitions != 5 {
		t.Errorf("remembered is %+v, %v", known, err)
	}
	if _, err := there.With(t.Context(), old, 5); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("partition 5: %v", err)
	}
}

// What was read before a change, and comes after it, does not hide the change.
func TestUpdateDuringRefresh(t *testing.T) {
	store := &during{Store: memory.NewRows(), call: func() {}}
	c := New(store, 10)
	made := create(t, c, "t")
	store.call = func() {
		store.call = func() {}
		if _, err := c.Update(t.Context(), "t", Change{Partitions: new(uint32(9))}); err != nil {
			t.Error(err)
		}
	}
	if all, err := c.Refresh(t.Context()); err != nil || len(all) != 1 || all[0].Partitions != 9 {
		t.Errorf("listed %v, %v", all, err)
	}
	if known, err := c.ByID(t.Context(), made.ID); err != nil || known.Partitions != 9 {
		t.Errorf("remembered is %v, %v", known, err)
	}
}

// With an id, a name leads to that topic or to none, whatever is remembered.
func TestNamedByID(t *testing.T) {
	rows := memory.NewRows()
	here, there := New(rows, 10), New(rows, 10)
	old := create(t, here, "t")
	if _, err := there.ByName(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Delete(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	young := create(t, here, "t")
	if found, err := there.Named(t.Context(), "t", nil); err != nil || found.ID != old.ID {
		t.Fatalf("it remembers %v, %v", found, err)
	}
	if found, err := there.Named(t.Context(), "t", &young.ID); err != nil || found.ID != young.ID {
		t.Errorf("the young one: %v, %v", found, err)
	}
	if found, err := there.Named(t.Context(), "t", &old.ID); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("the old one: %v, %v", found, err)
	}
}

// between calls a function between the reading of a row and its arrival.
type between struct {
	meta.Store
	call func()
}

func (b *between) Get(ctx context.Context, row meta.Row) error {
	err := b.Store.Get(ctx, row)
	if then := b.call; then != nil {
		b.call = nil
		then()
	}
	return err
}

// A lookup that is overtaken by a change does not bring the old settings back.
func TestUpdateDuringLookup(t *testing.T) {
	store := &between{Store: memory.NewRows()}
	c := New(store, 10)
	made := create(t, c, "t")
	store.call = func() {
		if _, err := c.Update(t.Context(), "t", Change{Partitions: new(uint32(9))}); err != nil {
			t.Error(err)
		}
	}
	if found, err := c.Lookup(t.Context(), "t"); err != nil || found.ID != made.ID {
		t.Errorf("found %v, %v", found, err)
	}
	if known, err := c.ByName(t.Context(), "t"); err != nil || known.Partitions != 9 {
		t.Errorf("remembered is %v, %v", known, err)
	}
}
