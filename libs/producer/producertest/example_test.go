package producertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// placeOrder is what the examples test.
func placeOrder(ctx context.Context, p *producer.Producer, customer, order string) error {
	_, err := p.Send(ctx, producer.Record{Topic: "orders", Key: []byte(customer), Value: []byte(order)})
	return err
}

// A test sends through the program's own code and looks at what is in the log.
func Example() {
	run("TestPlaceOrder", func(t *testing.T) {
		cluster := producertest.New(t, producertest.Topic("orders", 1))
		p, err := producer.New(t.Context(), cluster.Target(), producer.WithDialOptions(cluster.Dialer()), producer.WithLinger(0))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close(t.Context()) }()

		if err := placeOrder(t.Context(), p, "alice", "tea"); err != nil {
			t.Fatal(err)
		}
		records := cluster.Records("orders", 0)
		if len(records) != 1 || string(records[0].Key) != "alice" || string(records[0].Value) != "tea" {
			t.Errorf("the log holds %v", records)
		}
	})
}

// The answer to each batch is lost the first time. The library sends it again,
// and the agent knows it: nothing is doubled. In a bubble the wait for the
// answer takes no time.
func ExampleCluster_Script() {
	run("TestLostAnswers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := producertest.New(t, producertest.Topic("orders", 1))
			cluster.Script(func(a *producertest.Attempt) producertest.Reply {
				if a.Try == 1 {
					return producertest.LoseAnswer()
				}
				return producertest.Proceed()
			})
			p, err := producer.New(t.Context(), cluster.Target(), producer.WithDialOptions(cluster.Dialer()))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Close(t.Context()) }()

			if err := placeOrder(t.Context(), p, "alice", "tea"); err != nil {
				t.Fatal(err)
			}
			if n := len(cluster.Records("orders", 0)); n != 1 {
				t.Errorf("%d records, want 1", n)
			}
		})
	})
}

// How a program behaves while agents are overloaded: the order fails for good
// once the retries are used up, and is known not to be in the log.
func ExampleOverload() {
	run("TestOverloaded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := producertest.New(t, producertest.Topic("orders", 1))
			cluster.Script(func(*producertest.Attempt) producertest.Reply { return producertest.Overload(time.Second) })
			p, err := producer.New(t.Context(), cluster.Target(), producer.WithDialOptions(cluster.Dialer()))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Close(t.Context()) }()

			err = placeOrder(t.Context(), p, "alice", "tea")
			if !errors.Is(err, reason.Overloaded) || producer.OutcomeOf(err) != producer.NotDone {
				t.Errorf("got %v", err)
			}
		})
	})
}

// A deployment while records are on their way: the agents drain and come back
// one after the other, and no record fails.
func ExampleCluster_Drain() {
	run("TestDeployment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := producertest.New(t, producertest.Agents("a", "b"), producertest.Topic("orders", 4))
			p, err := producer.New(t.Context(), cluster.Target(), producer.WithDialOptions(cluster.Dialer()), producer.WithTopic("orders"))
			if err != nil {
				t.Fatal(err)
			}
			for _, agent := range []string{"a", "b"} {
				for n := range 100 {
					p.SendAsync(t.Context(), producer.Record{Key: fmt.Append(nil, n)}, nil)
				}
				cluster.Drain(agent)
				cluster.Start(agent)
			}
			if err := p.Close(t.Context()); err != nil { // the first failure of any record
				t.Fatal(err)
			}
		})
	})
}
