package topics

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
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

func create(t *testing.T, c *Catalog, name string) *meta.Topic {
	t.Helper()
	made, err := c.Create(t.Context(), name, 3)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestNamesAndCounts(t *testing.T) {
	c := New(memory.NewRows(), 10)
	for _, name := range []string{"a", "A.b_c-9", "...", "_", strings.Repeat("x", 249)} {
		if made, err := c.Create(t.Context(), name, 10); err != nil || made.Name != name || made.Partitions != 10 {
			t.Errorf("%q: %v, %v", name, made, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ä", "a\n", strings.Repeat("x", 250), "a\x00"} {
		if _, err := c.Create(t.Context(), name, 1); !errors.Is(err, reason.InvalidArgument) {
			t.Errorf("%q was created with %v", name, err)
		}
		if _, err := c.ByName(t.Context(), name); !errors.Is(err, reason.InvalidArgument) {
			t.Errorf("%q was looked up with %v", name, err)
		}
		if _, err := c.Delete(t.Context(), name, nil); !errors.Is(err, reason.InvalidArgument) {
			t.Errorf("%q was deleted with %v", name, err)
		}
	}
	for _, n := range []uint32{0, 11, 1 << 31} {
		if _, err := c.Create(t.Context(), "count", n); !errors.Is(err, reason.InvalidArgument) {
			t.Errorf("%d partitions: %v", n, err)
		}
	}
	if _, err := c.Create(t.Context(), "a", 1); !errors.Is(err, reason.TopicExists) {
		t.Errorf("again: %v", err)
	}
}

// A topic that is made again under its name is another one: it has another id,
// and the old id has its tombstone.
func TestRecreate(t *testing.T) {
	rows := memory.NewRows()
	c := New(rows, 10)
	old := create(t, c, "t")
	if _, err := c.Delete(t.Context(), "t", new(old.ID+1)); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("deleted under another id: %v", err)
	}
	if gone, err := c.Delete(t.Context(), "t", &old.ID); err != nil || gone.ID != old.ID {
		t.Fatalf("deleted %v, %v", gone, err)
	}
	for name, err := range map[string]error{
		"by name": second(c.ByName(t.Context(), "t")), "by id": second(c.ByID(t.Context(), old.ID)),
		"deleted again": second(c.Delete(t.Context(), "t", nil)),
	} {
		if !errors.Is(err, reason.UnknownTopic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	young := create(t, c, "t")
	if young.ID == old.ID {
		t.Errorf("id %d is used again", old.ID)
	}
	if _, err := c.Delete(t.Context(), "t", &old.ID); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("deleted the young one under the old id: %v", err)
	}
	if found, err := c.ByID(t.Context(), young.ID); err != nil || found.Name != "t" {
		t.Errorf("by id: %v, %v", found, err)
	}
	if got := buried(t, rows); !slices.Equal(got, []uint32{old.ID}) {
		t.Errorf("tombstones of %v", got)
	}
	other := New(rows, 10)
	if all, err := other.Refresh(t.Context()); err != nil || len(all) != 1 || all[0].ID != young.ID {
		t.Errorf("listed %v, %v", all, err)
	}
}

func second(_ *meta.Topic, err error) error { return err }

func buried(t *testing.T, rows meta.Store) (ids []uint32) {
	t.Helper()
	for row, err := range meta.Scan[*meta.Tombstone](t.Context(), rows) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, row.Topic)
	}
	slices.Sort(ids)
	return ids
}

// A catalog that remembers a topic which another agent deleted must not refuse
// to make it anew.
func TestCreateAfterAnotherDeleted(t *testing.T) {
	rows := memory.NewRows()
	a, b := New(rows, 10), New(rows, 10)
	create(t, a, "t")
	if _, err := b.ByName(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Delete(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), "t", 1); err != nil {
		t.Errorf("created with %v", err)
	}
}

// Of many that create one name at a time, over a slow store, one wins, and all
// ids are different.
func TestConcurrentCreates(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			latency := faults.Latency{P50: time.Millisecond, P99: 20 * time.Millisecond}
			rows := faults.New(faults.Plan{Seed: seed, Commit: latency, Read: latency}).Rows(memory.NewRows())
			var mu sync.Mutex
			var group sync.WaitGroup
			winners, ids := map[string]int{}, map[uint32]bool{}
			for i := range 12 {
				name := fmt.Sprint("t", i%3)
				group.Go(func() {
					made, err := New(rows, 10).Create(t.Context(), name, 1)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && ids[made.ID]:
						t.Errorf("seed %d: id %d twice", seed, made.ID)
					case err == nil:
						winners[name]++
						ids[made.ID] = true
					case !errors.Is(err, reason.TopicExists):
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			group.Wait()
			if len(winners) != 3 || winners["t0"]+winners["t1"]+winners["t2"] != 3 {
				t.Errorf("seed %d: winners %v", seed, winners)
			}
		})
	}
}

// Whatever single request to the store fails, before or after its effect or
// late: no id is used twice, no topic is lost or doubled, and every deleted
// one has its tombstone, from which its data is removed.
func TestEveryFault(t *testing.T) {
	for _, rule := range []faults.Rule{
		{Kind: faults.ErrBefore},
		{Kind: faults.ErrAfter},
		{Kind: faults.Late, Pause: time.Millisecond},
		{Kind: faults.Late, Pause: time.Second},
	} {
		for rule.First = 1; ; rule.First++ {
			fired := false
			synctest.Test(t, func(t *testing.T) { fired = lifecycle(t, rule) })
			if !fired {
				break
			}
			if t.Failed() {
				t.Fatalf("under %v", rule)
			}
		}
	}
}

// lifecycle makes, deletes and makes again two topics, as a person would who
// repeats what failed.
func lifecycle(t *testing.T, rule faults.Rule) (fired bool) {
	t.Helper()
	rows := memory.NewRows()
	injector := faults.New(faults.Plan{Rules: []faults.Rule{rule}})
	c := New(injector.Rows(rows), 10)
	ids := map[uint32]string{}
	dead := map[uint32]bool{}
	note := func(made *meta.Topic) {
		if ids[made.ID] != "" {
			t.Errorf("id %d was given out twice", made.ID)
		}
		ids[made.ID] = made.Name
	}
	for round := range 3 {
		for _, name := range []string{"a", "b"} {
			made := insist(t, func() (*meta.Topic, error) { return c.Create(t.Context(), name, 2) }, reason.TopicExists)
			if made == nil { // it was there when it was asked for again
				var err error
				if made, err = New(rows, 10).ByName(t.Context(), name); err != nil {
					t.Fatalf("%s exists and is not there: %v", name, err)
				}
			}
			note(made)
			if round == 2 {
				continue
			}
			insist(t, func() (*meta.Topic, error) { return c.Delete(t.Context(), name, &made.ID) }, reason.UnknownTopic)
			dead[made.ID] = true
		}
	}
	injector.Wait()
	checkStore(t, rows, ids, dead)
	return injector.Injected() > 0
}

// checkStore expects that exactly the dead are buried, and the others listed.
func checkStore(t *testing.T, rows meta.Store, ids map[uint32]string, dead map[uint32]bool) {
	t.Helper()
	all, err := New(rows, 10).Refresh(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%d topics are left, %v", len(all), err)
	}
	for _, topic := range all {
		if ids[topic.ID] != topic.Name || dead[topic.ID] || topic.Partitions != 2 {
			t.Errorf("%+v is left; made were %v", topic, ids)
		}
	}
	if got, want := buried(t, rows), slices.Sorted(maps.Keys(dead)); !slices.Equal(got, want) {
		t.Errorf("buried are %v, and dead %v", got, want)
	}
}

// insist repeats a call until it succeeds, or is refused because an earlier
// try did what it should; then it returns nil.
func insist(t *testing.T, call func() (*meta.Topic, error), done reason.Reason) *meta.Topic {
	t.Helper()
	for range 5 {
		got, err := call()
		if err == nil {
			return got
		}
		if errors.Is(err, done) {
			return nil
		}
		if !errors.Is(err, faults.ErrInjected) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // what is late lands
	}
	t.Fatal("it never succeeds")
	return nil
}

// retrying is a store's client that sends a lost swap again on its own, and
// meets its own first try: it reports a conflict although the swap stands.
type retrying struct {
	meta.Store
	meanwhile func()
}

func (r *retrying) Swap(ctx context.Context, row meta.Row) error {
	if err := r.Store.Swap(ctx, row); err != nil {
		return err
	}
	if then := r.meanwhile; then != nil {
		r.meanwhile = nil
		then()
		return meta.ErrConflict
	}
	return nil
}

// One call deletes one topic: when its name goes to a later topic while the
// outcome is in doubt, that one stays.
func TestDeleteSparesLaterTopic(t *testing.T) {
	rows := memory.NewRows()
	old := create(t, New(rows, 10), "t")
	var young *meta.Topic
	store := &retrying{Store: rows, meanwhile: func() { young = create(t, New(rows, 10), "t") }}
	if _, err := New(store, 10).Delete(t.Context(), "t", nil); err != nil && !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("deleted with %v", err)
	}
	if found, err := New(rows, 10).ByName(t.Context(), "t"); err != nil || found.ID != young.ID {
		t.Errorf("the later topic: %v, %v", found, err)
	}
	if got := buried(t, rows); !slices.Equal(got, []uint32{old.ID}) {
		t.Errorf("tombstones of %v", got)
	}
}

// Ids end where packed commits would outgrow their 24 bytes.
func TestIDsUsedUp(t *testing.T) {
	rows := memory.NewRows()
	if err := rows.Create(t.Context(), &meta.Counter{Name: counterName, Last: maxID - 1}); err != nil {
		t.Fatal(err)
	}
	c := New(rows, 10)
	if made := create(t, c, "last"); made.ID != maxID {
		t.Errorf("the last id is %d", made.ID)
	}
	if made, err := c.Create(t.Context(), "more", 1); err == nil {
		t.Errorf("topic %v", made)
	}
}

// That there is no topic is said only by the store itself (UNKNOWN_TOPIC makes
// producers give up): a store that is down says nothing of the kind.
func TestUnknownOnlyAfterRead(t *testing.T) {
	rows := memory.NewRows()
	create(t, New(rows, 10), "new")
	injector := faults.New(faults.Plan{Rules: []faults.Rule{{Every: 1, Kind: faults.ErrBefore}}})
	c := New(injector.Rows(rows), 10)
	for name, err := range map[string]error{
		"by name": second(c.ByName(t.Context(), "new")), "by id": second(c.ByID(t.Context(), 1)), "delete": second(c.Delete(t.Context(), "new", nil)),
	} {
		if err == nil || errors.Is(err, reason.UnknownTopic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	injector.Disarm()
	if found, err := c.ByName(t.Context(), "new"); err != nil || found.Name != "new" {
		t.Errorf("found %v, %v", found, err)
	}
}

// A topic that is known costs no request for each record (hole 24).
func TestLookupsAreCached(t *testing.T) {
	injector := faults.New(faults.Plan{})
	c := New(injector.Rows(memory.NewRows()), 10)
	made := create(t, c, "t")
	before := fmt.Sprint(injector.Ops())
	for range 100 {
		if found, err := c.ByName(t.Context(), "t"); err != nil || found.ID != made.ID {
			t.Fatal(found, err)
		}
		if found, err := c.ByID(t.Context(), made.ID); err != nil || found.Name != "t" {
			t.Fatal(found, err)
		}
	}
	if after := fmt.Sprint(injector.Ops()); after != before {
		t.Errorf("lookups cost %s, after %s", after, before)
	}
}

// during calls a function in the middle of a scan.
type during struct {
	meta.Store
	call func()
}

func (d *during) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		for row, err := range d.Store.Scan(ctx, kind) {
			d.call()
			if !yield(row, err) {
				return
			}
		}
	}
}

// A topic that is deleted while all are read does not come back with them.
func TestDeletedDuringRefresh(t *testing.T) {
	store := &during{Store: memory.NewRows(), call: func() {}}
	c := New(store, 10)
	made := create(t, c, "t")
	store.call = func() {
		store.call = func() {}
		if _, err := c.Delete(t.Context(), "t", nil); err != nil {
			t.Error(err)
		}
	}
	if all, err := c.Refresh(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("listed %v, %v", all, err)
	}
	if found, err := c.ByName(t.Context(), "t"); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("by name: %v, %v", found, err)
	}
	if found, err := c.ByID(t.Context(), made.ID); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("by id: %v, %v", found, err)
	}
}

// Who goes on sending to a deleted topic costs one read in all.
func TestDeletedCostsOneRead(t *testing.T) {
	rows := memory.NewRows()
	other := New(rows, 10)
	made := create(t, other, "t")
	if _, err := other.Delete(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	injector := faults.New(faults.Plan{})
	c := New(injector.Rows(rows), 10)
	for range 100 {
		if found, err := c.ByID(t.Context(), made.ID); !errors.Is(err, reason.UnknownTopic) {
			t.Fatal(found, err)
		}
	}
	if ops := injector.Ops(); ops[faults.RowGet] != 1 || ops[faults.RowQuery] != 0 {
		t.Errorf("cost %v", ops)
	}
}

// Who is about to send to a topic is told which one has the name now, and not
// which one had it when this agent looked last: records that are sent to a deleted
// topic are lost with it.
func TestLookupOfTopicMadeAnew(t *testing.T) {
	t.Parallel()
	store := memory.NewRows()
	here, there := New(store, 10), New(store, 10)
	old, err := here.Create(t.Context(), "t", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := there.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Delete(t.Context(), "t", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Lookup(t.Context(), "t"); !errors.Is(err, reason.UnknownTopic) {
		t.Errorf("after it was deleted: %v", err)
	}
	anew, err := here.Create(t.Context(), "t", 2)
	if err != nil {
		t.Fatal(err)
	}
	found, err := there.Lookup(t.Context(), "t")
	if err != nil || found.ID != anew.ID || found.ID == old.ID {
		t.Errorf("found %+v, %v; the topic is %+v", found, err, anew)
	}
}
