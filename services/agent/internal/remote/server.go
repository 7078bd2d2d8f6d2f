// Package remote serves a pair of stores to other processes of this machine,
// and is the other side of that: several agents without a cloud share the
// embedded stores of one server. It speaks HTTP, which carries objects as they
// are and rows as JSON, with nothing to generate. Each operation is a request:
// nothing is held from one to the next, no lock, no session. There is no
// security in it; it is for loopback addresses.
package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// codes name the errors that a contract knows, on the wire.
var codes = map[string]error{
	"object-not-found": objstore.ErrNotFound,
	"object-exists":    objstore.ErrExists,
	"object-range":     objstore.ErrRange,
	"row-not-found":    meta.ErrNotFound,
	"row-exists":       meta.ErrExists,
	"row-conflict":     meta.ErrConflict,
	"row-too-new":      meta.ErrTooNew,
}

// failure is an error on the wire.
type failure struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

func failed(err error) *failure {
	for code, known := range codes {
		if errors.Is(err, known) {
			return &failure{Code: code, Message: err.Error()}
		}
	}
	return &failure{Message: err.Error()}
}

// err is what the caller gets.
func (f *failure) err() error {
	if known := codes[f.Code]; known != nil {
		return &remoteError{message: f.Message, is: known}
	}
	return &remoteError{message: f.Message}
}

// remoteError has the server's words, and is what the contract calls it.
type remoteError struct {
	message string
	is      error
}

func (e *remoteError) Error() string { return "remote store: " + e.message }
func (e *remoteError) Unwrap() error { return e.is }

// line is one line of an answer that lists: an entry, a failure, or the end,
// without which the answer is cut off.
type line struct {
	Row     json.RawMessage `json:"row,omitempty"`
	Object  *objstore.Info  `json:"object,omitempty"`
	Failure *failure        `json:"failure,omitempty"`
	End     bool            `json:"end,omitempty"`
}

// maxObject bounds what a request may bring.
const maxObject = 256 << 20

// Handler serves the stores.
func Handler(objects objstore.Store, rows meta.Store) http.Handler {
	s := &server{objects: objects, rows: rows}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /object", s.put)
	mux.HandleFunc("GET /object", s.get)
	mux.HandleFunc("DELETE /object", s.remove)
	mux.HandleFunc("GET /objects", s.list)
	mux.HandleFunc("POST /row/{operation}", s.row)
	mux.HandleFunc("GET /rows", s.query)
	return mux
}

type server struct {
	objects objstore.Store
	rows    meta.Store
}

// number is a parameter; the client, which is this package, always sends it
// right.
func number(r *http.Request, name string) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	return n
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(failed(err)) // who asked is gone, then
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxObject))
	if err != nil {
		refuse(w, fmt.Errorf("receive object: %w", err))
		return
	}
	body := objstore.Body{Parts: [][]byte{content}, Size: number(r, "size"), CRC32C: uint32(number(r, "crc"))}
	if err := s.objects.Put(r.Context(), r.URL.Query().Get("key"), body); err != nil {
		refuse(w, err)
	}
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	b, err := s.objects.Get(r.Context(), r.URL.Query().Get("key"), number(r, "offset"), number(r, "length"))
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // who asked is gone, then
}

func (s *server) remove(w http.ResponseWriter, r *http.Request) {
	if err := s.objects.Delete(r.Context(), r.URL.Query().Get("key")); err != nil {
		refuse(w, err)
	}
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	out := json.NewEncoder(w)
	for info, err := range s.objects.List(r.Context(), r.URL.Query().Get("prefix")) {
		next := line{Object: &info}
		if err != nil {
			next = line{Failure: failed(err)}
		}
		if out.Encode(next) != nil || err != nil {
			return
		}
	}
	_ = out.Encode(line{End: true}) // who asked is gone, then
}

// row does one operation on one row, and answers with the row.
func (s *server) row(w http.ResponseWriter, r *http.Request) {
	row, err := meta.New(meta.Kind(r.URL.Query().Get("kind")))
	if err == nil {
		err = json.NewDecoder(http.MaxBytesReader(w, r.Body, maxObject)).Decode(row)
	}
	if err != nil {
		refuse(w, fmt.Errorf("receive row: %w", err))
		return
	}
	switch operation := r.PathValue("operation"); operation {
	case "create":
		err = s.rows.Create(r.Context(), row)
	case "get":
		err = s.rows.Get(r.Context(), row)
	case "swap":
		err = s.rows.Swap(r.Context(), row)
	case "delete":
		err = s.rows.Delete(r.Context(), row)
	default:
		err = fmt.Errorf("there is no operation %q", operation)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(row) // who asked is gone, then
}

// query lists rows: those of a hash, or without one all of the kind.
func (s *server) query(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	kind := meta.Kind(q.Get("kind"))
	rows := s.rows.Scan(r.Context(), kind)
	if q.Has("hash") {
		from, err := strconv.ParseUint(q.Get("from"), 10, 64)
		if err != nil {
			refuse(w, err)
			return
		}
		rows = s.rows.Query(r.Context(), kind, q.Get("hash"), from)
	}
	out := json.NewEncoder(w)
	for row, err := range rows {
		var next line
		if err == nil {
			next.Row, err = json.Marshal(row)
		}
		if err != nil {
			next = line{Failure: failed(err)}
		}
		if out.Encode(next) != nil || err != nil {
			return
		}
	}
	_ = out.Encode(line{End: true}) // who asked is gone, then
}
