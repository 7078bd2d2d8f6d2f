package bolt

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// A page is what one read transaction copies out. No transaction is open while
// rows are yielded: a writer that has to map the file anew waits for all of
// them, and would wait for its own goroutine when the caller writes between
// two rows.
const (
	pageRows  = 128
	pageBytes = 1 << 20
)

// read yields the rows of a kind whose keys begin with prefix, from the key
// first on.
func (s *Store) read(ctx context.Context, kind meta.Kind, prefix, first []byte) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		if _, err := meta.New(kind); err != nil {
			yield(nil, err)
			return
		}
		for next := first; ; {
			p := s.page(ctx, kind, prefix, next)
			for _, row := range p.rows {
				if !yield(row, nil) {
					return
				}
			}
			if p.err != nil {
				yield(nil, fmt.Errorf("read %s rows: %w", kind, p.err))
			}
			if p.next == nil {
				return
			}
			next = p.next
		}
	}
}

type page struct {
	rows []meta.Row
	err  error  // what stands behind the rows instead of more
	next []byte // where the next page begins, if there is one
}

// page reads rows from the key first on.
func (s *Store) page(ctx context.Context, kind meta.Kind, prefix, first []byte) page {
	if err := ctx.Err(); err != nil {
		return page{err: err}
	}
	var p page
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		p.err = p.fill(tx.Bucket([]byte(kind)).Cursor(), kind, prefix, first)
		return nil
	})
	if err != nil {
		return page{err: err} // rows that are perhaps not durable are not shown
	}
	return p
}

func (p *page) fill(cursor *bbolt.Cursor, kind meta.Kind, prefix, first []byte) error {
	size := 0
	for key, value := cursor.Seek(first); key != nil && bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		if size += len(value); len(p.rows) == pageRows || len(p.rows) > 0 && size > pageBytes {
			p.next = bytes.Clone(key)
			return nil
		}
		row, err := decode(kind, value)
		if err != nil {
			return err
		}
		p.rows = append(p.rows, row)
	}
	return nil
}
