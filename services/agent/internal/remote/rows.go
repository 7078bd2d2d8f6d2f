package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

type rows struct{ client }

// Create implements meta.Store.
func (r *rows) Create(ctx context.Context, row meta.Row) error { return r.send(ctx, "create", row) }

// Get implements meta.Store.
func (r *rows) Get(ctx context.Context, row meta.Row) error { return r.send(ctx, "get", row) }

// Swap implements meta.Store.
func (r *rows) Swap(ctx context.Context, row meta.Row) error { return r.send(ctx, "swap", row) }

// Delete implements meta.Store.
func (r *rows) Delete(ctx context.Context, row meta.Row) error { return r.send(ctx, "delete", row) }

// send does one operation, and takes over what the server has made of the row.
func (r *rows) send(ctx context.Context, operation string, row meta.Row) error {
	content, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("send row: %w", err)
	}
	answer, err := r.do(ctx, http.MethodPost, "/row/"+operation, params("kind", string(row.Kind())), bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	defer answer.Close()
	stored, err := meta.New(row.Kind())
	if err != nil {
		return err
	}
	if err := json.NewDecoder(answer).Decode(stored); err != nil {
		return fmt.Errorf("receive row: %w", err)
	}
	if operation != "get" {
		*row.Head() = *stored.Head()
		return nil
	}
	if err := meta.CheckFormat(stored); err != nil { // the server may be newer
		return err
	}
	meta.Assign(row, stored)
	return nil
}

// Query implements meta.Store.
func (r *rows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return r.list(ctx, kind, "hash", hash, "from", strconv.FormatUint(from, 10))
}

// Scan implements meta.Store.
func (r *rows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return r.list(ctx, kind)
}

func (r *rows) list(ctx context.Context, kind meta.Kind, pairs ...string) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		var broken error
		err := r.lines(ctx, "/rows", params(append(pairs, "kind", string(kind))...), func(l line) bool {
			row, err := meta.New(kind)
			if err == nil {
				err = json.Unmarshal(l.Row, row)
			}
			if err == nil {
				err = meta.CheckFormat(row)
			}
			if err != nil {
				broken = err
				return false
			}
			return yield(row, nil)
		})
		if broken != nil {
			err = fmt.Errorf("receive row: %w", broken)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// Close implements meta.Store.
func (r *rows) Close() error { return r.close() }
