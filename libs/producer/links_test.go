package producer_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// Addresses come and go with the tasks of a service. The bug this catches: links
// to addresses that are gone were kept for ever, and so were their connections.
func TestVanishedAgentsAreForgotten(t *testing.T) {
	for _, connections := range []int{1, 2} {
		inWorld(t, options(producer.WithConnections(connections)), func(w *world) {
			for i := range 30 {
				agent := fmt.Sprint("task-", i)
				w.cluster.Start(agent)
				for partition := range 3 {
					w.cluster.Move(topic, partition, agent)
				}
				for partition := range int32(3) {
					w.sendTo(partition, 0, 0)
				}
				w.flush()
				if i%2 == 0 {
					w.cluster.Kill(agent)
				}
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			agents, links := producer.Links(w.producer)
			if agents > 1 || links > connections {
				w.Errorf("%d links to %d agents are left", links, agents)
			}
			if got := w.producer.PoolStats(); len(got.Agents) != 0 {
				w.Errorf("connections are left: %+v", got)
			}
			w.sendTo(0, 1, 1) // the last one still works
			w.flush()
		})
	}
}

// So it is for topics that are gone.
func TestLinksOfDeletedTopicsAreForgotten(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for i := range 20 {
			name := fmt.Sprint("topic-", i)
			agent := fmt.Sprint("task-", i)
			w.cluster.Start(agent)
			w.cluster.CreateTopic(name, agent)
			if _, err := w.producer.Send(w.Context(), producer.Record{Topic: name}); err != nil {
				w.Fatal(err)
			}
			w.cluster.DeleteTopic(name)
			if _, err := w.producer.Send(w.Context(), producer.Record{Topic: name}); !isError(err, reason.UnknownTopic) {
				w.Fatalf("got %v", err)
			}
			w.cluster.Kill(agent)
		}
		time.Sleep(3 * time.Minute)
		w.send(0, 0) // to look a topic up drops what is gone
		w.flush()
		if agents, links := producer.Links(w.producer); agents != 1 || links != 1 {
			w.Errorf("%d links to %d agents are left", links, agents)
		}
	})
}

// A producer's connections are its pool's: one to each agent that has work, and
// one for questions.
func TestProducerSharesOnePool(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.Move(topic, 1, "b")
		for partition := range int32(2) {
			w.sendTo(partition, 0, 0)
		}
		w.flush()
		a, b := producertest.Address("a"), producertest.Address("b")
		got := w.producer.PoolStats()
		if got.Agents[a].Healthy != 1 || got.Agents[b].InUse != 1 || got.Dials != uint64(w.cluster.Counts().Dials) || got.Dials != 2 {
			w.Fatalf("got %+v", got)
		}
		// The next question goes to a, whose connection is in use now.
		w.cluster.CreateTopic("other", "b")
		if _, err := w.producer.Send(w.Context(), producer.Record{Topic: "other"}); err != nil {
			w.Fatal(err)
		}
		if got := w.producer.PoolStats().Agents[a]; got.Healthy != 2 || got.InUse != 1 {
			w.Fatalf("got %+v", got)
		}
		if err := w.producer.Close(w.Context()); err != nil {
			w.Fatal(err)
		}
		if got := w.producer.PoolStats(); len(got.Agents) != 0 {
			w.Fatalf("after Close: %+v", got)
		}
	})
}

// A connection on which no answers come is not used again, though gRPC calls it
// ready; one that is idle is closed after a minute.
func TestConnectionsOfLinksAreReplacedAndClosed(t *testing.T) {
	inWorld(t, single(producer.WithRequestTimeout(5*time.Second)), func(w *world) {
		w.cluster.Move(topic, 0, "b") // questions go to a
		w.script(func(a *producertest.Attempt) producertest.Reply { return producertest.Reply{Silent: a.Stream == 1} })
		w.send(0, 0)
		w.flush()
		if got := w.cluster.Counts(); got.Dials != 3 || got.Streams != 2 {
			w.Fatalf("%d streams on %d connections", got.Streams, got.Dials)
		}
		time.Sleep(61 * time.Second)
		if got := w.producer.PoolStats(); len(got.Agents) != 0 {
			w.Fatalf("idle and still open: %+v", got)
		}
	})
}
