package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

const (
	clusterHeartbeat = 2 * time.Second
	clusterLease     = 10 * time.Second
)

// cluster is several hosts on one pair of stores, each with a network of its
// own, and the wires between them.
type cluster struct {
	t       *testing.T
	objects *memory.Objects
	rows    *memory.Rows
	topic   *meta.Topic

	mu       sync.Mutex
	hosts    map[string]*node // by session
	cut      bool             // no host reaches another
	versions map[int]int      // how much was written in which format
}

// node is one host of a cluster.
type node struct {
	*running
	network *faults.Injector
	release release
	paused  bool // neither answers nor calls
}

var errCut = errors.New("no route")

func newCluster(t *testing.T, partitions uint32) *cluster {
	t.Helper()
	c := &cluster{t: t, objects: memory.NewObjects(), rows: memory.NewRows(), hosts: map[string]*node{}}
	var err error
	if c.topic, err = topics.New(c.rows, 10_000).Create(t.Context(), "t", partitions); err != nil {
		t.Fatal(err)
	}
	return c
}

// slowStore is a healthy store of the cloud.
var slowStore = faults.Plan{
	Put:    faults.Latency{P50: 60 * time.Millisecond, P99: 200 * time.Millisecond},
	Get:    faults.Latency{P50: 20 * time.Millisecond, P99: 80 * time.Millisecond},
	Commit: faults.Latency{P50: 4 * time.Millisecond, P99: 10 * time.Millisecond},
	Read:   faults.Latency{P50: 3 * time.Millisecond, P99: 8 * time.Millisecond},
}

func (c *cluster) start(plan faults.Plan) *node {
	c.t.Helper()
	n, err := c.startRelease(plan, release{reads: format.Reads()})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *cluster) startRelease(plan faults.Plan, r release) (*node, error) {
	c.t.Helper()
	n := &node{network: faults.New(plan), release: r}
	agreed := format.New(r.writes)
	rows := meta.InFormat(&releaseRows{n.network.Rows(c.rows), c, r}, agreed)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("CLUSTER_LOG") != "" {
		log = slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h, err := Start(c.t.Context(), Options{
		Session: session.Options{Agent: "a", ReadsFormat: r.reads, Heartbeat: clusterHeartbeat, Lease: clusterLease},
		Flush: flush.Options{
			Bytes: 1 << 16, Age: 20 * time.Millisecond, Concurrency: 4, BufferBytes: 1 << 20,
			MaxProducers: 10_000, AckTimeout: 30 * time.Second, PutTimeout: 10 * time.Second,
		},
		CacheBytes: 1 << 20,
	}, Deps{
		Objects: &releaseObjects{n.network.Objects(c.objects), c}, Rows: rows, Format: agreed, Catalog: topics.New(rows, 10_000), Counters: &stats.Stats{},
		Peers: &wires{c, n}, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancelCause(context.WithoutCancel(c.t.Context()))
	n.running = &running{Host: h, kill: kill, ended: make(chan error, 1)}
	c.mu.Lock()
	c.hosts[h.Session.ID] = n
	c.mu.Unlock()
	go func() { n.ended <- h.Run(ctx) }()
	return n, nil
}

// stop ends a host as kill -9 would.
func (c *cluster) stop(n *node) {
	c.t.Helper()
	c.mu.Lock()
	delete(c.hosts, n.Session.ID)
	c.mu.Unlock()
	n.crash()
	n.network.Wait()
}

func (c *cluster) stopAll() {
	c.t.Helper()
	c.mu.Lock()
	var all []*node
	for _, n := range c.hosts {
		all = append(all, n)
	}
	c.mu.Unlock()
	for _, n := range all {
		c.stop(n)
	}
}

// wires is a host's Peers.
type wires struct {
	c    *cluster
	from *node
}

func (w *wires) reach(to *meta.Session) (*node, error) {
	time.Sleep(time.Millisecond)
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	n := w.c.hosts[to.ID]
	if n == nil || w.c.cut || n.paused || w.from.paused {
		return nil, errCut
	}
	return n, nil
}

func (w *wires) Offer(_ context.Context, to *meta.Session, ids []flush.ID) ([]flush.ID, error) {
	n, err := w.reach(to)
	if err != nil {
		return nil, err
	}
	return n.Offered(ids), nil
}

func (w *wires) HandOver(ctx context.Context, to *meta.Session, ids []flush.ID) error {
	n, err := w.reach(to)
	if err != nil {
		return err
	}
	return n.HandedOver(ctx, ids)
}

func (w *wires) Wake(_ context.Context, to *meta.Session) error {
	n, err := w.reach(to)
	if err == nil {
		n.Kick()
	}
	return err
}

// owner is the host that serves a partition.
func (c *cluster) owner(id flush.ID) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.hosts {
		if n.Pipeline.Tenure(id) != nil && n.Session.Valid(time.Now()) == nil {
			return n
		}
	}
	return nil
}

// shares counts what each host owns; it fails when two own the same.
func (c *cluster) shares() (byHost map[string]int, owned int) {
	c.t.Helper()
	byHost = map[string]int{}
	seen := map[flush.ID]string{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.hosts {
		byHost[id] = 0
		for _, t := range n.Pipeline.Tenures() {
			if other := seen[t.ID]; other != "" {
				c.t.Errorf("%v belongs to %s and to %s", t.ID, other, id)
			}
			seen[t.ID] = id
			byHost[id]++
		}
	}
	return byHost, len(seen)
}

// balanced waits until all is owned, each host with no more than its share.
func (c *cluster) balanced(limit time.Duration) time.Duration {
	c.t.Helper()
	began := time.Now()
	for {
		byHost, owned := c.shares()
		mean := float64(c.topic.Partitions) / float64(len(byHost))
		even := owned == int(c.topic.Partitions)
		for _, n := range byHost {
			even = even && (float64(n) <= 1.25*mean || float64(n) < mean+1)
		}
		if even {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			c.explain()
			c.t.Fatalf("after %s %d of %d are owned: %v", limit, owned, c.topic.Partitions, byHost)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// row is a partition's row as it is stored.
func (c *cluster) row(p uint32) *meta.Partition {
	c.t.Helper()
	row := &meta.Partition{Topic: c.topic.ID, Partition: p}
	if err := c.rows.Get(c.t.Context(), row); err != nil {
		c.t.Fatal(err)
	}
	return row
}

// explain logs what is known of the partitions that nobody owns.
func (c *cluster) explain() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.topic.Partitions {
		id := flush.ID{Topic: c.topic.ID, Partition: p}
		row := &meta.Partition{Topic: id.Topic, Partition: p}
		err := c.rows.Get(c.t.Context(), row)
		owner := c.hosts[row.Owner]
		if err == nil && owner != nil && owner.Pipeline.Tenure(id) != nil {
			continue
		}
		c.t.Logf("partition %d: %+v, %v", p, row, err)
		for session, n := range c.hosts {
			n.mu.Lock()
			c.t.Logf("  %s: ended %d, busy %v, later %+v, plan %+v", session, len(n.ended), n.busy[id], n.later[id], n.plan.owners[id])
			n.mu.Unlock()
		}
	}
}

// writer produces to one partition, one batch at a time, wherever it is, and
// remembers the longest time between two acknowledgements.
type writer struct {
	c         *cluster
	partition uint32
	every     time.Duration // from one batch to the next
	seq, next uint64
	failed    error

	mu   sync.Mutex
	last time.Time
	gap  time.Duration
}

func (w *writer) run(ctx context.Context) {
	w.note(time.Now(), 0)
	id := flush.ID{Topic: w.c.topic.ID, Partition: w.partition}
	for ctx.Err() == nil {
		if !w.once(id) {
			time.Sleep(w.every / 2)
			continue
		}
		w.note(time.Now(), w.longest())
		time.Sleep(w.every)
	}
}

func (w *writer) note(last time.Time, gap time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.gap = last, gap
}

// longest is the longest gap, with the present one.
func (w *writer) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(w.gap, time.Since(w.last))
}

// forget begins anew, with the present gap.
func (w *writer) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gap = 0
}

// once sends the next batch and reports whether it was acknowledged. A refusal
// or an unknown outcome sends the same again.
func (w *writer) once(id flush.ID) bool {
	n := w.c.owner(id)
	if n == nil {
		return false
	}
	got := make(waiting, 1)
	b := encode(uint64(w.partition)+1, w.seq, 3)
	if err := n.Pipeline.Append(id, b, got, 0); err != nil {
		return false
	}
	select {
	case r := <-got:
		if r.err != nil {
			return false
		}
		if r.base != w.next {
			w.failed = errors.Join(w.failed, fmt.Errorf("partition %d: batch %d stands at %d, want %d", w.partition, w.seq, r.base, w.next))
		}
	case <-time.After(time.Second): // its host hangs
		return false
	}
	w.seq++
	w.next += 3
	return true
}

// load writes to all partitions, until it is stopped.
type load struct {
	writers []*writer
	stop    context.CancelFunc
	group   sync.WaitGroup
}

func (c *cluster) load(every time.Duration) *load {
	ctx, stop := context.WithCancel(c.t.Context())
	l := &load{stop: stop}
	for p := range c.topic.Partitions {
		w := &writer{c: c, partition: p, every: every}
		l.writers = append(l.writers, w)
		l.group.Go(func() { w.run(ctx) })
	}
	return l
}

// reset forgets the gaps so far.
func (l *load) reset() {
	for _, w := range l.writers {
		w.forget()
	}
}

// gaps are the longest of each partition, sorted by the caller.
func (l *load) gaps() (all []time.Duration) {
	for _, w := range l.writers {
		all = append(all, w.longest())
	}
	return all
}

// check stops the load and reads every partition: each record is there once, in
// order.
func (l *load) check(c *cluster) {
	c.t.Helper()
	l.stop()
	l.group.Wait()
	c.balanced(time.Minute)
	for _, w := range l.writers {
		if w.failed != nil {
			c.t.Error(w.failed)
		}
		n := c.owner(flush.ID{Topic: c.topic.ID, Partition: w.partition})
		checkLog(c.t, n.running, flush.ID{Topic: c.topic.ID, Partition: w.partition}, w.next)
	}
}

// checkLog reads a partition whose records are numbered in threes. The last
// batch may stand without having been acknowledged.
func checkLog(t *testing.T, r *running, id flush.ID, end uint64) {
	t.Helper()
	log := r.Pipeline.Tenure(id).Index
	if _, e := log.Bounds(); e != end && e != end+3 {
		t.Fatalf("%v ends at %d, want %d", id, e, end)
	}
	ranges, err := log.Find(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(0)
	for _, g := range ranges {
		b, err := r.Reader.Read(t.Context(), g, g.Base)
		if err != nil {
			t.Fatal(err)
		}
		next = checkRange(t, b, next)
	}
	if next < end {
		t.Fatalf("%v: read up to %d, want %d", id, next, end)
	}
}
