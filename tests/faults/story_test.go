package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// life is one agent of a story.
type life struct {
	rules []string // for its store, see world.Faults
	edits []world.Edit
	// before and after are how many records each client sends: the life goes
	// on until the former are acknowledged, and ends with the latter on their
	// way.
	before, after int
	// zombie: it is not stopped, but taken over while it runs. Otherwise it
	// drains.
	zombie bool
	// reads: at the end, the whole log is read.
	reads bool
	// dies: the first fault that comes true is the agent's end.
	dies bool
}

// plot is what happens in a story.
type plot struct {
	partitions uint32
	clients    int
	every      time.Duration // from one record of a client to the next
	options    []producer.Option
	lives      []life
	// patience is how long a life waits for acknowledgements that may not come.
	patience time.Duration
	// calm: no agent may fail to drain.
	calm bool
}

// story is a plot that comes true.
type story struct {
	*world.World
	plot
	topic     bool // there is one
	producers []*producer.Producer
	portions  []chan int // how many records the clients are still to send
	senders   sync.WaitGroup
	due       int            // records, of all clients
	agents    []*world.Agent // of the lives
	old       *world.Agent   // runs on though its time is over
}

// play lets a plot come true in a bubble, and checks that nobody was told
// anything wrong.
func play(t *testing.T, p plot, end func(s *story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &story{World: world.New(t), plot: p}
		s.startClients()
		for _, l := range p.lives {
			s.live(l)
		}
		s.finish()
		s.Check()
		if end != nil {
			end(s)
		}
	})
}

// live runs one agent from its launch to its end.
func (s *story) live(l life) {
	a := s.Launch(append(l.edits, world.Faults(l.rules...))...)
	s.agents = append(s.agents, a)
	dead := func() bool { return l.dies && a.InjectedFaults() > 0 }
	wait(time.Minute, func() bool { return a.Await(0) || dead() })
	s.retire()
	s.createTopic(dead)
	if s.topic {
		s.send(l.before)
		wait(s.patience, func() bool {
			told := s.History.Counts()
			return told.Sent == s.due && told.Pending() == 0 || dead()
		})
		s.send(l.after)
		wait(time.Duration(l.after)*s.every, dead)
	}
	if l.reads {
		s.read(l)
	}
	s.leave(a, l, dead())
}

// read reads the log while others may be writing to it.
func (s *story) read(l life) {
	if _, err := s.Read(s.patience); err != nil && s.calm && !l.dies {
		s.Errorf("read: %v", err)
	}
}

// leave ends an agent, or leaves it for the next one to end.
func (s *story) leave(a *world.Agent, l life, dead bool) {
	if dead {
		a.Cut()
	}
	if dead || l.zombie {
		s.old = a
		return
	}
	if err := a.Stop(); err != nil && s.calm && !l.dies {
		s.Errorf("drain: %v", err)
	}
}

// wait returns after a time, or as soon as until is true.
func wait(limit time.Duration, until func() bool) {
	for end := time.Now().Add(limit); !until() && time.Now().Before(end); {
		time.Sleep(4 * time.Millisecond)
	}
}

// retire ends an agent whose place another has taken. What its end returns
// depends on what it was just at.
func (s *story) retire() {
	if s.old != nil {
		_ = s.old.Stop()
		s.old = nil
	}
}

// createTopic makes the topic unless it is there, or leaves that to the next
// life if the agent dies of it.
func (s *story) createTopic(dead func() bool) {
	for limit := time.Now().Add(time.Minute); !s.topic && !dead() && time.Now().Before(limit); {
		ctx, cancel := context.WithTimeout(s.Context(), 2*time.Second)
		s.topic = s.CreateTopic(ctx, s.partitions) == nil
		cancel()
		if !s.topic {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// startClients makes the clients, which then send what they are told to. A
// client of an agent that is gone waits until there is another.
func (s *story) startClients() {
	s.Cleanup(s.endClients) // after the producers are closed, which sending could wait for
	for client := range s.clients {
		p, portions := s.Producer(s.options...), make(chan int, 2*len(s.lives))
		s.producers, s.portions = append(s.producers, p), append(s.portions, portions)
		s.senders.Go(func() {
			sent := uint32(0)
			for n := range portions {
				for range n {
					s.Send(p, uint32(client), sent%s.partitions)
					sent++
					time.Sleep(s.every)
				}
			}
		})
	}
}

// send has every client send n records, over all partitions in turn.
func (s *story) send(n int) {
	for _, portions := range s.portions {
		portions <- n
		s.due += n
	}
}

// endClients waits until the clients have sent what they were told to.
func (s *story) endClients() {
	for _, portions := range s.portions {
		close(portions)
	}
	s.portions = nil
	s.senders.Wait()
}

// finish gives the clients an agent without faults until all is said, and then
// another one to read from, which knows the log from the store alone.
func (s *story) finish() {
	last := s.Start()
	s.retire()
	s.createTopic(func() bool { return false })
	s.endClients()
	for _, p := range s.producers {
		_ = p.Close(s.Context()) // the history has what it says
	}
	if err := last.Stop(); err != nil {
		s.Errorf("drain the last agent: %v", err)
	}
	s.Start()
}

// allAcked fails the test unless every record was acknowledged.
func (s *story) allAcked() {
	if got := s.History.Counts(); got.Acked != got.Sent {
		s.Errorf("not all records were acknowledged: %v; errors: %v", got, s.Errors())
	}
}

func rule(format string, args ...any) string { return fmt.Sprintf(format, args...) }
