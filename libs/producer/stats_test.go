package producer_test

import (
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

func TestStats(t *testing.T) {
	limits := options(producer.WithLinger(0), producer.WithMaxBufferedRecords(200), producer.WithMaxBufferedBytes(2<<20))
	inWorld(t, limits, func(w *world) {
		if s := w.producer.Stats(); !reflect.DeepEqual(s, producer.Stats{MaxBufferedRecords: 200, MaxBufferedBytes: 2 << 20}) {
			t.Errorf("at the beginning: %+v", s)
		}
		w.cluster.Move(topic, 1, "b")
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: time.Second} })
		w.send(0, 0)
		w.sendTo(1, 1, 1)
		synctest.Wait()
		sizes := map[string]int{}
		for _, a := range w.gotAttempts() {
			sizes[a.Agent] = len(a.Data)
		}
		s := w.producer.Stats()
		if s.BufferedRecords != 2 || s.BufferedBytes <= 0 || s.Topics != 1 || s.Waiting != 0 ||
			s.InFlightBatches != 2 || s.InFlightBytes != sizes["a"]+sizes["b"] || s.Streams != 2 {
			t.Errorf("with two in flight: %+v", s)
		}
		want := []producer.AgentState{
			{Address: producertest.Address("a"), Streams: 1, InFlightBatches: 1, InFlightBytes: sizes["a"]},
			{Address: producertest.Address("b"), Streams: 1, InFlightBatches: 1, InFlightBytes: sizes["b"]},
		}
		if !reflect.DeepEqual(s.Agents, want) {
			t.Errorf("agents are %+v, want %+v", s.Agents, want)
		}
		go w.send(2, 200) // more than there is room for
		synctest.Wait()
		if s := w.producer.Stats(); s.BufferedRecords < 100 || s.BufferedRecords > 200 || s.Waiting != 1 {
			t.Errorf("with a full buffer: %+v", s)
		}
		time.Sleep(time.Minute)
		w.cluster.Kill("a")
		w.cluster.Kill("b")
		synctest.Wait()
		if s := w.producer.Stats(); s.BufferedRecords != 0 || s.BufferedBytes != 0 || s.InFlightBatches != 0 || s.InFlightBytes != 0 || s.Streams != 0 || len(s.Agents) != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// What goes up with a batch comes down with it, however its stream ends.
func TestStatsReturnToZero(t *testing.T) {
	inWorld(t, options(producer.WithLinger(0), producer.WithDeliveryTimeout(5*time.Second)), func(w *world) {
		for range 5 {
			w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Silent: true} })
			w.sendTo(0, 0, 9)
			w.sendTo(1, 10, 19)
			synctest.Wait()
			if s := w.producer.Stats(); s.InFlightBatches < 2 {
				t.Errorf("in flight: %+v", s)
			}
			w.cluster.Kill("a")
			synctest.Wait()
			w.script(nil)
			w.cluster.Start("a")
			time.Sleep(10 * time.Second)
		}
		w.flush()
		s := w.producer.Stats()
		if s.BufferedRecords != 0 || s.BufferedBytes != 0 || s.InFlightBatches != 0 || s.InFlightBytes != 0 || s.Streams != 1 {
			t.Errorf("after everything was resolved: %+v", s)
		}
		if err := w.producer.Close(w.Context()); err != nil {
			t.Error(err)
		}
		if s := w.producer.Stats(); s.Streams != 0 {
			t.Errorf("after Close: %+v", s)
		}
	})
}

func TestStatsWhileSending(t *testing.T) {
	inWorld(t, options(producer.WithLinger(0)), func(w *world) {
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for range 200 {
					if s := w.producer.Stats(); s.BufferedRecords < 0 || s.InFlightBytes < 0 || s.InFlightBatches < 0 {
						t.Errorf("negative: %+v", s)
					}
				}
			})
		}
		w.send(0, 999)
		w.flush()
		asking.Wait()
	})
}
