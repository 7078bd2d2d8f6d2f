package producer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// network is agents that accept everything, and counts what clients really do:
// dials, and connections that are open.
type network struct {
	dials atomic.Int64
	delay atomic.Int64 // of a dial, in nanoseconds

	mu         sync.Mutex
	agents     map[string]*pipeListener
	servers    map[string]*grpc.Server
	open, most map[string]int // connections by address
	wg         sync.WaitGroup
}

func newNetwork(addresses ...string) *network {
	n := &network{agents: map[string]*pipeListener{}, servers: map[string]*grpc.Server{}, open: map[string]int{}, most: map[string]int{}}
	for _, address := range addresses {
		n.start(address)
	}
	return n
}

func (n *network) start(address string) {
	listener := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()))
	streamhousev1.RegisterProducerServiceServer(server, blackHole{})
	streamhousev1.RegisterTopicServiceServer(server, blackHole{})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agents[address], n.servers[address] = listener, server
	n.wg.Go(func() { _ = server.Serve(listener) }) // it ends by Stop
}

// take removes an agent from the network, and returns it.
func (n *network) take(address string) *grpc.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	server := n.servers[address]
	delete(n.agents, address)
	delete(n.servers, address)
	return server
}

func (n *network) stop() {
	for address := range n.servers {
		n.take(address).Stop()
	}
	n.wg.Wait()
}

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.dials.Add(1)
	select {
	case <-time.After(time.Duration(n.delay.Load())):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	listener := n.agents[address]
	n.mu.Unlock()
	if listener == nil {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	c := &counted{count: func(d int) { n.count(address, d) }}
	select {
	case listener.conns <- farEnd{far, c}:
		return nearEnd{near, c}, nil
	case <-listener.done:
		return nil, errors.New("connection refused")
	}
}

func (n *network) count(address string, d int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[address] += d
	n.most[address] = max(n.most[address], n.open[address])
}

// opened returns how many connections to an agent are open, and were at most.
func (n *network) opened(address string) (now, most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open[address], n.most[address]
}

// counted is a connection, which is open from when the client first reads from
// it until one end is closed. Attempts that come to nothing end when gRPC likes.
type counted struct {
	count func(int)

	mu     sync.Mutex
	opened bool
	closed bool
}

func (c *counted) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.opened && !c.closed {
		c.opened = true
		c.count(1)
	}
}

func (c *counted) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened && !c.closed {
		c.count(-1)
	}
	c.closed = true
}

type nearEnd struct {
	net.Conn
	counted *counted
}

func (e nearEnd) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if err == nil {
		e.counted.open()
	}
	return n, err
}

func (e nearEnd) Close() error {
	e.counted.close()
	return e.Conn.Close()
}

type farEnd struct {
	net.Conn
	counted *counted
}

func (e farEnd) Close() error {
	e.counted.close()
	return e.Conn.Close()
}

// pipeListener hands a server the far ends.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "agent"} }

// poolStory is a pool on a network of agents a and b, in virtual time.
type poolStory struct {
	*testing.T
	*network
	pool *producer.ConnectionPool
}

func inPool(t *testing.T, cfg producer.PoolConfig, story func(s *poolStory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &poolStory{T: t, network: newNetwork("a", "b")}
		defer s.stop()
		cfg.DialOptions = append(cfg.DialOptions, grpc.WithContextDialer(s.dial), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec())))
		pool, err := producer.NewConnectionPool(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.pool = pool
		defer pool.CloseAll()
		story(s)
	})
}

// at is an address that gRPC hands to the dialer as it is.
func at(agent string) string { return "passthrough:///" + agent }

func (s *poolStory) get(agent string) *producer.PooledConn {
	s.Helper()
	conn, err := s.pool.Get(s.Context(), at(agent))
	if err != nil {
		s.Fatal(err)
	}
	return conn
}

func (s *poolStory) call(conn grpc.ClientConnInterface) error {
	_, err := streamhousev1.NewTopicServiceClient(conn).DescribeTopic(s.Context(), &streamhousev1.DescribeTopicRequest{Name: topic})
	return err
}

// use makes a call on a connection to an agent.
func (s *poolStory) use(agent string) {
	s.Helper()
	conn := s.get(agent)
	defer conn.Release()
	if err := s.call(conn); err != nil {
		s.Fatal(err)
	}
}

// wantOpen checks what is open to agent a, and how many dials there were.
func (s *poolStory) wantOpen(open int, dials int64) {
	s.Helper()
	synctest.Wait()
	if now, _ := s.opened("a"); now != open || s.dials.Load() != dials {
		s.Fatalf("%d connections are open after %d dials, want %d after %d", now, s.dials.Load(), open, dials)
	}
}

func (s *poolStory) stats(agent string) producer.AgentStats {
	return s.pool.Stats().Agents[at(agent)]
}

// A new pool has connected to nobody, knows its defaults, and refuses nonsense.
func TestConnectionPoolCreation(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		if got := s.pool.Stats(); len(got.Agents) != 0 || got.Dials != 0 {
			s.Fatalf("a new pool has %+v", got)
		}
		s.wantOpen(0, 0)
		// 10 connections of 100, for 60 seconds.
		var conns []*producer.PooledConn
		for range 2000 {
			conns = append(conns, s.get("a"))
			synctest.Wait()
		}
		s.wantOpen(10, 10)
		for _, c := range conns {
			c.Release()
		}
		time.Sleep(59 * time.Second)
		s.wantOpen(10, 10)
		time.Sleep(time.Second)
		s.wantOpen(0, 10)
	})
	for _, c := range []struct {
		says string
		cfg  producer.PoolConfig
	}{
		{"MaxConnections is -1", producer.PoolConfig{MaxConnections: -1}},
		{"StreamsPerConnection is -1", producer.PoolConfig{StreamsPerConnection: -1}},
		{"IdleTimeout is -1s", producer.PoolConfig{IdleTimeout: -time.Second}},
		{"DialTimeout is -1s", producer.PoolConfig{DialTimeout: -time.Second}},
	} {
		if _, err := producer.NewConnectionPool(c.cfg); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
}

// One connection serves many calls, one after the other and at once.
func TestConnectionPool(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		for range 20 {
			s.use("a")
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { s.use("a") })
		}
		wg.Wait()
		s.wantOpen(1, 1)
		s.use("b")
		if got := s.dials.Load(); got != 2 {
			s.Fatalf("%d dials for two agents", got)
		}
	})
}

// The maximum is one of real connections, whatever they are asked for.
func TestConnectionPoolMaxConnections(t *testing.T) {
	inPool(t, producer.PoolConfig{MaxConnections: 3, StreamsPerConnection: 1}, func(s *poolStory) {
		var conns []*producer.PooledConn
		for _, open := range []int{1, 2, 2, 3, 3} { // every second one shares, and makes the pool grow
			conns = append(conns, s.get("a"))
			s.wantOpen(open, int64(open))
		}
		for range 30 {
			conns = append(conns, s.get("a"))
			s.wantOpen(3, 3)
		}
		if got := s.stats("a"); got.Healthy != 3 || got.InUse != 3 {
			s.Fatalf("got %+v", got)
		}
		for _, c := range conns {
			c.Release()
		}
		if _, most := s.opened("a"); most != 3 {
			s.Fatalf("%d connections were open at once", most)
		}
	})
}

// A connection marked unhealthy is replaced, and closed when it is free.
func TestMarkUnhealthy(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		bad := s.get("a")
		bad.MarkUnhealthy()
		if got := s.stats("a"); got.Retired != 1 || got.Healthy != 0 {
			s.Fatalf("got %+v", got)
		}
		good := s.get("a")
		s.wantOpen(2, 2)
		if err := s.call(bad); err != nil {
			s.Fatalf("a call under way on the old connection: %v", err)
		}
		bad.Release()
		s.wantOpen(1, 2)
		good.Release()
		s.use("a")
		s.wantOpen(1, 2)

		s.use("b")
		s.pool.MarkUnhealthy(at("a")) // nobody uses it: it goes at once
		s.wantOpen(0, 3)
		if now, _ := s.opened("b"); now != 1 {
			s.Fatal("the other agent's connection is gone")
		}
		s.use("a")
		s.wantOpen(1, 4)
	})
}

// After CloseAll nothing is open, nothing can be had, and nothing runs: the
// bubble would not end.
func TestCloseAll(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		held := s.get("a")
		s.use("b")
		s.delay.Store(int64(time.Hour))
		s.take("c")
		waiting := make(chan error)
		go func() {
			_, err := s.pool.Get(s.Context(), at("c"))
			waiting <- err
		}()
		synctest.Wait()
		s.pool.CloseAll()
		if err := <-waiting; !isError(err, producer.ErrPoolClosed) {
			s.Errorf("a Get that waited: %v", err)
		}
		s.wantOpen(0, 3)
		if now, _ := s.opened("b"); now != 0 {
			s.Error("a connection to b is open")
		}
		if err := s.call(held); status.Code(err) != codes.Canceled {
			s.Errorf("a call on a closed connection: %v", err)
		}
		held.Release()
		if _, err := s.pool.Get(s.Context(), at("a")); !isError(err, producer.ErrPoolClosed) {
			s.Errorf("Get: %v", err)
		}
		s.pool.CloseAll()
		if got := s.pool.Stats(); len(got.Agents) != 0 {
			s.Errorf("left: %+v", got)
		}
	})
}

// What is in use when its agent is closed ends when it is released.
func TestCloseAgent(t *testing.T) {
	inPool(t, producer.PoolConfig{StreamsPerConnection: 1, MaxConnections: 2}, func(s *poolStory) {
		held := s.get("a")
		s.get("a").Release() // shared, and a reason to grow
		s.wantOpen(2, 2)
		s.pool.CloseAgent(at("a"))
		s.wantOpen(1, 2) // the one that was idle is closed
		if err := s.call(held); err != nil {
			s.Fatal(err)
		}
		s.use("a") // connects anew
		s.wantOpen(2, 3)
		held.Release()
		held.Release() // does nothing
		s.wantOpen(1, 3)
		if err := s.call(held); err == nil {
			s.Error("a call after Release")
		}

		s.pool.CloseAgent(at("nobody"))
		s.delay.Store(int64(time.Second))
		waiting := make(chan error)
		go func() {
			_, err := s.pool.Get(s.Context(), at("b"))
			waiting <- err
		}()
		synctest.Wait()
		s.pool.CloseAgent(at("b"))
		if err := <-waiting; !isError(err, producer.ErrAgentClosed) {
			s.Errorf("a Get that waited: %v", err)
		}
		s.use("b")
	})
}

// A thousand who ask for a new address at once cause one dial, and share what
// it brings. Growth comes with those who ask later.
func TestThunderingHerd(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		s.delay.Store(int64(time.Second))
		conns := s.herd(1000)
		s.wantOpen(1, 1)
		before := now()
		conns <- s.get("a")
		if now() != before {
			s.Fatalf("growth made somebody wait: %v", now()-before)
		}
		time.Sleep(time.Second)
		s.wantOpen(2, 2)
		for range 100 {
			conns <- s.get("a")
		}
		s.wantOpen(2, 2) // they fill the second
		for range 900 {
			conns <- s.get("a")
			time.Sleep(time.Second)
		}
		s.wantOpen(10, 10)
		s.pool.MarkUnhealthy(at("a"))
		close(conns)
		for c := range conns {
			c.Release()
		}
		s.wantOpen(0, 10)
	})
}

// herd has n goroutines get a connection to a.
func (s *poolStory) herd(n int) chan *producer.PooledConn {
	conns := make(chan *producer.PooledConn, 2*n+1)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if conn, err := s.pool.Get(s.Context(), at("a")); err != nil {
				s.Error(err)
			} else {
				conns <- conn
			}
		})
	}
	wg.Wait()
	return conns
}

// So it is when there is nobody: one dial, and the reason for everyone.
func TestThunderingHerdAtADeadAgent(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		s.take("a").Stop()
		s.delay.Store(int64(time.Second))
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				_, err := s.pool.Get(s.Context(), at("a"))
				if status.Code(unwrapReason(err)) != codes.Unavailable || !strings.Contains(err.Error(), "connection refused") {
					s.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if got := s.dials.Load(); got != 1 {
			s.Fatalf("%d dials", got)
		}
		// Those who ask again at once are told so without a dial.
		for range 100 {
			if _, err := s.pool.Get(s.Context(), at("a")); err == nil {
				s.Fatal("connected to nobody")
			}
		}
		if got := s.pool.Stats(); s.dials.Load() != 1 || got.Dials != 1 || got.FailedDials != 1 {
			s.Fatalf("%d dials, stats %+v", s.dials.Load(), got)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if got := s.pool.Stats(); len(got.Agents) != 0 {
			s.Fatalf("the dead agent is not forgotten: %+v", got)
		}
		s.start("a")
		s.use("a")
	})
}

// The connection with the fewest users is handed out.
func TestLeastLoaded(t *testing.T) {
	inPool(t, producer.PoolConfig{MaxConnections: 3, StreamsPerConnection: 1}, func(s *poolStory) {
		var conns []*producer.PooledConn
		for range 4 { // the fourth shares
			conns = append(conns, s.get("a"))
			synctest.Wait()
		}
		conns[0].Release()
		conns[1].Release()
		conns[2].Release()
		conns[3].Release()
		for range 9 {
			s.get("a")
		}
		if got, want := fmt.Sprint(producer.Loads(s.pool, at("a"))), "[3 3 3]"; got != want {
			s.Fatalf("users per connection: %s, want %s", got, want)
		}
	})
}

// A connection that broke is not handed out again, though nobody said so.
func TestBrokenConnectionIsReplaced(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		idle := s.get("a")
		idle.Release()
		held := s.get("a")
		s.take("a").Stop()
		synctest.Wait()
		if got := s.stats("a"); got.Healthy != 0 || got.Retired != 1 {
			s.Fatalf("got %+v", got)
		}
		if err := s.call(held); status.Code(err) != codes.Unavailable {
			s.Fatalf("a call on a connection that is lost: %v", err)
		}
		if _, err := s.pool.Get(s.Context(), at("a")); err == nil {
			s.Fatal("got a connection to nobody")
		}
		time.Sleep(time.Second)
		s.start("a")
		s.use("a")
		held.Release()
		s.wantOpen(1, 3)
	})
}

// A server that drains lets a stream that is open end well: so does the pool.
func TestDrainingConnectionEndsWithItsStreams(t *testing.T) {
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		conn := s.get("a")
		stream, err := streamhousev1.NewProducerServiceClient(conn).ProduceStream(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		if err := stream.SendMsg(&wire.Request{}); err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		old := s.take("a")
		drained := make(chan struct{})
		go func() {
			old.GracefulStop()
			close(drained)
		}()
		s.start("a")
		time.Sleep(time.Second)
		s.use("a") // on a connection to the new one
		var answers wire.Answers
		if err := stream.RecvMsg(&answers); err != nil {
			s.Fatalf("the stream's answer: %v", err)
		}
		if err := stream.CloseSend(); err != nil {
			s.Fatal(err)
		}
		<-drained
		conn.Release()
		s.wantOpen(1, 2)
	})
}

// Retired connections count: the maximum holds, and still a working one can be
// had.
func TestRetiredConnectionsCount(t *testing.T) {
	inPool(t, producer.PoolConfig{MaxConnections: 2}, func(s *poolStory) {
		first := s.get("a")
		first.MarkUnhealthy()
		second := s.get("a")
		second.MarkUnhealthy()
		third := s.get("a") // the first is closed under its user
		if err := s.call(first); status.Code(err) != codes.Canceled {
			s.Errorf("a call on the one that made room: %v", err)
		}
		if err := errors.Join(s.call(second), s.call(third)); err != nil {
			s.Error(err)
		}
		s.wantOpen(2, 3)
		first.Release()
		second.Release()
		third.Release()
		s.wantOpen(1, 3)
		if _, most := s.opened("a"); most > 2 {
			s.Errorf("%d connections were open at once", most)
		}
	})
}

// Growth that fails takes nothing from those who have a connection.
func TestGrowthFails(t *testing.T) {
	inPool(t, producer.PoolConfig{StreamsPerConnection: 1}, func(s *poolStory) {
		s.get("a")
		s.mu.Lock()
		listener := s.agents["a"]
		delete(s.agents, "a") // no more connections
		s.mu.Unlock()
		for range 10 {
			if err := s.call(s.get("a")); err != nil {
				s.Fatal(err)
			}
			synctest.Wait()
		}
		s.wantOpen(1, 2)
		s.mu.Lock()
		s.agents["a"] = listener
		s.mu.Unlock()
		time.Sleep(time.Second)
		s.get("a")
		s.wantOpen(2, 3)
	})
}

// Get waits as long as its context allows; those who go on waiting get what was
// begun for the first.
func TestGetIsCancelled(t *testing.T) {
	inPool(t, producer.PoolConfig{DialTimeout: 5 * time.Second}, func(s *poolStory) {
		s.delay.Store(int64(2 * time.Second))
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		go func() {
			if _, err := s.pool.Get(ctx, at("a")); !isError(err, context.DeadlineExceeded) {
				s.Errorf("got %v", err)
			}
		}()
		synctest.Wait()
		s.use("a")
		s.wantOpen(1, 1)
		s.delay.Store(int64(time.Minute))
		start := now()
		if _, err := s.pool.Get(s.Context(), at("b")); status.Code(unwrapReason(err)) != codes.Unavailable || now() != start+5*time.Second {
			s.Fatalf("got %v after %v", err, now()-start)
		}
	})
	inPool(t, producer.PoolConfig{}, func(s *poolStory) {
		if _, err := s.pool.Get(s.Context(), "nosuchscheme://%zz"); err == nil {
			s.Error("a bad address was taken")
		}
	})
}

// Everything at once, against agents that come and go: the maximum holds, and
// nothing is left.
func TestConnectionPoolUnderLoad(t *testing.T) {
	const limit = 4
	inPool(t, producer.PoolConfig{MaxConnections: limit, StreamsPerConnection: 2, IdleTimeout: 3 * time.Millisecond}, func(s *poolStory) {
		var wg sync.WaitGroup
		var worked atomic.Int64
		for g := range 50 {
			wg.Go(func() {
				for i := range 40 {
					agent := []string{"a", "b"}[(g+i)%2]
					conn, err := s.pool.Get(s.Context(), at(agent))
					if err != nil {
						time.Sleep(time.Millisecond)
						continue
					}
					if s.call(conn) == nil {
						worked.Add(1)
					} else if i%2 == 0 {
						conn.MarkUnhealthy()
					}
					time.Sleep(time.Duration((g*i)%5) * time.Millisecond)
					conn.Release()
				}
			})
		}
		wg.Go(func() {
			for range 10 {
				time.Sleep(5 * time.Millisecond)
				s.take("a").Stop()
				s.pool.MarkUnhealthy(at("b"))
				s.pool.Stats()
				s.start("a")
			}
		})
		wg.Wait()
		time.Sleep(time.Second)
		s.wantOpen(0, s.dials.Load())
		for _, agent := range []string{"a", "b"} {
			if open, most := s.opened(agent); open != 0 || most == 0 {
				s.Errorf("%s: %d connections are open and %d were", agent, open, most)
			}
		}
		// Not so for a: where connections break with calls on them, gRPC may
		// connect once more by itself, for a call that the agent has not touched.
		if _, most := s.opened("b"); most > limit {
			s.Errorf("b: %d connections were open", most)
		}
		if got := s.pool.Stats(); len(got.Agents) != 0 || worked.Load() < 1000 {
			s.Errorf("left: %+v; %d calls worked", got, worked.Load())
		}
	})
}
