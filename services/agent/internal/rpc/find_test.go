package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// latest is the latest timestamp of made logs.
const latest = 30

// archive is a log of which a part was merged, with records of random times.
type archive struct {
	t       *testing.T
	r       *rand.Rand
	objects objstore.Store
	rows    meta.Store
	row     *meta.Partition
	tail    []index.Range
	times   []int64 // of all records, by offset
}

func (a *archive) end() uint64 { return uint64(len(a.times)) }

// batches makes a few batches, one after the other.
func (a *archive) batches() (b []byte, block index.Block) {
	block.MaxTimestamp = -1
	for range 1 + a.r.IntN(3) {
		n := 1 + a.r.IntN(4)
		var builder batch.Builder
		for range n {
			at := a.r.Int64N(latest)
			if a.r.IntN(3) > 0 { // most of them rise
				at = min(latest-1, int64(len(a.times)/3))
			}
			builder.Append(&batch.Record{Value: make([]byte, a.r.IntN(50)), Timestamp: at})
			a.times = append(a.times, at)
			block.MaxTimestamp = max(block.MaxTimestamp, at)
		}
		if a.r.IntN(2) == 0 {
			builder.Compress(batch.Zstd)
		}
		b = append(b, builder.Seal(0, 0)...)
		block.Records += uint32(n)
	}
	block.Size = uint32(len(b))
	return b, block
}

func (a *archive) put(key string, b []byte) {
	a.t.Helper()
	body := objstore.Body{Parts: [][]byte{b}, Size: int64(len(b)), CRC32C: batch.Update(0, b)}
	if err := a.objects.Put(a.t.Context(), key, body); err != nil {
		a.t.Fatal(err)
	}
}

// merge adds an object as a compaction writes it, with its row.
func (a *archive) merge(compaction uint64) {
	a.t.Helper()
	row := &meta.Run{
		Log: meta.RunHash(1, 0, compaction), Base: a.end(), Object: fmt.Sprint("merged-", a.end()),
		At: uint64(a.r.IntN(20)), MaxTimestamp: -1,
	}
	object := bytes.Repeat([]byte{0}, int(row.At)) // of others
	var blocks []index.Block
	for range 1 + a.r.IntN(3) {
		b, block := a.batches()
		object = append(object, b...)
		blocks = append(blocks, block)
		row.MaxTimestamp = max(row.MaxTimestamp, block.MaxTimestamp)
	}
	row.Last, row.Size, row.Blocks = a.end()-1, int64(len(object)), index.AppendBlocks(nil, blocks)
	a.put(row.Object, object)
	if err := a.rows.Create(a.t.Context(), row); err != nil {
		a.t.Fatal(err)
	}
}

// commit adds a segment that is not merged yet.
func (a *archive) commit() {
	a.t.Helper()
	base := a.end()
	b, block := a.batches()
	key := fmt.Sprint("segment-", base)
	a.put(key, b)
	g := index.Range{Base: base, Records: block.Records, Size: block.Size, Segment: &index.Segment{Key: key}, MaxTimestamp: block.MaxTimestamp}
	if a.r.IntN(2) == 0 {
		g.MaxTimestamp = index.UnknownTimestamp
	}
	a.tail = append(a.tail, g)
}

func newArchive(t *testing.T, seed uint64) *archive {
	t.Helper()
	a := &archive{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), objects: memory.NewObjects(), rows: memory.NewRows(),
		row: &meta.Partition{Topic: 1},
	}
	for id := range uint64(a.r.IntN(3)) {
		for range 1 + a.r.IntN(4) {
			a.merge(id)
		}
		a.row.Checkpoint.Compactions = append(a.row.Checkpoint.Compactions, meta.Compaction{ID: id, End: a.end()})
	}
	a.row.Checkpoint.End = a.end()
	for range a.r.IntN(6) {
		a.commit()
	}
	a.row.LogStart = a.r.Uint64N(a.end() + 1)
	return a
}

// host is a session that owns the log, without the rest of an agent.
func (a *archive) host(objects objstore.Store) *host.Host {
	a.t.Helper()
	h, err := host.Start(a.t.Context(), host.Options{CacheBytes: 1 << 20}, host.Deps{
		Objects: objects, Rows: a.rows, Counters: &stats.Stats{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(h.Close)
	a.row.Owner, a.row.Epoch = h.Session.ID, 1
	if err := a.rows.Create(a.t.Context(), a.row); err != nil {
		a.t.Fatal(err)
	}
	return h
}

// find asks as FindOffset does.
func (a *archive) find(ctx context.Context, h *host.Host, log *index.Log, timestamp int64) (*streamhousev1.FindOffsetResponse, error) {
	s := &consumerServer{listening: &listening{Services: New(Options{}, nil, a.rows, nil)}}
	return s.find(ctx, h, flush.NewTenure(flush.ID{Topic: 1}, 1, a.end(), 0, log, nil), timestamp)
}

func (a *archive) open(rows meta.Store) *index.Log {
	return index.Open(a.row, index.NewRows(rows), a.end(), a.tail, 0)
}

// What is found is what a search through all records finds: the lowest offset,
// whatever the order of the times, merged or not, and wherever the log begins.
func TestFindAgainstSearch(t *testing.T) {
	for seed := range uint64(150) {
		a := newArchive(t, seed)
		h, log := a.host(a.objects), a.open(a.rows)
		for timestamp := int64(-1); timestamp <= latest; timestamp++ {
			got, err := a.find(t.Context(), h, log, timestamp)
			if err != nil {
				t.Fatalf("seed %d: since %d: %v", seed, timestamp, err)
			}
			want := a.row.LogStart
			for want < a.end() && a.times[want] < timestamp {
				want++
			}
			if got.GetOffset() != want || got.GetStartOffset() != a.row.LogStart || got.GetEndOffset() != a.end() ||
				(got.TimestampMs == nil) != (want == a.end()) || want < a.end() && got.GetTimestampMs() != a.times[want] {
				t.Fatalf("seed %d: since %d: %v, want offset %d of %d to %d", seed, timestamp, got, want, a.row.LogStart, a.end())
			}
		}
	}
}

// vanishing is a store whose objects are merged anew, or let go, when the first
// of them is read.
type vanishing struct {
	objstore.Store
	then func()
}

func (v *vanishing) Get(ctx context.Context, key string, at, size int64) ([]byte, error) {
	if then := v.then; then != nil {
		v.then = nil
		then()
	}
	return v.Store.Get(ctx, key, at, size)
}

// A segment that is merged, or let go, while it is looked for is no damage; one
// that is gone for no reason is.
func TestFindWhileObjectsGo(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(row *meta.Partition)
		offset uint64
		err    error
	}{
		"no reason": {func(*meta.Partition) {}, 0, reason.CorruptSegment},
		"merged": {func(row *meta.Partition) {
			row.Checkpoint = meta.Checkpoint{End: 2, Compactions: []meta.Compaction{{ID: 9, End: 2}}}
		}, 1, nil},
		"let go":      {func(row *meta.Partition) { row.LogStart = 2 }, 2, nil},
		"all let go":  {func(row *meta.Partition) { row.LogStart = 3 }, 3, nil},
		"let go half": {func(row *meta.Partition) { row.LogStart = 1 }, 0, reason.CorruptSegment},
		"rows lost": {func(row *meta.Partition) {
			row.Checkpoint = meta.Checkpoint{End: 2, Compactions: []meta.Compaction{{ID: 8, End: 2}}}
		}, 0, reason.CorruptSegment},
		"taken over": {func(row *meta.Partition) { row.Owner = "another" }, 0, reason.NotOwner},
	} {
		a := &archive{t: t, objects: memory.NewObjects(), rows: memory.NewRows(), row: &meta.Partition{Topic: 1}}
		seal := func(times ...int64) []byte {
			var b batch.Builder
			for _, at := range times {
				b.Append(&batch.Record{Timestamp: at})
			}
			return b.Seal(0, 0)
		}
		first, second := seal(1, 5), seal(6)
		a.times = []int64{1, 5, 6}
		a.put("merged", first)
		a.put("second", second)
		a.tail = []index.Range{
			{Base: 0, Records: 2, Size: uint32(len(first)), Segment: &index.Segment{Key: "first"}, MaxTimestamp: index.UnknownTimestamp},
			{Base: 2, Records: 1, Size: uint32(len(second)), Segment: &index.Segment{Key: "second"}, MaxTimestamp: index.UnknownTimestamp},
		}
		if err := a.rows.Create(t.Context(), &meta.Run{
			Log: meta.RunHash(1, 0, 9), Last: 1, Object: "merged", Size: int64(len(first)), MaxTimestamp: 5,
			Blocks: index.AppendBlocks(nil, []index.Block{{Records: 2, Size: uint32(len(first)), MaxTimestamp: 5}}),
		}); err != nil {
			t.Fatal(err)
		}
		log := a.open(a.rows)
		objects := &vanishing{Store: a.objects, then: func() {
			row := *a.row
			tt.change(&row)
			log.Advance(&row)
			if err := a.rows.Swap(t.Context(), &row); err != nil {
				t.Error(err)
			}
		}}
		got, err := a.find(t.Context(), a.host(objects), log, 5)
		if !errors.Is(err, tt.err) || err == nil && got.GetOffset() != tt.offset {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// dated makes a batch of records of these times.
func dated(producer, seq uint64, times ...int64) []byte {
	var b batch.Builder
	for _, at := range times {
		b.Append(&batch.Record{Value: []byte("v"), Timestamp: at})
	}
	return b.Seal(producer, seq)
}

// Over the wire: found in memory and in the store, not found, and refused.
func TestFindOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.append(0, dated(1, 0, 10, 12, 11))
		a.append(0, dated(1, 1, 5, 20))
		old := dated(1, 2, 1, 2)
		a.append(0, old)
		a.pushOut()
		for timestamp, want := range map[int64]uint64{-5: 0, 10: 0, 11: 1, 12: 1, 13: 4, 20: 4, 21: 7} {
			got, err := a.consume.FindOffset(t.Context(), &streamhousev1.FindOffsetRequest{Topic: "t", TimestampMs: timestamp})
			if err != nil || got.GetOffset() != want || got.GetEndOffset() != 7 || (got.TimestampMs == nil) != (want == 7) {
				t.Errorf("since %d: %v, %v", timestamp, got, err)
			}
		}
		if gets := a.injector.Ops()[faults.Get]; gets != 2 {
			t.Errorf("%d requests: what is older, and known to be, is not read", gets)
		}
		if got, err := a.consume.FindOffset(t.Context(), &streamhousev1.FindOffsetRequest{Topic: "t", Partition: 2, TimestampMs: 1}); err != nil || got.GetOffset() != 0 || got.TimestampMs != nil {
			t.Errorf("in an empty log: %v, %v", got, err)
		}
		for name, tt := range map[string]struct {
			req  *streamhousev1.FindOffsetRequest
			want reason.Reason
		}{
			"topic":     {&streamhousev1.FindOffsetRequest{Topic: "u"}, reason.UnknownTopic},
			"partition": {&streamhousev1.FindOffsetRequest{Topic: "t", Partition: 3}, reason.UnknownTopic},
			"id":        {&streamhousev1.FindOffsetRequest{Topic: "t", TopicId: new(uint32(9))}, reason.UnknownTopic},
		} {
			if got, err := a.consume.FindOffset(t.Context(), tt.req); !errors.Is(reason.From(err), tt.want) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	})
}

// Damage is told, never passed over: what it hides might be the record.
func TestFindOffsetInDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		bad := dated(1, 0, 5, 10)
		a.append(0, bad)
		a.append(0, dated(1, 1, 20))
		a.pushOut()
		a.damage(bad, func(object []byte, at int) []byte {
			object[at+48]-- // its latest timestamp
			return object
		})
		if got, err := a.consume.FindOffset(t.Context(), &streamhousev1.FindOffsetRequest{Topic: "t", TimestampMs: 10}); !errors.Is(reason.From(err), reason.CorruptSegment) {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := a.consume.FindOffset(t.Context(), &streamhousev1.FindOffsetRequest{Topic: "t", TimestampMs: 15}); err != nil || got.GetOffset() != 2 {
			t.Errorf("behind it: %v, %v", got, err)
		}
	})
}

// A caller that is gone ends the search, however much there is to read.
func TestFindOffsetEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t, 1)
		for range 500 {
			a.commit()
		}
		for i := range a.tail {
			a.tail[i].MaxTimestamp = index.UnknownTimestamp
		}
		latency := faults.Latency{P50: time.Second, P99: time.Second}
		injector := faults.New(faults.Plan{Get: latency})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		h := a.host(injector.Objects(a.objects))
		defer h.Close() // before the bubble ends
		_, err := a.find(ctx, h, a.open(a.rows), latest)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 7*time.Second {
			t.Errorf("it ends with %v after %s", err, time.Since(began))
		}
		injector.Wait()
	})
}
