// Package printer writes the records of many partitions, read at the same
// time, to one output: each partition's in order, none torn apart.
package printer

import (
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/reader"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
)

// chunkSize is how much text of a partition is collected before it is handed
// to the writer.
const chunkSize = 256 << 10

// Format appends the text of a record, its line end included. It is called by
// many goroutines at once.
type Format func(dst []byte, r *record.Record) []byte

// Printer formats records where they are read and writes them in one
// goroutine of its own, so that a slow output holds no lock.
type Printer struct {
	format Format
	// budget is how many records may still be printed.
	budget atomic.Int64
	chunks chan []byte
	free   sync.Pool
	// broken is closed, after err was set, when out can take no more.
	broken chan struct{}
	err    error
	writer sync.WaitGroup
}

// New starts a printer to out that prints at most limit records; 0 stands for
// no limit. Close ends it.
func New(out io.Writer, format Format, limit int64) *Printer {
	p := &Printer{format: format, chunks: make(chan []byte, 4), broken: make(chan struct{})}
	if limit == 0 {
		limit = math.MaxInt64
	}
	p.budget.Store(limit)
	p.free.New = func() any { return new([]byte) }
	p.writer.Go(func() { p.write(out) })
	return p
}

// Close waits until everything is written and returns the first error of the
// output. No visitor may be in use any more.
func (p *Printer) Close() error {
	close(p.chunks)
	p.writer.Wait()
	return p.err
}

func (p *Printer) write(out io.Writer) {
	for chunk := range p.chunks {
		if p.err != nil {
			continue
		}
		if _, err := out.Write(chunk); err != nil {
			p.err = fmt.Errorf("write records: %w", err)
			close(p.broken)
		}
		p.free.Put(&chunk)
	}
}

// Visitor returns a visitor for one partition.
func (p *Printer) Visitor() reader.Visitor { return &visitor{p: p} }

type visitor struct {
	p     *Printer
	chunk []byte
}

// Visit takes from the common budget before it formats, so that exactly as
// many records as allowed are printed, whichever partitions they come from.
func (v *visitor) Visit(r *record.Record) error {
	left := v.p.budget.Add(-1)
	if left < 0 {
		return reader.ErrStop
	}
	v.chunk = v.p.format(v.chunk, r)
	if left == 0 {
		return reader.ErrStop
	}
	if len(v.chunk) >= chunkSize {
		return v.Pause()
	}
	return nil
}

// Pause hands over what was formatted. After a failure of the output it tells
// the reader to stop.
func (v *visitor) Pause() error {
	if len(v.chunk) == 0 {
		return nil
	}
	select {
	case v.p.chunks <- v.chunk:
		recycled, _ := v.p.free.Get().(*[]byte)
		v.chunk = (*recycled)[:0]
		return nil
	case <-v.p.broken:
		return reader.ErrStop
	}
}
