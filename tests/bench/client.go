package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// job is one measurement, done by a process of its own.
type job struct {
	Client  string
	Addr    string
	Records int
	Size    int
	// Waiters is how many goroutines send one record at a time and wait for
	// it; 0: one goroutine sends, with callbacks.
	Waiters int
}

// result is what a job measured.
type result struct {
	CPU     float64 // seconds per million records
	Allocs  float64 // per record
	PerSec  float64 // records
	PeakMiB float64 // resident
}

// client is what both libraries can do.
type client interface {
	// async sends a record. What became of it goes to the callback that the
	// client was made with.
	async(ctx context.Context, value []byte)
	// wait sends a record and returns when it is acknowledged.
	wait(ctx context.Context, value []byte) error
	flush(ctx context.Context) error
	close(ctx context.Context) error
}

func (j *job) run(ctx context.Context, out io.Writer) error {
	newClient := newStreamHouse
	if j.Client == franz {
		newClient = newFranz
	}
	var acked atomic.Int64
	c, err := newClient(ctx, j, func(err error) {
		if err == nil {
			acked.Add(1)
		}
	})
	if err != nil {
		return fmt.Errorf("new client: %w", err)
	}
	// The first round opens connections and fills pools.
	if _, err := j.measure(ctx, c, &acked, j.Records/10); err != nil {
		return err
	}
	r, err := j.measure(ctx, c, &acked, j.Records)
	if err != nil {
		return err
	}
	if err := c.close(ctx); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return json.NewEncoder(out).Encode(r)
}

// measure sends n records and fails unless each is acknowledged.
func (j *job) measure(ctx context.Context, c client, acked *atomic.Int64, n int) (result, error) {
	payload := randomBytes(1 << 20)
	value := func(i int) []byte {
		at := i * j.Size % (len(payload) - j.Size)
		return payload[at : at+j.Size]
	}
	acked.Store(0)
	before, began := usage(), time.Now()
	if j.Waiters > 0 {
		j.sendWaiting(ctx, c, acked, n, value)
	} else {
		for i := range n {
			c.async(ctx, value(i))
		}
	}
	if err := c.flush(ctx); err != nil {
		return result{}, fmt.Errorf("flush: %w", err)
	}
	after, took := usage(), time.Since(began)
	if got := acked.Load(); got != int64(n) {
		return result{}, fmt.Errorf("%d of %d records were acknowledged", got, n)
	}
	return result{
		CPU:     (after.cpu - before.cpu).Seconds() / float64(n) * 1e6,
		Allocs:  float64(after.mallocs-before.mallocs) / float64(n),
		PerSec:  float64(n) / took.Seconds(),
		PeakMiB: after.peakMiB,
	}, nil
}

func (j *job) sendWaiting(ctx context.Context, c client, acked *atomic.Int64, n int, value func(int) []byte) {
	var next atomic.Int64
	var waiters sync.WaitGroup
	for range j.Waiters {
		waiters.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if c.wait(ctx, value(int(i))) == nil {
					acked.Add(1)
				}
			}
		})
	}
	waiters.Wait()
}

func randomBytes(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// used is what this process has used until now.
type used struct {
	cpu     time.Duration
	mallocs uint64
	peakMiB float64
}

func usage() used {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no other reason to fail than a mistake here
	}
	return used{time.Duration(u.Utime.Nano() + u.Stime.Nano()), m.Mallocs, float64(u.Maxrss) / 1024}
}
