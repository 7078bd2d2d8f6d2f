// Package dynamodb is a small stand-in for DynamoDB, for tests: exactly the
// operations that StreamHouse uses, and strict about them. A request, an
// option or an expression that it does not know is refused, so that nothing
// can pass here by being ignored.
//
// It is atomic, has DynamoDB's limits (items of 400 KB, pages of 1 MB) and its
// error messages, and reports capacity units and, where asked for, the item
// that a condition failed on. What DynamoDB does and this does not: it keeps
// everything in memory, checks that a request is signed but not by whom, does
// not refuse reserved words (it wants placeholders everywhere), and knows
// neither fractions nor sets. It proves code paths, not that AWS accepts them.
package dynamodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Server is the stand-in, empty at first. It is safe for concurrent use.
type Server struct {
	mu     sync.Mutex
	tables map[string]*table
}

// New returns a server without tables.
func New() *Server { return &Server{tables: map[string]*table{}} }

// maxRequest is DynamoDB's limit for a request.
const maxRequest = 16 << 20

// target is what names the operation in a request's header.
const target = "DynamoDB_20120810."

// ServeHTTP answers one request of DynamoDB's protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return // the client is gone, and gets no answer
	}
	out, err := s.answer(r, body)
	status := http.StatusOK
	if err != nil {
		status, out = failure(err)
	}
	answer, err := json.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(answer)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(answer) // a client that is gone misses it
}

func failure(err error) (status int, body any) {
	e := &apiError{status: http.StatusInternalServerError, kind: service + "InternalServerError", message: err.Error()}
	_ = errors.As(err, &e)
	out := map[string]any{"__type": e.kind, "message": e.message}
	if e.item != nil {
		out["Item"] = e.item
	}
	return e.status, out
}

func (s *Server) answer(r *http.Request, body []byte) (any, error) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=") {
		return nil, &apiError{
			status: http.StatusBadRequest, kind: coral + "service#MissingAuthenticationTokenException",
			message: "Request is missing Authentication Token",
		}
	}
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	if r.Method != http.MethodPost || !ok {
		return nil, unknown(operation)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dispatch(operation, body)
}

func (s *Server) dispatch(operation string, body []byte) (any, error) {
	switch operation {
	case "CreateTable":
		return call(body, s.createTable)
	case "DeleteItem":
		return call(body, s.deleteItem)
	case "DeleteTable":
		return call(body, s.deleteTable)
	case "DescribeContinuousBackups":
		return call(body, s.describeContinuousBackups)
	case "DescribeTable":
		return call(body, s.describeTable)
	case "DescribeTimeToLive":
		return call(body, s.describeTimeToLive)
	case "GetItem":
		return call(body, s.getItem)
	case "ListTagsOfResource":
		return call(body, s.listTags)
	case "ListTables":
		return call(body, s.listTables)
	case "PutItem":
		return call(body, s.putItem)
	case "Query":
		return call(body, s.query)
	case "Scan":
		return call(body, s.scan)
	case "UpdateContinuousBackups":
		return call(body, s.updateContinuousBackups)
	case "UpdateTable":
		return call(body, s.updateTable)
	default:
		return nil, unknown(operation)
	}
}

func unknown(operation string) error {
	return &apiError{
		status: http.StatusBadRequest, kind: coral + "service#UnknownOperationException",
		message: "the stand-in does not know the operation " + strconv.Quote(operation),
	}
}

// call decodes a request, in which every field must be known.
func call[In any](body []byte, do func(*In) (any, error)) (any, error) {
	in := new(In)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return nil, &apiError{
			status: http.StatusBadRequest, kind: coral + "service#SerializationException",
			message: "the stand-in does not understand the request: " + err.Error(),
		}
	}
	return do(in)
}

// known returns a table, active or not.
func (s *Server) known(name string) (*table, error) {
	t := s.tables[name]
	if t == nil {
		return nil, notFound("Requested resource not found: Table: %s not found", name)
	}
	return t, nil
}

// active returns a table that takes requests for items.
func (s *Server) active(name string) (*table, error) {
	t := s.tables[name]
	if t == nil || !t.described {
		return nil, notFound("Requested resource not found")
	}
	return t, nil
}
