package host

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// release is a version of the program. Format 2 has the bytes of format 1 under
// a higher number.
type release struct{ reads, writes int }

var (
	previous = release{1, 1}
	between  = release{2, 1} // reads what comes
	next     = release{2, 2}
)

// written checks that nobody writes what a live host cannot read, and counts.
func (c *cluster) written(version int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions == nil {
		c.versions = map[int]int{}
	}
	c.versions[version]++
	for id, n := range c.hosts {
		row := &meta.Session{ID: id}
		if err := c.rows.Get(context.Background(), row); version > n.release.reads && (err != nil || !row.Sealed) {
			c.t.Errorf("format %d was written while %s is not sealed, which reads %d", version, id, n.release.reads)
		}
	}
}

// count is how much was written in a format since the last call.
func (c *cluster) count(version int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.versions[version]
	c.versions = nil
	return n
}

// releaseRows are the rows as one release sees them.
type releaseRows struct {
	meta.Store
	c       *cluster
	release release
}

func (r *releaseRows) check(row meta.Row) error {
	if row.Head().Format > r.release.reads {
		return meta.ErrTooNew
	}
	return nil
}

func (r *releaseRows) Create(ctx context.Context, row meta.Row) error {
	r.c.written(row.Head().Format)
	return r.Store.Create(ctx, row)
}

func (r *releaseRows) Swap(ctx context.Context, row meta.Row) error {
	r.c.written(row.Head().Format)
	return r.Store.Swap(ctx, row)
}

func (r *releaseRows) Get(ctx context.Context, row meta.Row) error {
	if err := r.Store.Get(ctx, row); err != nil {
		return err
	}
	return r.check(row)
}

func (r *releaseRows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return r.all(r.Store.Query(ctx, kind, hash, from))
}

func (r *releaseRows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return r.all(r.Store.Scan(ctx, kind))
}

func (r *releaseRows) all(rows iter.Seq2[meta.Row, error]) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		for row, err := range rows {
			if err == nil {
				err = r.check(row)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// releaseObjects looks at the version in each segment's header.
type releaseObjects struct {
	objstore.Store
	c *cluster
}

func (o *releaseObjects) Put(ctx context.Context, key string, body objstore.Body) error {
	o.c.written(int(binary.LittleEndian.Uint16(body.Parts[0][8:])))
	return o.Store.Put(ctx, key, body)
}

// replace drains a host and starts one of another release.
func (c *cluster) replace(n *node, r release) *node {
	c.t.Helper()
	if err := n.Leave(c.t.Context()); err != nil {
		c.t.Errorf("leave: %v", err)
	}
	c.stop(n)
	n, err := c.startRelease(slowStore, r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.balanced(time.Minute)
	return n
}

// A cluster is upgraded agent by agent under load, and back, and up two releases. The
// new format is written only while everybody reads it; what was written stays
// readable for the release between; and the previous one, which cannot read it,
// is refused in words and registers no session.
func TestRollingUpgradeOfTheFormat(t *testing.T) {
	defer format.Pretend(2)()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 12)
		defer c.stopAll()
		var hosts [3]*node
		for i := range hosts {
			hosts[i], _ = c.startRelease(slowStore, previous)
		}
		c.balanced(time.Minute)
		l := c.load(20 * time.Millisecond)
		for _, to := range []release{between, previous, next} {
			for i := range hosts {
				c.count(2)
				hosts[i] = c.replace(hosts[i], to)
				last := i == len(hosts)-1
				time.Sleep(2 * clusterHeartbeat)
				if wrote := c.count(2) > 0; wrote && !last {
					t.Errorf("format 2 was written with %d of 3 upgraded to %v", i+1, to)
				}
			}
		}
		time.Sleep(2 * clusterHeartbeat)
		if c.count(2) == 0 {
			t.Error("all read format 2, and nobody writes it")
		}
		sessions := c.sessions()
		if _, err := c.startRelease(slowStore, previous); !errors.Is(err, meta.ErrTooNew) {
			t.Errorf("the previous release starts on a store that it cannot read: %v", err)
		}
		if got := c.sessions(); got != sessions {
			t.Errorf("it registered %d sessions", got-sessions)
		}
		for i := range hosts {
			hosts[i] = c.replace(hosts[i], between)
		}
		c.count(2)
		time.Sleep(2 * clusterHeartbeat)
		if n := c.count(2); n > 0 {
			t.Errorf("format 2 was written %d times by a release that does not write it", n)
		}
		l.check(c)
	})
}

// An agent that stands still may go on: what it cannot read is not written before
// it is sealed.
func TestSilentSessionHoldsTheFormatBack(t *testing.T) {
	defer format.Pretend(2)()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.stopAll()
		old, err := c.startRelease(slowStore, previous)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.startRelease(slowStore, next); err != nil {
			t.Fatal(err)
		}
		c.balanced(time.Minute)
		l := c.load(20 * time.Millisecond)
		time.Sleep(2 * clusterHeartbeat)
		old.crash() // it stays among the hosts, as one that was killed or cut off
		time.Sleep(2 * clusterLease)
		if c.count(2) == 0 {
			t.Error("the silent session is sealed, and nobody writes format 2")
		}
		c.mu.Lock()
		delete(c.hosts, old.Session.ID)
		c.mu.Unlock()
		l.check(c)
	})
}

// sessions counts the sessions that were ever registered.
func (c *cluster) sessions() (n int) {
	c.t.Helper()
	for _, err := range c.rows.Scan(c.t.Context(), meta.Sessions) {
		if err != nil {
			c.t.Fatal(err)
		}
		n++
	}
	return n
}
