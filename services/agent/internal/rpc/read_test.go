package rpc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// pushOut fills the memory for recent segments with others, by two commits.
func (a *agent) pushOut() {
	a.t.Helper()
	for n := range 2 {
		a.append(1, encode(1, uint64(n), 1, 9<<20))
	}
}

// holds requires that a fetch gives the one batch at an offset.
func (a *agent) holds(offset uint64) {
	a.t.Helper()
	out, err := a.consume.Fetch(a.t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: offset, MaxBytes: 1})
	if err != nil || len(out.GetBatches()) != 1 || out.GetBatches()[0].GetBaseOffset() != offset {
		a.t.Errorf("offset %d: %v, %v", offset, out, err)
	}
}

// A segment that is gone is told as what it is, and for good. It was answered
// with STORAGE_UNAVAILABLE, and a reader tried it again for ever.
func TestFetchOfMissingSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.append(0, encode(1, 0, 1, 10))
		var keys []string
		for info, err := range a.objects.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, info.Key)
		}
		a.append(0, encode(1, 1, 1, 10))
		a.pushOut()
		if err := a.objects.Delete(t.Context(), keys...); err != nil {
			t.Fatal(err)
		}
		_, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t"})
		e := reason.From(err)
		if e == nil || !errors.Is(e, reason.CorruptSegment) || e.Code != codes.DataLoss || e.Recovery() != reason.Fail ||
			!strings.Contains(e.Message, keys[0]) || !strings.Contains(e.Message, "is missing") {
			t.Errorf("got %v", err)
		}
		a.holds(1)
	})
}

// An agent whose partition another one has taken over, and does not know it yet,
// may look for what was merged and removed meanwhile: its readers are sent on, and
// not told that the log is damaged.
func TestGoneAtAnotherOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.append(0, encode(1, 0, 1, 10))
		var keys []string
		for info, err := range a.objects.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, info.Key)
		}
		a.pushOut()
		row := &meta.Partition{Topic: a.topic.GetId()}
		if err := a.rows.Get(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		row.Owner, row.Epoch = "another", row.Epoch+1
		if err := errors.Join(a.rows.Swap(t.Context(), row), a.objects.Delete(t.Context(), keys...)); err != nil {
			t.Fatal(err)
		}
		_, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t"})
		if e := reason.From(err); e == nil || !errors.Is(e, reason.NotOwner) {
			t.Errorf("got %v", err)
		}
	})
}

// Nor does it tell a reader that is ahead of it that there is no such offset.
func TestAheadOfAnotherOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.append(0, encode(1, 0, 1, 10))
		fetch := &streamhousev1.FetchRequest{Topic: "t", Offset: 15}
		if _, err := a.consume.Fetch(t.Context(), fetch); !errors.Is(reason.From(err), reason.OffsetOutOfRange) {
			t.Errorf("an owner says %v", err)
		}
		row := &meta.Partition{Topic: a.topic.GetId()}
		if err := a.rows.Get(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		row.Owner, row.Epoch, row.Start = "another", row.Epoch+1, 10
		if err := a.rows.Swap(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if _, err := a.consume.Fetch(t.Context(), fetch); !errors.Is(reason.From(err), reason.NotOwner) {
			t.Errorf("one that was says %v", err)
		}
	})
}

// However many readers wait for the store, what is in memory is read at once.
func TestTailDoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Rules: []faults.Rule{{Op: faults.Get, First: 1, Every: 1, Kind: faults.Pause, Pause: 20 * time.Second}}})
		a.append(0, encode(1, 0, 1, 10))
		a.pushOut()
		a.append(2, encode(5, 0, 1, 10))
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() {
				if _, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", MaxBytes: 8 << 20}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		page, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Partition: 2})
		if took := time.Since(began); err != nil || len(page.GetBatches()) != 1 || took > 0 {
			t.Errorf("the tail of another partition took %s: %v", took, err)
		}
		waiting.Wait()
	})
}

// Bytes that were damaged on their way, and not in the store, are read again.
func TestDamagedBytesAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		good := encode(1, 0, 1, 10)
		a.append(0, good)
		a.pushOut()
		flip := func(object []byte, at int) []byte {
			object[at] ^= 1
			return object
		}
		a.damage(good, flip)
		if _, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t"}); !errors.Is(reason.From(err), reason.CorruptSegment) {
			t.Fatalf("got %v", err)
		}
		a.damage(flip(encode(1, 0, 1, 10), 0), flip) // whole again
		a.holds(0)
	})
}

// The tail of a log comes from memory: no reader of it costs a request.
func TestTailCostsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		for n := range uint64(20) {
			woken := make(chan error, 1)
			go func() { // it waits for what is not there yet
				out, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: n, MaxWaitMs: 10_000})
				if err == nil && len(out.GetBatches()) != 1 {
					err = errors.New("it holds nothing")
				}
				woken <- err
			}()
			synctest.Wait()
			a.append(0, encode(1, n, 1, 100))
			if err := <-woken; err != nil {
				t.Errorf("offset %d: %v", n, err)
			}
			a.holds(n / 2)
		}
		if gets := a.injector.Ops()[faults.Get]; gets != 0 {
			t.Errorf("%d requests", gets)
		}
	})
}

// When nothing can be written any more, what is committed is read all the same,
// from memory and from the store.
func TestReadsWhileWritesFail(t *testing.T) {
	for name, op := range map[string]faults.Op{"objects": faults.Put, "rows": faults.RowCreate} {
		t.Run(name, func(t *testing.T) { readWhileFailing(t, op) })
	}
}

func readWhileFailing(t *testing.T, op faults.Op) {
	t.Helper()
	write := func(a *agent) {
		a.append(0, encode(1, 0, 1, 10))
		a.pushOut()
		a.append(0, encode(1, 1, 1, 10))
	}
	var before uint64
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		write(a)
		before = a.injector.Ops()[op]
	})
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Rules: []faults.Rule{{Op: op, Kind: faults.ErrBefore, First: before + 1, Every: 1}}})
		write(a)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if out, err := a.produce.Produce(ctx, &streamhousev1.ProduceRequest{Topic: "t", Records: []*streamhousev1.Record{{Value: []byte("x")}}}); err == nil {
			t.Fatalf("a record is acknowledged: %v", out)
		}
		for range 3 {
			a.holds(0)
			a.holds(1)
			time.Sleep(5 * time.Second) // the agent goes on trying
		}
		if gets := a.injector.Ops()[faults.Get]; gets != 1 {
			t.Errorf("%d requests, want the one for offset 0", gets)
		}
	})
}
