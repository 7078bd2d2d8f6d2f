package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

func (j *job) read(ctx context.Context, objects objstore.Store) {
	defer close(j.done)
	var b []byte
	if b, j.err = objects.Get(ctx, j.segment.Key, 0, -1); j.err != nil {
		return
	}
	j.size = int64(len(b))
	j.footer, j.err = verifyObject(b, sessionOf(j.segment.Key))
}

// sessionOf is the session in whose folder an object is.
func sessionOf(key string) string {
	for i := range len(key) {
		if key[i] == '/' {
			return key[:i]
		}
	}
	return ""
}

// objectError is damage outside of the batches.
type objectError struct {
	at  int64
	err error
}

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

// verifyObject checks all that an object says of itself.
func verifyObject(b []byte, session string) (*segment.Footer, error) {
	if err := checkHeader(b, session); err != nil {
		return nil, err
	}
	f, err := segment.Verify(b)
	if _, ok := errors.AsType[*segment.BatchError](err); err == nil || ok {
		return f, err
	}
	at := len(b) - segment.TrailerSize
	if n, bad := segment.ParseTrailer(b); bad == nil && n <= len(b) {
		at = len(b) - n
	}
	return nil, &objectError{int64(max(0, at)), err}
}

func checkHeader(b []byte, session string) error {
	h, err := segment.ParseHeader(b)
	if err != nil {
		return &objectError{0, err}
	}
	if h.Session != session {
		return &objectError{0, fmt.Errorf("%w: session %s wrote it", segment.ErrCorrupt, h.Session)}
	}
	return nil
}
