package producer_test

import (
	"context"
	"testing"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// counters is a hook as cheap as a hook can be, for every event of a batch.
type counters struct{ sent, answers, done int64 }

func (c *counters) OnBatchSent(producer.BatchSentEvent) { c.sent++ }
func (c *counters) OnAnswer(producer.AnswerEvent)       { c.answers++ }
func (c *counters) OnBatchDone(producer.BatchDoneEvent) { c.done++ }

type recordFollower struct{ records int64 }

func (f *recordFollower) OnRecord(context.Context, *producer.Record) func(producer.Ack, error) {
	f.records++
	return nil
}

// BenchmarkHooks compares a producer without hooks with one that has some.
func BenchmarkHooks(b *testing.B) {
	for _, c := range []struct {
		name string
		opts []producer.Option
	}{
		{"none", nil},
		{"batches", options(producer.WithHooks(&counters{}))},
		{"records", options(producer.WithHooks(&recordFollower{}))},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmarkSend(b, 100, append(c.opts, producer.WithBatchRecords(100), producer.WithCompression(producer.NoCompression))...)
		})
	}
}
