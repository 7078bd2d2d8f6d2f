package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta/metatest"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

// serve serves empty stores until the test ends.
func serve(t *testing.T) (objstore.Store, meta.Store) {
	t.Helper()
	server := httptest.NewServer(Handler(memory.NewObjects(), memory.NewRows()))
	t.Cleanup(server.Close)
	return Dial(strings.TrimPrefix(server.URL, "http://"))
}

// The stores keep their contracts at this distance too.
func TestObjects(t *testing.T) {
	t.Parallel()
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		t.Helper()
		objects, _ := serve(t)
		return objects
	})
}

func TestRows(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		_, rows := serve(t)
		return rows
	})
}

// An answer that is cut off is an error, never a short listing or a short
// object.
func TestCutOff(t *testing.T) {
	objects, rows := memory.NewObjects(), memory.NewRows()
	for seq := range uint64(3) {
		if err := rows.Create(t.Context(), &meta.Entry{Session: "s", Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	if err := objects.Put(t.Context(), "a/b", objstoretest.Body(make([]byte, 10_000))); err != nil {
		t.Fatal(err)
	}
	inner := Handler(objects, rows)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(&short{ResponseWriter: w, left: 150}, r)
	}))
	defer server.Close()
	far, farRows := Dial(strings.TrimPrefix(server.URL, "http://"))
	var failed error
	for _, err := range farRows.Query(t.Context(), meta.Journal, "s", 0) {
		failed = err
	}
	if failed == nil {
		t.Error("a listing that was cut off looks whole")
	}
	if b, err := far.Get(t.Context(), "a/b", 0, -1); err == nil {
		t.Errorf("an object that was cut off is read, %d bytes long", len(b))
	}
}

// short lets a few bytes through.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(b []byte) (int, error) {
	if len(b) > s.left {
		return 0, errors.New("cut off")
	}
	s.left -= len(b)
	return s.ResponseWriter.Write(b)
}

// A server of a newer release hands out what this one cannot read.
func TestNewerServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		row := fmt.Sprintf(`{"version":1,"format":%d,"id":"s"}`, format.Reads()+1)
		if r.Method == http.MethodGet {
			row = `{"row":` + row + "}\n" + `{"end":true}`
		}
		_, _ = w.Write([]byte(row)) // the client would tell
	}))
	defer server.Close()
	_, rows := Dial(strings.TrimPrefix(server.URL, "http://"))
	if err := rows.Get(t.Context(), &meta.Session{ID: "s"}); !errors.Is(err, meta.ErrTooNew) {
		t.Errorf("get: %v", err)
	}
	for row, err := range rows.Scan(t.Context(), meta.Sessions) {
		if !errors.Is(err, meta.ErrTooNew) {
			t.Errorf("scan: %v, %v", row, err)
		}
	}
}
