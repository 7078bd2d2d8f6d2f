// Package faults wraps an HTTP handler so that, on demand, requests or answers
// are lost, late, cut short or replaced by errors, as on the way to a service
// of AWS.
//
// A PUT of a list of rules, as JSON, to Path and a name sets the rules for the
// requests whose Header has that name; the empty name is that of requests
// without the header. A GET there waits until nothing is late any more, and
// says how many faults there were since.
package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Where the rules are set, and what chooses between them.
const (
	Path   = "/_standin/faults/"
	Header = "X-Standin-Faults"
)

// Kind is what happens to a request.
type Kind string

// The kinds.
const (
	// Refuse answers with Status and Body; nothing else happens.
	Refuse Kind = "refuse"
	// Lose closes the connection before anything happens.
	Lose Kind = "lose"
	// Spoil lets it happen, and then answers with Status and Body.
	Spoil Kind = "spoil"
	// Drop lets it happen, and closes the connection without an answer.
	Drop Kind = "drop"
	// Cut lets it happen, and closes the connection in the middle of the
	// answer's body.
	Cut Kind = "cut"
	// Slow lets it happen, and answers after Delay.
	Slow Kind = "slow"
	// Late lets it happen after Delay, whether its sender still waits or not.
	Late Kind = "late"
)

// Rule causes faults. Each counts the requests that it matches; when several
// would fire at one, the first does.
type Rule struct {
	// Operation is that of DynamoDB, as in "PutItem", or an HTTP method, as in
	// "PUT"; empty for all.
	Operation string
	// First is the first of the matching requests to suffer, from 1; 0 is 1.
	First int
	// Times is for how many in a row it goes on; 0 is 1.
	Times int
	// Every starts that again at each Every-th request after First; 0: never.
	Every  int
	Kind   Kind
	Status int
	Body   string
	Delay  time.Duration
}

// fires tells whether the rule acts on the n-th request that it matches.
func (r *Rule) fires(n int) bool {
	n -= max(r.First, 1)
	if r.Every > 0 && n > 0 {
		n %= r.Every
	}
	return n >= 0 && n < max(r.Times, 1)
}

func (r *Rule) matches(req *http.Request) bool {
	_, operation, ok := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	if !ok {
		operation = req.Method
	}
	return r.Operation == "" || r.Operation == operation
}

// Handler carries rules out, and passes all other requests on.
type Handler struct {
	next http.Handler
	mu   struct {
		sync.Mutex
		scopes map[string]*scope
	}
}

// scope is the rules for the requests that name it, and what came of them.
type scope struct {
	mu struct {
		sync.Mutex
		rules []Rule
		seen  []int // by rule
		fired int
	}
	late sync.WaitGroup
}

// New returns a handler without rules.
func New(next http.Handler) *Handler {
	h := &Handler{next: next}
	h.mu.scopes = map[string]*scope{}
	return h
}

func (h *Handler) scope(name string) *scope {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.scopes[name] == nil {
		h.mu.scopes[name] = &scope{}
	}
	return h.mu.scopes[name]
}

func (s *scope) set(rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.rules, s.mu.seen, s.mu.fired = rules, make([]int, len(rules)), 0
}

func (s *scope) fired() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.fired
}

func (s *scope) choose(r *http.Request) (Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var chosen *Rule
	for n := range s.mu.rules {
		rule := &s.mu.rules[n]
		if !rule.matches(r) {
			continue
		}
		s.mu.seen[n]++
		if chosen == nil && rule.fires(s.mu.seen[n]) {
			chosen = rule
		}
	}
	if chosen == nil {
		return Rule{}, false
	}
	s.mu.fired++
	return *chosen, true
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, Path); ok {
		h.scope(name).control(w, r)
		return
	}
	s := h.scope(r.Header.Get(Header))
	rule, ok := s.choose(r)
	if !ok {
		h.next.ServeHTTP(w, r)
		return
	}
	switch rule.Kind {
	case Refuse:
		refuse(w, rule)
	case Lose:
		hangUp()
	case Late:
		h.later(w, r, rule.Delay, &s.late)
	default:
		h.after(w, r, rule)
	}
}

// after has the request served, and spoils the answer.
func (h *Handler) after(w http.ResponseWriter, r *http.Request, rule Rule) {
	answer := h.happen(r)
	switch rule.Kind {
	case Spoil:
		refuse(w, rule)
	case Drop:
		hangUp()
	case Cut:
		send(w, answer, answer.Body.Len()/2)
		hangUp()
	case Slow:
		sleep(r, rule.Delay)
		send(w, answer, answer.Body.Len())
	default:
		http.Error(w, "no such kind of fault: "+string(rule.Kind), http.StatusNotImplemented)
	}
}

// happen has the request served, and keeps the answer.
func (h *Handler) happen(r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	h.next.ServeHTTP(answer, r)
	return answer
}

// later serves a request under a context of its own, from a copy of its body:
// the sender may have hung up by then.
func (h *Handler) later(w http.ResponseWriter, r *http.Request, delay time.Duration, late *sync.WaitGroup) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		hangUp()
	}
	own := r.Clone(context.WithoutCancel(r.Context()))
	own.Body = io.NopCloser(bytes.NewReader(body))
	done := make(chan *httptest.ResponseRecorder, 1)
	late.Go(func() {
		time.Sleep(delay)
		done <- h.happen(own)
	})
	select {
	case answer := <-done:
		send(w, answer, answer.Body.Len())
	case <-r.Context().Done():
	}
}

func refuse(w http.ResponseWriter, rule Rule) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(rule.Status)
	_, _ = io.WriteString(w, rule.Body) // a client that is gone misses it
}

// hangUp ends the connection, whatever was sent.
func hangUp() { panic(http.ErrAbortHandler) }

// send answers with the first n bytes of a body, under the header of the whole.
func send(w http.ResponseWriter, answer *httptest.ResponseRecorder, n int) {
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:n])
	_ = http.NewResponseController(w).Flush()
}

func sleep(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

func (s *scope) control(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.late.Wait()
		_ = json.NewEncoder(w).Encode(map[string]int{"fired": s.fired()}) // the client may be gone
		return
	}
	var rules []Rule
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&rules); r.Method != http.MethodPut || err != nil {
		http.Error(w, fmt.Sprintf("PUT a list of rules here: %v", err), http.StatusBadRequest)
		return
	}
	s.set(rules)
}
