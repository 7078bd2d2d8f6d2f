package e2e

import (
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// fetched is a Fetch that runs beside the test.
type fetched struct {
	page *streamhousev1.FetchResponse
	err  error
	took time.Duration
}

func fetchAsync(t *testing.T, c *process.Client, req *streamhousev1.FetchRequest) <-chan fetched {
	t.Helper()
	done := make(chan fetched, 1)
	go func() {
		start := time.Now()
		page, err := c.Consumer.Fetch(t.Context(), req)
		done <- fetched{page, err, time.Since(start)}
	}()
	return done
}

// A long poll ends with the commit that it waits for, long before its max wait,
// and with nothing when that is over.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	a.CreateTopic("poll", 2)
	waiting := fetchAsync(t, c, &streamhousev1.FetchRequest{Topic: "poll", Partition: 1, MaxWaitMs: 30_000})
	select {
	case f := <-waiting:
		t.Fatalf("it did not wait: %v, %v", f.page, f.err)
	case <-time.After(100 * time.Millisecond):
	}
	produce := func(partition uint32) {
		t.Helper()
		if _, err := c.Producer.Produce(t.Context(), &streamhousev1.ProduceRequest{
			Topic: "poll", Partition: partition, Records: []*streamhousev1.Record{{Value: []byte("x")}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	produce(0) // another partition's commit is none of its business
	select {
	case f := <-waiting:
		t.Fatalf("another partition ended it: %v, %v", f.page, f.err)
	case <-time.After(50 * time.Millisecond):
	}
	produce(1)
	select {
	case f := <-waiting:
		if f.err != nil || len(f.page.GetBatches()) != 1 || f.page.GetEndOffset() != 1 {
			t.Errorf("it ended with %v, %v, want the record", f.page, f.err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the commit did not wake it")
	}
	f := <-fetchAsync(t, c, &streamhousev1.FetchRequest{Topic: "poll", Partition: 1, Offset: 1, MaxWaitMs: 200})
	if f.err != nil || len(f.page.GetBatches()) != 0 || f.page.GetEndOffset() != 1 {
		t.Errorf("with nothing to come: %v, %v, want nothing and the end 1", f.page, f.err)
	}
	if f.took < 200*time.Millisecond || f.took > 10*time.Second {
		t.Errorf("max wait of 200 ms took %v", f.took)
	}
	if f = <-fetchAsync(t, c, &streamhousev1.FetchRequest{Topic: "poll", Offset: 1}); f.err != nil || len(f.page.GetBatches()) != 0 {
		t.Errorf("without max wait: %v, %v, want nothing", f.page, f.err)
	}
}

// A long poll must not hold a shutdown up, nor wait on a topic that is gone.
func TestLongPollEndsWithItsLog(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		end  func(a *process.Agent, c *process.Client)
		want []reason.Reason
	}{
		"topic deleted": {
			func(_ *process.Agent, c *process.Client) {
				if _, err := c.Topics.DeleteTopic(t.Context(), &streamhousev1.DeleteTopicRequest{Name: "poll"}); err != nil {
					t.Error(err)
				}
			}, []reason.Reason{reason.NotOwner, reason.UnknownTopic},
		},
		"agent ends": {
			func(a *process.Agent, _ *process.Client) {
				if code := a.Terminate(); code != 0 {
					t.Errorf("exit code %d, want 0", code)
				}
			}, []reason.Reason{reason.NotOwner, reason.Draining},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := process.StartAgent(t, noCeiling)
			c := a.Client()
			a.CreateTopic("poll", 1)
			waiting := fetchAsync(t, c, &streamhousev1.FetchRequest{Topic: "poll", MaxWaitMs: 30_000})
			time.Sleep(100 * time.Millisecond) // until it waits; if it does not yet, it meets the end at once
			start := time.Now()
			test.end(a, c)
			f := <-waiting
			got := reason.From(f.err)
			if got == nil || got.Reason != test.want[0] && got.Reason != test.want[1] {
				t.Errorf("it ended with %v, want one of %v", f.err, test.want)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A fetch in the middle of a batch returns that batch, and small limits return
// one batch at least: readers always get on.
func TestFetchInTheMiddle(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	a.CreateTopic("middle", 1)
	for range 3 {
		ten := make([]*streamhousev1.Record, 10)
		for i := range ten {
			ten[i] = &streamhousev1.Record{Value: make([]byte, 1000)}
		}
		if _, err := c.Producer.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: "middle", Records: ten}); err != nil {
			t.Fatal(err)
		}
	}
	for offset := range uint64(30) {
		page, err := c.Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "middle", Offset: offset, MaxBytes: 1})
		if err != nil || len(page.GetBatches()) != 1 || page.GetBatches()[0].GetBaseOffset() != offset/10*10 {
			t.Fatalf("fetch from %d: %v, %v, want the one batch that holds it", offset, page.GetBatches(), err)
		}
		plain, err := c.Consumer.FetchRecords(t.Context(), &streamhousev1.FetchRequest{Topic: "middle", Offset: offset})
		if err != nil || plain.GetRecords()[0].GetOffset() != offset || len(plain.GetRecords()) != 30-int(offset) {
			t.Fatalf("fetch of plain records from %d: %d of them, %v", offset, len(plain.GetRecords()), err)
		}
	}
}
