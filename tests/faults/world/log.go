package world

import (
	"context"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// Send sends a client's next record for a partition and has the history note
// what becomes of it. Values are of all sizes up to half a kilobyte, and keys
// null, empty and not.
func (w *World) Send(p *producer.Producer, client, partition uint32) {
	id := w.History.Send(client, partition)
	rec := producer.Record{Value: id.Value(int(id.Number * 37 % 500)), Partition: int32(partition)}
	if n := int(id.Number % 3); n > 0 {
		rec.Key = []byte(strings.Repeat("k", n-1))
	}
	done := w.History.Callback(id)
	p.SendAsync(context.WithoutCancel(w.Context()), rec, func(ack producer.Ack, err error) {
		w.noteError(err)
		done(ack, err)
	})
}

func (w *World) noteError(err error) {
	if err == nil {
		return
	}
	w.errors.Lock()
	defer w.errors.Unlock()
	if w.errors.texts == nil {
		w.errors.texts = map[string]int{}
	}
	w.errors.texts[err.Error()]++
}

// Errors tells why records failed, and how many for each reason, for messages.
func (w *World) Errors() map[string]int {
	w.errors.Lock()
	defer w.errors.Unlock()
	return w.errors.texts
}

// Read reads all of Topic. A store that fails is asked again, but not for
// longer than a time.
func (w *World) Read(limit time.Duration) (history.Log, error) {
	w.Helper()
	conn := w.dial()
	defer hangUp(conn)
	ctx, cancel := context.WithTimeout(w.Context(), limit)
	defer cancel()
	for {
		log, err := history.Read(ctx, streamhousev1.NewTopicServiceClient(conn), streamhousev1.NewConsumerServiceClient(conn), Topic)
		if err == nil || ctx.Err() != nil {
			return log, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Verify reads the store end to end, as streamhouse verify does.
func (w *World) Verify() *agent.VerifyReport {
	w.Helper()
	report, err := agent.Verify(w.Context(), agent.StoreConfig{}, agent.VerifyOptions{}, agent.WithMemory(w.memory))
	if err != nil {
		w.Errorf("verify the store: %v", err)
	}
	return report
}

// Check reads the log back and holds it against what producers were told, and
// verifies the store. Every record must be resolved by now: close the producers
// first.
func (w *World) Check() {
	w.Helper()
	w.Verify()
	log, err := w.Read(time.Minute)
	if err != nil {
		w.Fatalf("read the log: %v", err)
	}
	for _, v := range w.History.Check(log) {
		w.Errorf("%v", v)
	}
	if n := w.History.Counts().Pending(); n > 0 {
		w.Errorf("%d records were never resolved", n)
	}
	if w.Failed() {
		w.Logf("producers were told: %v; errors: %v", w.History.Counts(), w.Errors())
	}
}
