package host

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// world is a pair of stores and the hosts that come and go on them.
type world struct {
	t       *testing.T
	objects objstore.Store
	rows    meta.Store
	catalog *topics.Catalog
	topic   *meta.Topic
	flush   flush.Options
	// compaction merges segments, where a test asks for it.
	compaction compaction.Options
	cleanup    CleanupOptions
	stats      stats.Stats
}

func newWorld(t *testing.T, partitions uint32) *world {
	t.Helper()
	return worldOn(t, memory.NewObjects(), memory.NewRows(), partitions)
}

func worldOn(t *testing.T, objects objstore.Store, rows meta.Store, partitions uint32) *world {
	t.Helper()
	w := &world{t: t, objects: objects, rows: rows, catalog: topics.New(rows, 100)}
	w.flush = flush.Options{
		Bytes: 1 << 16, Age: 20 * time.Millisecond, Concurrency: 4, BufferBytes: 1 << 20,
		MaxProducers: 100, AckTimeout: 30 * time.Second, PutTimeout: 10 * time.Second,
	}
	var err error
	if w.topic, err = w.catalog.Create(t.Context(), "t", partitions); err != nil {
		t.Fatal(err)
	}
	return w
}

// running is a host and the end of its Run.
type running struct {
	*Host
	kill  context.CancelCauseFunc
	ended chan error
}

var errKilled = errors.New("killed")

func (w *world) start() *running {
	w.t.Helper()
	r := w.run()
	if err := r.Await(w.t.Context(), w.topic); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// run starts a host that need not own anything.
func (w *world) run() *running {
	w.t.Helper()
	h, err := Start(w.t.Context(), Options{
		Session:    session.Options{Agent: "a", Heartbeat: time.Second, Lease: 5 * time.Second},
		Flush:      w.flush,
		Compaction: w.compaction,
		Cleanup:    w.cleanup,
		CacheBytes: 1 << 20,
	}, Deps{
		Objects: w.objects, Rows: w.rows, Catalog: w.catalog, Counters: &w.stats, Compaction: &w.stats, Removals: &w.stats,
		Exclusive: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, kill := context.WithCancelCause(context.WithoutCancel(w.t.Context()))
	r := &running{Host: h, kill: kill, ended: make(chan error, 1)}
	go func() { r.ended <- h.Run(ctx) }()
	return r
}

// crash stops a host as kill -9 would: nothing is released.
func (r *running) crash() {
	r.kill(errKilled)
	if err := <-r.ended; err == nil {
		panic("a host that was killed ended without a cause")
	}
}

// leave stops a host in good order.
func (r *running) leave(t *testing.T) {
	t.Helper()
	if err := r.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.crash()
}

// encode makes a batch of n records that carry a number each.
func encode(producer, seq uint64, n int) *flush.Batch {
	var b batch.Builder
	for i := range n {
		b.Append(&batch.Record{Value: binary.BigEndian.AppendUint64(nil, seq*1000+uint64(i)), Timestamp: 1})
	}
	raw := append([]byte(nil), b.Seal(producer, seq)...)
	header, err := batch.ParseHeader(raw)
	if err != nil {
		panic(err)
	}
	return &flush.Batch{Header: header, Parts: [][]byte{raw[:10], raw[10:]}}
}

type result struct {
	base uint64
	err  error
}

type waiting chan result

func (w waiting) Answer(_, base uint64, err error) { w <- result{base, err} }

// produce appends a batch and waits for its answer.
func (r *running) produce(partition uint32, topic *meta.Topic, b *flush.Batch) (uint64, error) {
	w := make(waiting, 1)
	if err := r.Pipeline.Append(flush.ID{Topic: topic.ID, Partition: partition}, b, w, 1); err != nil {
		return 0, err
	}
	res := <-w
	return res.base, res.err
}

func mustProduce(t *testing.T, r *running, w *world, b *flush.Batch, want uint64) {
	t.Helper()
	base, err := r.produce(0, w.topic, b)
	if err != nil || base != want {
		t.Fatalf("produced at %d, %v; want %d", base, err, want)
	}
}

// After a crash, and after a clean end, the next session goes on at the right
// offset, knows the producers' retries, and every record can be read. The
// predecessor acknowledged from RAM (hole 1).
func TestRestart(t *testing.T) {
	for name, stop := range map[string]func(*testing.T, *running){
		"crash": func(_ *testing.T, r *running) { r.crash() },
		"leave": func(t *testing.T, r *running) {
			t.Helper()
			r.leave(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				next := uint64(0)
				for round := range uint64(5) {
					r := w.start()
					for i := range uint64(4) {
						seq := round*4 + i
						mustProduce(t, r, w, encode(7, seq, 3), next)
						next += 3
					}
					mustProduce(t, r, w, encode(7, round*4, 3), round*12) // this session's own
					mustProduce(t, r, w, encode(7, round*2, 3), round*6)  // of earlier sessions
					stop(t, r)
				}
				r := w.start()
				defer r.crash()
				checkAll(t, r, w, next)
				if _, err := r.produce(0, w.topic, encode(8, 3, 1)); !errors.Is(err, reason.UnknownProducer) {
					t.Errorf("a stranger's fourth batch: %v", err)
				}
			})
		})
	}
}

// checkAll reads partition 0 and expects records of three, one batch after the
// other.
func checkAll(t *testing.T, r *running, w *world, end uint64) {
	t.Helper()
	tenure := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID})
	if _, e := tenure.Index.Bounds(); e != end {
		t.Fatalf("the log ends at %d, want %d", e, end)
	}
	ranges, err := tenure.Index.Find(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(0)
	for _, g := range ranges {
		b, err := r.Reader.Read(t.Context(), g, g.Base)
		if err != nil {
			t.Fatal(err)
		}
		next = checkRange(t, b, next)
	}
	if next != end {
		t.Fatalf("read up to %d, want %d", next, end)
	}
}

func checkRange(t *testing.T, b []byte, next uint64) uint64 {
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
			if got, want := binary.BigEndian.Uint64(rec.Value), next/3*1000+next%3; got != want {
				t.Fatalf("offset %d holds %d, want %d", next, got, want)
			}
			next++
		}
		b = b[header.Size:]
	}
	return next
}

// A session that another one took over is finished: its commits are refused,
// what waits is answered FENCED, and its heartbeats too (R7; hole 8 and 10:
// the predecessor had no fencing token at all).
func TestFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		old := w.start()
		mustProduce(t, old, w, encode(1, 0, 3), 0)
		young := w.start()
		mustProduce(t, young, w, encode(1, 1, 3), 3)
		if _, err := old.produce(0, w.topic, encode(1, 1, 3)); !errors.Is(err, reason.Fenced) {
			t.Errorf("the old session produced: %v", err)
		}
		if err := <-old.ended; !Finished(err) {
			t.Errorf("the old session ended with %v", err)
		}
		mustProduce(t, young, w, encode(1, 1, 3), 3)
		checkAll(t, young, w, 6)
		young.crash()
	})
}

// An idle session that was sealed learns it from its heartbeat.
func TestSealedWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		old, young := w.start(), w.start()
		time.Sleep(3 * time.Second)
		if err := <-old.ended; !errors.Is(err, session.ErrSealed) {
			t.Errorf("the old session ended with %v", err)
		}
		young.crash()
	})
}
