package flush_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/recovery"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// recover seals the journal and takes partitions from 0 to n-1 over. It
// returns how many objects it read.
func (p *pipe) recover(n int) (found []*recovery.Partition, gets uint64) {
	p.t.Helper()
	if _, err := journal.Seal(p.t.Context(), p.rows, session, "next", 0); err != nil {
		p.t.Fatal(err)
	}
	rows := make([]*meta.Partition, n)
	for i := range rows {
		rows[i] = &meta.Partition{Topic: 1, Partition: uint32(i), Owner: session, Epoch: 1}
	}
	var s stats.Stats
	found, err := recovery.Run(p.t.Context(), p.rows, s.Objects(p.objects), rows)
	if err != nil {
		p.t.Fatal(err)
	}
	return found, s.Gets.Load()
}

// checkRecovered compares what recovery found with what a stranger reads: the
// end, and every batch that a producer may send again.
func (p *pipe) checkRecovered(found []*recovery.Partition, n uint64) {
	p.t.Helper()
	log := p.log()
	for _, part := range found {
		id := flush.ID{Topic: part.Row.Topic, Partition: part.Row.Partition}
		next := map[uint64]uint64{}
		end := uint64(0)
		for _, b := range log[id] {
			next[b.ProducerID] = b.Sequence + 1
			end += uint64(b.Records)
		}
		if part.End != end {
			p.t.Errorf("partition %d ends at %d, want %d", id.Partition, part.End, end)
		}
		for _, b := range log[id] {
			k := producers.Batch{Producer: b.ProducerID, Sequence: b.Sequence, CRC: b.CRC, Records: b.Records}
			v, base, _, err := part.State.Check(k)
			if b.Sequence+producers.Window < next[b.ProducerID] {
				continue // forgotten, or not yet: both are right
			}
			if v != producers.Duplicate || base != b.base || err != nil {
				p.t.Fatalf("partition %d, batch %d of producer %d: verdict %d at %d, %v; it is at %d",
					id.Partition, b.Sequence, b.ProducerID, v, base, err, b.base)
			}
		}
		for id := range n {
			k := producers.Batch{Producer: 1 + id, Sequence: next[1+id], CRC: 1, Records: 1}
			if v, _, _, err := part.State.Check(k); v != producers.New || err != nil {
				p.t.Fatalf("the next batch of producer %d, %d: verdict %d, %v", 1+id, k.Sequence, v, err)
			}
		}
	}
}

// Every 256th segment of a partition carries the whole state of its producers,
// so that a takeover reads at most that many footers.
func TestStateEvery256thSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{})
		p.own(2)
		for i := range 1100 { // partition 1 has a quarter of them
			p.send(at(0), encode(uint64(1+i%2), uint64(i/2), 1, 0)).must(t)
			if i%4 == 0 {
				p.send(at(1), encode(1, uint64(i/4), 1, 0)).must(t)
			}
		}
		since := map[flush.ID]int{}
		flagged := map[flush.ID]int{}
		for row, err := range journal.Read(t.Context(), p.rows, session, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range commitsOf(t, row) {
				id := flush.ID{Topic: c.Topic, Partition: c.Partition}
				since[id]++
				if c.State {
					if flagged[id] > 0 && since[id] != 256 {
						t.Errorf("partition %d: a state after %d segments", id.Partition, since[id])
					}
					flagged[id]++
					since[id] = 0
				}
			}
		}
		if flagged[at(0)] != 5 || flagged[at(1)] != 2 {
			t.Errorf("states: %v", flagged)
		}
		p.stop()
		found, gets := p.recover(2)
		if gets > 2*(256+1) {
			t.Errorf("a takeover read %d objects", gets)
		}
		p.checkRecovered(found, 1)
	})
}

// Killed at any moment, with flushes in flight and a bad network, a pipeline
// leaves behind what the next owner needs: the end, the ranges, and which
// batches are there already.
func TestTakeover(t *testing.T) {
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			p := start(t, settings{
				Options: flush.Options{Concurrency: 4, Age: ms},
				plan: faults.Plan{
					Seed: seed, Put: faults.Latency{P50: 3 * ms, P99: 30 * ms}, Commit: faults.Latency{P50: ms, P99: 5 * ms},
					Rules: []faults.Rule{
						{Kind: faults.ErrAfter, First: 1 + r.Uint64N(50), Every: 21 + 2*r.Uint64N(50)},
						{Kind: faults.Late, First: 1 + r.Uint64N(50), Every: 21 + 2*r.Uint64N(50), Pause: 50 * ms},
					},
				},
			})
			p.own(2)
			time.AfterFunc(time.Duration(r.IntN(int(3*time.Second))), func() { p.kill(errKilled) })
			next := map[[2]uint64]uint64{}
			var all []*question
			for range 1500 {
				time.Sleep(time.Duration(r.IntN(int(4 * ms))))
				partition, id := r.Uint64N(2), 1+r.Uint64N(3)
				q := p.send(at(int(partition)), encode(id, next[[2]uint64{partition, id}], 1+r.IntN(3), 0))
				if len(q.answer) > 0 {
					if (<-q.answer).err == nil {
						t.Fatal("answered before it could be stored")
					}
					continue // full, or killed
				}
				next[[2]uint64{partition, id}]++
				all = append(all, q)
			}
			if err := <-p.ended; !errors.Is(err, errKilled) {
				t.Errorf("ended with %v", err)
			}
			found, _ := p.recover(2)
			p.injector.Wait()
			p.checkRecovered(found, 3)
			p.checkAcknowledged(all)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
			p.recent.releaseAll()
		})
	}
}

// checkAcknowledged expects every acknowledged batch in the log.
func (p *pipe) checkAcknowledged(all []*question) {
	p.t.Helper()
	type key struct {
		id       flush.ID
		producer uint64
		sequence uint64
	}
	at := map[key]uint64{}
	for id, batches := range p.log() {
		for _, b := range batches {
			k := key{id, b.ProducerID, b.Sequence}
			if _, ok := at[k]; ok {
				p.t.Errorf("%+v is there twice", k)
			}
			at[k] = b.base
		}
	}
	for _, q := range all {
		r := q.wait(p.t)
		k := key{q.id, q.batch.Header.ProducerID, q.batch.Header.Sequence}
		if base, ok := at[k]; r.err == nil && (!ok || base != r.base) {
			p.t.Errorf("%+v was acknowledged at %d; in the log: %v, at %d", k, r.base, ok, base)
		}
	}
}

// A tenure goes on where the earlier one ended, with its producers.
func TestNewTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{})
		p.own(1)
		for seq := range uint64(5) {
			p.send(at(0), encode(1, seq, 2, 0)).must(t)
		}
		p.stop()
		found, _ := p.recover(1)
		next := start(t, settings{session: "ffffffffffffffffffffffffffffffff"})
		log := index.New(0, found[0].End, found[0].Ranges)
		if err := next.Own(flush.NewTenure(at(0), 2, found[0].End, 0, log, found[0].State)); err != nil {
			t.Fatal(err)
		}
		if r := next.send(at(0), encode(1, 3, 2, 0)).must(t); r.base != 6 {
			t.Errorf("a repeat is at %d", r.base)
		}
		if r := next.send(at(0), encode(1, 5, 2, 0)).must(t); r.base != 10 {
			t.Errorf("the next is at %d", r.base)
		}
		if begin, end := log.Bounds(); begin != 0 || end != 12 {
			t.Errorf("the log has %d to %d", begin, end)
		}
		next.stop()
	})
}
