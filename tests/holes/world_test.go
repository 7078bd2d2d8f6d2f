package holes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// inWorld tells a story in a bubble.
func inWorld(t *testing.T, story func(w *world.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(world.New(t)) })
}

// journalRow is which creation of a row is the first commit of the first agent
// of a topic of one partition: the session, the topic's id, the topic and the
// partition come before it.
const journalRow = 5

// quick sends each record at once, in a batch of its own or with those that
// came meanwhile.
func quick(w *world.World, opts ...producer.Option) *producer.Producer {
	w.Helper()
	return w.Producer(append([]producer.Option{producer.WithLinger(0)}, opts...)...)
}

// send sends n records of a client to partition 0.
func send(w *world.World, p *producer.Producer, client uint32, n int) {
	for range n {
		w.Send(p, client, 0)
	}
}

// flush waits for all of them.
func flush(w *world.World, p *producer.Producer) {
	w.Helper()
	if err := p.Flush(w.Context()); err != nil {
		w.Fatalf("flush: %v", err)
	}
}

// closeAndCheck ends the story: every record was acknowledged, and the log, as
// another agent reads it from the store, is what was acknowledged.
func closeAndCheck(w *world.World, producers ...*producer.Producer) {
	w.Helper()
	for _, p := range producers {
		if err := p.Close(w.Context()); err != nil {
			w.Errorf("close: %v", err)
		}
	}
	w.Start()
	w.Check()
}

// produce is a call of the unary path with n records, with a producer id and a
// sequence if id is not 0.
func produce(ctx context.Context, c streamhousev1.ProducerServiceClient, id, seq uint64, n, size int) (*streamhousev1.ProduceResponse, error) {
	req := &streamhousev1.ProduceRequest{Topic: world.Topic}
	if id != 0 {
		req.ProducerId, req.Sequence = &id, &seq
	}
	for range n {
		timestamp := int64(1_700_000_000_000)
		req.Records = append(req.Records, &streamhousev1.Record{Value: make([]byte, size), Timestamp: &timestamp})
	}
	return c.Produce(ctx, req)
}

// end is the offset behind the last record of partition 0, as the newest agent
// tells it.
func end(w *world.World) uint64 {
	w.Helper()
	page, err := streamhousev1.NewConsumerServiceClient(w.Dial()).Fetch(w.Context(), &streamhousev1.FetchRequest{Topic: world.Topic})
	if err != nil {
		w.Fatalf("fetch: %v", err)
	}
	return page.GetEndOffset()
}

// refused tells whether err is a refusal for a reason.
func refused(err error, why reason.Reason) bool {
	return err != nil && errors.Is(reason.From(err), why)
}

// took is how long a step takes.
func took(step func()) time.Duration {
	began := time.Now()
	step()
	return time.Since(began)
}
