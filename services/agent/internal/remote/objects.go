package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

type objects struct{ client }

// Put implements objstore.Store.
func (o *objects) Put(ctx context.Context, key string, body objstore.Body) error {
	parts := make([]io.Reader, len(body.Parts))
	size := int64(0)
	for i, part := range body.Parts {
		parts[i] = bytes.NewReader(part)
		size += int64(len(part))
	}
	content := io.MultiReader(parts...)
	if size == 0 {
		content = http.NoBody
	}
	return o.simple(ctx, http.MethodPut, "/object", params("key", key, "size", text(body.Size), "crc", text(int64(body.CRC32C))), content, size)
}

// Get implements objstore.Store.
func (o *objects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	answer, err := o.do(ctx, http.MethodGet, "/object", params("key", key, "offset", text(offset), "length", text(length)), nil, 0)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	return io.ReadAll(answer) // an answer that is cut off is an error: its length was sent
}

// List implements objstore.Store.
func (o *objects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		err := o.lines(ctx, "/objects", params("prefix", prefix), func(l line) bool {
			return l.Object != nil && yield(*l.Object, nil)
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(objstore.Info{}, err)
		}
	}
}

// Delete implements objstore.Store.
func (o *objects) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := o.simple(ctx, http.MethodDelete, "/object", params("key", key), nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// Close implements objstore.Store.
func (o *objects) Close() error { return o.close() }
