package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/histogram"
	"github.com/streamhouse/streamhouse/libs/producer"
)

const (
	// probeEvery is how many records share one measured latency: reading the
	// clock twice costs as much as sending a record. It is prime, so that the
	// probes lie at other places of the batches all the time.
	probeEvery = 61
	// publishEvery is how often the count of answers is made visible; a power
	// of two.
	publishEvery = 64
)

// sender loads one producer. What this costs per record is charged to the
// client, so it takes no clock, lock or memory for most of them.
type sender struct {
	o        *Options
	producer *producer.Producer
	payload  []byte

	// count and failed belong to the library's one callback goroutine; acked
	// is count as others may see it.
	count    uint64
	failed   uint64
	firstErr error
	acked    atomic.Uint64

	latencies *histogram.Histogram
	measuring *atomic.Bool
	free      chan *probe
}

// probe is the callback of a record whose latency is measured.
type probe struct {
	s        *sender
	sent     time.Time
	callback func(producer.Ack, error)
}

func newSender(o *Options, target string, payload []byte, latencies *histogram.Histogram, measuring *atomic.Bool) (*sender, error) {
	p, err := producer.New(context.Background(), target,
		producer.WithTopic(topicName), producer.WithPartitioner(producer.Manual()),
		producer.WithCompression(o.Compression),
		producer.WithBatchRecords(o.Batch), producer.WithBatchBytes(o.batchBytes()),
		producer.WithMaxInFlight(o.InFlight), producer.WithMaxInFlightBytes(o.bufferBytes()),
		producer.WithMaxBufferedRecords(o.bufferRecords()), producer.WithMaxBufferedBytes(o.bufferBytes()),
	)
	if err != nil {
		return nil, err
	}
	return &sender{
		o: o, producer: p, payload: payload, latencies: latencies, measuring: measuring,
		free: make(chan *probe, o.bufferRecords()/probeEvery+1),
	}, nil
}

// run sends until ctx ends: a batch to one partition, a batch to the next.
func (s *sender) run(ctx context.Context) {
	resolved, at, sent := s.resolved, 0, 0
	pace := newPace(s.o)
	for partition := int32(0); ctx.Err() == nil; partition = (partition + 1) % int32(s.o.Partitions) {
		pace.wait(ctx)
		for range s.o.Batch {
			if at += s.o.RecordSize; at+s.o.RecordSize > len(s.payload) {
				at = 0
			}
			callback := resolved
			if sent++; sent%probeEvery == 0 {
				callback = s.probe()
			}
			s.producer.SendAsync(ctx, producer.Record{
				Value: s.payload[at : at+s.o.RecordSize], Partition: partition,
			}, callback)
		}
	}
}

// probe returns the callback of a record that is sent now.
func (s *sender) probe() func(producer.Ack, error) {
	var p *probe
	select {
	case p = <-s.free:
	default:
		p = &probe{s: s}
		p.callback = p.resolved
	}
	p.sent = time.Now()
	return p.callback
}

func (p *probe) resolved(ack producer.Ack, err error) {
	if p.s.measuring.Load() && err == nil {
		p.s.latencies.Record(time.Since(p.sent))
	}
	p.s.resolved(ack, err)
	select {
	case p.s.free <- p:
	default: // more are in use than ever at once: let it go
	}
}

// resolved is the callback of all other records.
func (s *sender) resolved(_ producer.Ack, err error) {
	if err != nil {
		s.fail(err)
		return
	}
	if s.count++; s.count%publishEvery == 0 {
		s.acked.Store(s.count)
	}
}

// fail leaves out what was refused because the load ended.
func (s *sender) fail(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.failed++
	if s.firstErr == nil {
		s.firstErr = err
	}
}

// close waits for what is on its way. It returns an error if any record
// failed: figures of a run that lost records say nothing.
func (s *sender) close(ctx context.Context) error {
	// Every failure that Close knows of was told to a callback before.
	_ = s.producer.Close(ctx)
	if s.failed > 0 {
		return fmt.Errorf("%d records failed, the first: %w", s.failed, s.firstErr)
	}
	return nil
}

// pace spreads batches evenly over time.
type pace struct {
	interval time.Duration
	next     time.Time
}

func newPace(o *Options) *pace {
	if o.Rate == 0 {
		return &pace{}
	}
	perBatch := time.Duration(o.Batch*o.Producers) * time.Second
	return &pace{interval: perBatch / time.Duration(o.Rate), next: time.Now()}
}

// wait returns when the next batch is due. A sender that fell behind catches
// up, so that the rate holds on average.
func (p *pace) wait(ctx context.Context) {
	if p.interval == 0 {
		return
	}
	p.next = p.next.Add(p.interval)
	select {
	case <-time.After(time.Until(p.next)):
	case <-ctx.Done():
	}
}
