package printer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/reader"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
)

func line(dst []byte, r *record.Record) []byte {
	return fmt.Appendf(dst, "%d %d %s\n", r.Partition, r.Offset, r.Value)
}

// visitAll lets every partition visit count records at the same time, pausing
// now and then.
func visitAll(p *Printer, partitions, count int, value []byte) error {
	errs := make(chan error, partitions)
	var wg sync.WaitGroup
	for n := range partitions {
		wg.Go(func() {
			v := p.Visitor()
			r := record.Record{Partition: int64(n), Value: value}
			for i := range count {
				r.Offset = uint64(i)
				err := v.Visit(&r)
				if err == nil && i%97 == 0 {
					err = v.Pause()
				}
				if err != nil {
					errs <- err
					break
				}
			}
			_ = v.Pause()
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// Lines of different partitions may mix, but none may be torn, lost or out of
// its partition's order.
func TestEveryLineOnceAndInOrder(t *testing.T) {
	const partitions, count = 8, 2000
	value := bytes.Repeat([]byte{'x'}, 200)
	var out bytes.Buffer
	p := New(&out, line, 0)
	if err := visitAll(p, partitions, count, value); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var next [partitions]int
	for text := range strings.Lines(out.String()) {
		var n, offset int
		var got string
		if _, err := fmt.Sscan(text, &n, &offset, &got); err != nil || got != string(value) {
			t.Fatalf("torn line %q", text)
		}
		if offset != next[n] {
			t.Fatalf("partition %d: offset %d where %d was due", n, offset, next[n])
		}
		next[n]++
	}
	for n, seen := range next {
		if seen != count {
			t.Errorf("partition %d: %d lines of %d", n, seen, count)
		}
	}
}

// --count is exact although the partitions race for it.
func TestLimitIsExact(t *testing.T) {
	for _, limit := range []int64{1, 99, 1000} {
		var out bytes.Buffer
		p := New(&out, line, limit)
		if err := visitAll(p, 4, 1500, nil); !errors.Is(err, reader.ErrStop) {
			t.Errorf("error %v, want ErrStop", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if got := int64(bytes.Count(out.Bytes(), []byte{'\n'})); got != limit {
			t.Errorf("limit %d: %d lines", limit, got)
		}
	}
}

// full takes some bytes, then no more.
type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// A full disk must end the reading and be told, not be read past.
func TestFailureOfTheOutput(t *testing.T) {
	var out io.Writer = &full{room: 1000}
	p := New(out, line, 0)
	if err := visitAll(p, 4, 20_000, []byte("value")); !errors.Is(err, reader.ErrStop) {
		t.Errorf("visitors got %v, want ErrStop", err)
	}
	if err := p.Close(); !errors.Is(err, errFull) {
		t.Errorf("close: %v", err)
	}
}
