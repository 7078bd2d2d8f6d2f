package host

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Holes 11 and 12 of the first prototype: two processes with one agent name
// both owned the lease, and expiry compared the wall clocks of machines. Here
// they are two sessions, of which the younger fences the older, whatever times
// stand in the older one's row.
func TestOneNameTwoSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		old := w.start()
		mustProduce(t, old, w, encode(1, 0, 3), 0)
		row := &meta.Session{ID: old.Session.ID}
		if err := w.rows.Get(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		row.StartedMillis, row.LeaseMillis = time.Now().Add(1000*time.Hour).UnixMilli(), 1<<40
		if err := w.rows.Swap(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		young := w.start()
		defer young.crash()
		if err := <-old.ended; !Finished(err) {
			t.Errorf("the older session ended with %v", err)
		}
		mustProduce(t, young, w, encode(1, 1, 3), 3)
		if own := old.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}); own != nil {
			t.Error("the older session owns the partition still")
		}
	})
}

// numbered makes a batch of n records of size bytes that begin with their
// offset.
func numbered(seq, base uint64, n, size int) *flush.Batch {
	var b batch.Builder
	for i := range n {
		value := binary.BigEndian.AppendUint64(make([]byte, 0, size), base+uint64(i))
		b.Append(&batch.Record{Value: value[:size], Timestamp: 1})
	}
	raw := append([]byte(nil), b.Seal(9, seq)...)
	header, err := batch.ParseHeader(raw)
	if err != nil {
		panic(err)
	}
	return &flush.Batch{Header: header, Parts: [][]byte{raw}}
}

// Hole 16: segments of more than one block decoded every later offset wrong,
// and no test wrote more than 1 MB. Here 9 MB of three partitions are flushed in
// segments of 4 MiB, whatever the first flush takes away; every record says its
// own offset, before and after a restart.
func TestLargeSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.flush.Bytes, w.flush.BufferBytes = 4<<20, 64<<20
		w.flush.MaxPerSecond = 1 // the first flush goes at once; the others gather
		r := w.start()
		const batches, records, size = 120, 25, 1000
		answers := make(waiting, 3*batches)
		for i := range uint64(batches) {
			for p := range uint32(3) {
				id := flush.ID{Topic: w.topic.ID, Partition: p}
				if err := r.Pipeline.Append(id, numbered(i, i*records, records, size), answers, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 3 * batches {
			if a := <-answers; a.err != nil {
				t.Fatal(a.err)
			}
		}
		checkNumbered(t, r, w, batches*records)
		r.crash()
		r = w.start()
		defer r.crash()
		checkNumbered(t, r, w, batches*records)
	})
}

// checkNumbered reads all partitions from every tenth offset.
func checkNumbered(t *testing.T, r *running, w *world, end uint64) {
	t.Helper()
	largest := uint32(0)
	for p := range uint32(3) {
		log := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID, Partition: p}).Index
		ranges, err := log.Find(t.Context(), 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(0)
		for _, g := range ranges {
			largest = max(largest, g.Size)
			if g.Base != next {
				t.Fatalf("a range begins at %d, want %d", g.Base, next)
			}
			b, err := r.Reader.Read(t.Context(), g, g.Base)
			if err != nil {
				t.Fatal(err)
			}
			next = checkOffsets(t, b, next)
		}
		if next != end {
			t.Fatalf("partition %d: read up to %d, want %d", p, next, end)
		}
	}
	if largest < 1<<20 {
		t.Fatalf("the largest section has %d bytes: too few to prove anything", largest)
	}
}

func checkOffsets(t *testing.T, b []byte, next uint64) uint64 {
	t.Helper()
	for len(b) > 0 {
		header, err := batch.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		var d batch.Decoder
		if _, err := d.Reset(b[:header.Size]); err != nil {
			t.Fatal(err)
		}
		var rec batch.Record
		for d.Next(&rec) {
			if got := binary.BigEndian.Uint64(rec.Value); got != next {
				t.Fatalf("offset %d holds %d", next, got)
			}
			next++
		}
		b = b[header.Size:]
	}
	return next
}

// Hole 23: a lock was held across uploads, so one slow call stalled the agent.
// While a PUT takes a minute, batches are taken, what is committed is read,
// and topics are made and acquired.
func TestSlowPutStallsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		injector := faults.New(faults.Plan{Rules: []faults.Rule{
			{Op: faults.Put, First: 2, Kind: faults.Pause, Pause: time.Minute},
		}})
		w := worldOn(t, injector.Objects(memory.NewObjects()), memory.NewRows(), 2)
		w.flush.PutTimeout, w.flush.AckTimeout = 10*time.Minute, 10*time.Minute
		r := w.start()
		defer r.crash()
		mustProduce(t, r, w, encode(1, 0, 3), 0)
		began := time.Now()
		slow, quick := make(waiting, 1), make(waiting, 1)
		if err := r.Pipeline.Append(flush.ID{Topic: w.topic.ID}, encode(1, 1, 3), slow, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // its PUT is under way
		if err := r.Pipeline.Append(flush.ID{Topic: w.topic.ID, Partition: 1}, encode(2, 0, 3), quick, 0); err != nil {
			t.Fatal(err)
		}
		checkAll(t, r, w, 3)
		other, err := w.catalog.Create(t.Context(), "other", 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Await(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the agent stood still for %s", took)
		}
		if a, b := <-slow, <-quick; errors.Join(a.err, b.err) != nil || a.base != 3 || b.base != 0 {
			t.Errorf("answered %+v and %+v", a, b)
		}
		if took := time.Since(began); took < time.Minute {
			t.Errorf("the PUT took %s: it was not slow", took)
		}
	})
}
