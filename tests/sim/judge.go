package sim

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// judge reads all there is with an agent of its own, which takes everything over
// on a store without faults, and holds it against what clients were told.
func (w *World) judge(memory *agent.Memory) {
	listener := bufconn.Listen(bufferBytes)
	cfg := settings("judge", "10.0.1.1:7070", "", time.Minute, time.Minute)
	a, err := agent.New(cfg, agent.WithMemory(memory), agent.WithListener("internal", listener))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // waited for below
		_ = a.Run(ctx) // a drain that fails is no business of the judge's
		close(ended)
	}()
	conn, err := grpc.NewClient("passthrough:///judge", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-a.Ready():
	case <-time.After(time.Minute):
		w.violate("unserved: an agent that is alone does not get ready")
	}
	for _, t := range w.topics {
		w.verify(t, conn)
	}
	_ = conn.Close() // it only ever says that it is closed already
	stop()
	<-ended
	if _, err := agent.Verify(context.Background(), agent.StoreConfig{}, agent.VerifyOptions{}, agent.WithMemory(memory)); err != nil {
		w.violate("store: %v", err)
	}
}

// verify reads one topic and checks everything that is known of it.
func (w *World) verify(t *topic, conn *grpc.ClientConn) {
	if n := t.history.Counts().Pending(); n > 0 {
		w.violate("pending: %d records of %s were never resolved", n, t.name)
	}
	if !t.exists {
		return // what was told of a deleted topic cannot be checked
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	consumer := streamhousev1.NewConsumerServiceClient(conn)
	if t.keeps != (retention{}) {
		w.verifyBrief(ctx, t, consumer)
		return
	}
	log, err := history.Read(ctx, streamhousev1.NewTopicServiceClient(conn), consumer, t.name)
	if err != nil {
		w.violate("unreadable: %v", err)
		return
	}
	for _, v := range t.history.Check(log) {
		w.violate("%s: %v", t.name, v)
	}
	for partition, entries := range log {
		if trouble := t.linearize(partition, entries); trouble != "" {
			w.violate("nonlinear: %s/%d: %s", t.name, partition, trouble)
		}
		if err := w.checkTimes(ctx, consumer, t.name, partition); err != nil {
			w.violate("unreadable: %s/%d by time: %v", t.name, partition, err)
		}
	}
}

// linearize checks that the appends and the reads of a partition, with the times
// at which each began and ended, could have happened one after the other on one
// log. Where an append whose producer heard of no end took effect, the log
// tells; where it does not, it had none.
func (t *topic) linearize(partition uint32, log []history.Entry) string {
	at := map[history.ID]uint64{}
	for _, e := range log {
		at[e.ID] = e.Offset
	}
	var ops []porcupine.Operation
	for _, o := range t.opsOf(partition) {
		if !o.known {
			offset, took := at[o.id]
			if !took {
				continue
			}
			o.offset = offset
		}
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: o, Call: o.from, Output: nil, Return: o.till})
	}
	for offset := range log { // the judge saw all of it, at the end
		o := op{read: true, id: log[offset].ID, offset: uint64(offset)}
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: o, Call: math.MaxInt64 - 1, Return: math.MaxInt64})
	}
	if porcupine.CheckOperationsTimeout(logModel, ops, 10*time.Second) != porcupine.Ok {
		return fmt.Sprintf("%d operations fit no order", len(ops))
	}
	return ""
}

// appended is a log as a list from its newest record on, so that adding one
// copies nothing.
type appended struct {
	id     history.ID
	before *appended
	length uint64
	hash   uint64
}

func (a *appended) len() uint64 {
	if a == nil {
		return 0
	}
	return a.length
}

func (a *appended) find(offset uint64) (history.ID, bool) {
	for ; a != nil; a = a.before {
		if a.length == offset+1 {
			return a.id, true
		}
	}
	return history.ID{}, false
}

// logModel is a log: an append takes the next offset, a read finds what was
// appended there.
var logModel = porcupine.Model{
	Init: func() any { return (*appended)(nil) },
	Step: func(state, input, _ any) (bool, any) {
		log, _ := state.(*appended)
		o, _ := input.(op)
		if o.read {
			id, found := log.find(o.offset)
			return found && id == o.id, log
		}
		if o.offset != log.len() {
			return false, log
		}
		next := &appended{id: o.id, before: log, length: o.offset + 1, hash: uint64(o.id.Producer)<<40 ^ o.id.Number}
		if log != nil {
			next.hash += log.hash * 0x9e3779b97f4a7c15
		}
		return true, next
	},
	Equal: func(a, b any) bool {
		x, _ := a.(*appended)
		y, _ := b.(*appended)
		return x == y || x != nil && y != nil && x.length == y.length && x.hash == y.hash
	},
}
