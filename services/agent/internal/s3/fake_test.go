package s3

import (
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// fate is what becomes of one request.
type fate struct {
	// status and code are an answer in place of the right one.
	status int
	code   string
	// after has the request take effect before that answer.
	after bool
	// cut breaks the connection instead of an answer; readBody is how much of
	// the body is read before.
	cut      bool
	readBody int64
	// halfAnswer breaks the connection in the middle of the answer's body.
	halfAnswer bool
	// pause holds the request back until the client gives up on it.
	pause bool
	// meanwhile runs before the request is looked at.
	meanwhile func(f *fake)
}

// fake is a bucket on the other side of the wire whose answers a test can
// spoil. What S3 itself does is checked against the stand-in; this is for what
// that never does.
type fake struct {
	mu struct {
		sync.Mutex
		objects map[string]string
		fates   []fate
		seen    []*http.Request
		bodies  []string
	}
	// serve, if set, answers in place of the bucket.
	serve http.HandlerFunc
}

func (f *fake) next(r *http.Request) (fate, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.seen = append(f.mu.seen, r)
	if len(f.mu.fates) == 0 {
		return fate{}, false
	}
	next := f.mu.fates[0]
	f.mu.fates = f.mu.fates[1:]
	return next, true
}

func (f *fake) put(key, content string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.objects[key] = content
}

func (f *fake) get(key string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, ok := f.mu.objects[key]
	return content, ok
}

// methods are those of the requests that came, in order.
func (f *fake) methods() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, r := range f.mu.seen {
		all = append(all, r.Method)
	}
	return strings.Join(all, " ")
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	next, spoiled := f.next(r)
	if next.meanwhile != nil {
		next.meanwhile(f)
	}
	switch {
	case f.serve != nil:
		f.serve(w, r)
	case !spoiled:
		f.answer(w, r)
	case next.pause:
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	case next.cut:
		_, _ = io.CopyN(io.Discard, r.Body, next.readBody)
		if next.after {
			f.answer(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	case next.halfAnswer:
		whole := httptest.NewRecorder()
		f.answer(whole, r)
		maps.Copy(w.Header(), whole.Header())
		w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case next.after:
		f.answer(httptest.NewRecorder(), r)
		refuse(w, next.status, next.code)
	case next.status != 0:
		_, _ = io.Copy(io.Discard, r.Body)
		refuse(w, next.status, next.code)
	default:
		f.answer(w, r)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	if code != "" {
		_, _ = fmt.Fprintf(w, `<Error><Code>%s</Code><Message>as the test wants it</Message></Error>`, code)
	}
}

// answer does what S3 does with whole objects.
func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	content, found := f.get(key)
	if !found && r.Method != http.MethodPut {
		refuse(w, http.StatusNotFound, map[string]string{http.MethodGet: "NoSuchKey"}[r.Method])
		return
	}
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		crc := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
		switch {
		case err != nil:
			return // as a body that never came to its end
		case r.Header.Get("X-Amz-Checksum-Crc32c") != checksum(crc):
			refuse(w, http.StatusBadRequest, "BadDigest")
		case found:
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		default:
			f.put(key, string(body))
		}
	case http.MethodGet, http.MethodHead:
		crc := crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli))
		if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
			w.Header().Set("X-Amz-Checksum-Crc32c", checksum(crc))
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}
}

// newFake serves a bucket over HTTP, and opens a store of it that reports its
// requests.
func newFake(t *testing.T, fates ...fate) (f *fake, s *Store, seen *[]Request) {
	t.Helper()
	f = &fake{}
	f.mu.objects, f.mu.fates = map[string]string{}, fates
	web := httptest.NewServer(f)
	t.Cleanup(web.Close)
	s, seen = openFake(t, aws.Config{BaseEndpoint: &web.URL}, "bucket")
	return f, s, seen
}

func openFake(t *testing.T, cfg aws.Config, bucket string) (s *Store, seen *[]Request) {
	t.Helper()
	seen = new([]Request)
	var mu sync.Mutex
	cfg.Region, cfg.Credentials = "eu-central-1", credentials.NewStaticCredentialsProvider("id", "secret", "")
	s, err := Open(cfg, Options{Bucket: bucket, Observe: func(r Request) {
		mu.Lock()
		defer mu.Unlock()
		*seen = append(*seen, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, seen
}
