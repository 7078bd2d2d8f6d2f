package s3

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

const segment = "a segment, of which every byte counts"

func body() objstore.Body {
	return objstoretest.Body([]byte(segment[:10]), nil, []byte(segment[10:11]), []byte(segment[11:]))
}

// Whatever happens on the wire, Put tells success exactly where the object is
// there and whole, ErrExists where another one is, and else something that
// stands for an unknown outcome.
func TestPutFaults(t *testing.T) {
	t.Parallel()
	other := func(f *fake) { f.put("k", "the object of somebody else, whole") }
	same := func(f *fake) { f.put("k", strings.Repeat("x", len(segment))) }
	for name, c := range map[string]struct {
		fates   []fate
		methods string
		want    error // nil: success; errUnknown: no error that the contract names
	}{
		"none":                          {nil, "PUT", nil},
		"answer lost after the effect":  {[]fate{{cut: true, after: true}}, "PUT PUT HEAD", nil},
		"500 after the effect":          {[]fate{{status: 500, code: "InternalError", after: true}}, "PUT PUT HEAD", nil},
		"two answers lost":              {[]fate{{cut: true, after: true}, {cut: true}}, "PUT PUT PUT HEAD", nil},
		"cut in the body":               {[]fate{{cut: true, readBody: 7}}, "PUT PUT", nil},
		"503 SlowDown twice":            {[]fate{{status: 503, code: "SlowDown"}, {status: 503, code: "SlowDown"}}, "PUT PUT PUT", nil},
		"503 without a code":            {[]fate{{status: 503}}, "PUT PUT", nil},
		"500 all the time":              {[]fate{{status: 500}, {status: 500}, {status: 500}}, "PUT PUT PUT", errUnknown},
		"no answer in time":             {[]fate{{pause: true}}, "PUT PUT", nil},
		"never an answer in time":       {[]fate{{pause: true}, {pause: true}, {pause: true}}, "PUT PUT PUT", errUnknown},
		"conflict on the way":           {[]fate{{status: 409, code: "ConditionalRequestConflict"}}, "PUT PUT", nil},
		"checksum does not fit":         {[]fate{{status: 400, code: "BadDigest"}}, "PUT", errUnknown},
		"forbidden":                     {[]fate{{status: 403, code: "AccessDenied"}}, "PUT", errUnknown},
		"no bucket":                     {[]fate{{status: 404, code: "NoSuchBucket"}}, "PUT", errUnknown},
		"another object there":          {[]fate{{meanwhile: other}}, "PUT", objstore.ErrExists},
		"another object after a cut":    {[]fate{{cut: true}, {meanwhile: other}}, "PUT PUT HEAD", objstore.ErrExists},
		"one of the same size":          {[]fate{{cut: true}, {meanwhile: same}}, "PUT PUT HEAD", objstore.ErrExists},
		"lost, and the look at it lost": {[]fate{{cut: true, after: true}, {}, {status: 500}}, "PUT PUT HEAD PUT HEAD", nil},
		"lost, and no look allowed":     {[]fate{{cut: true, after: true}, {}, {status: 403}}, "PUT PUT HEAD", errUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s, seen := newFake(t, c.fates...)
			if slices.ContainsFunc(c.fates, func(f fate) bool { return f.pause }) {
				s.puts.timeout = time.Second
			}
			err := s.Put(t.Context(), "k", body())
			known := err == nil || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange)
			if unknown := errors.Is(c.want, errUnknown); unknown && known || !unknown && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if got := f.methods(); got != c.methods {
				t.Errorf("sent %s, want %s", got, c.methods)
			}
			if len(*seen) != len(strings.Fields(c.methods)) {
				t.Errorf("%d requests were observed, want those of %s", len(*seen), c.methods)
			}
			if content, ok := f.get("k"); err == nil && (!ok || content != segment) {
				t.Errorf("after a success the object is %q", content)
			}
		})
	}
}

var errUnknown = errors.New("unknown outcome")

// An answer that breaks off is no object, and a bucket that is missing does
// not look like a deleted object.
func TestGetFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fates   []fate
		methods string
		want    error
	}{
		"none":                   {nil, "GET", nil},
		"cut before the answer":  {[]fate{{cut: true}}, "GET GET", nil},
		"cut in the answer":      {[]fate{{halfAnswer: true}, {halfAnswer: true}}, "GET GET GET", nil},
		"always cut":             {[]fate{{halfAnswer: true}, {halfAnswer: true}, {halfAnswer: true}, {halfAnswer: true}}, "GET GET GET GET", errUnknown},
		"503 SlowDown":           {[]fate{{status: 503, code: "SlowDown"}}, "GET GET", nil},
		"no answer in time":      {[]fate{{pause: true}}, "GET GET", nil},
		"no object":              {[]fate{{status: 404, code: "NoSuchKey"}}, "GET", objstore.ErrNotFound},
		"no bucket":              {[]fate{{status: 404, code: "NoSuchBucket"}}, "GET", errUnknown},
		"forbidden":              {[]fate{{status: 403, code: "AccessDenied"}}, "GET", errUnknown},
		"beyond the object":      {[]fate{{status: 416, code: "InvalidRange"}}, "GET", objstore.ErrRange},
		"a redirect, no content": {[]fate{{status: 301, code: "PermanentRedirect"}}, "GET", errUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s, _ := newFake(t, c.fates...)
			if slices.ContainsFunc(c.fates, func(f fate) bool { return f.pause }) {
				s.gets.timeout = time.Second
			}
			f.put("k", segment)
			got, err := s.Get(t.Context(), "k", 2, int64(len(segment)-2))
			known := err == nil || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange)
			if unknown := errors.Is(c.want, errUnknown); unknown && known || !unknown && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err == nil && string(got) != segment[2:] {
				t.Errorf("got %q", got)
			}
			if sent := f.methods(); sent != c.methods {
				t.Errorf("sent %s, want %s", sent, c.methods)
			}
		})
	}
}

// A server that knows no ranges must not hand us other bytes than we asked for.
func TestGetWithoutRanges(t *testing.T) {
	t.Parallel()
	f, s, _ := newFake(t)
	f.serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(segment)) }
	if got, err := s.Get(t.Context(), "k", 1, int64(len(segment))); err == nil {
		t.Errorf("got %q", got)
	}
}

// A segment is sent as it lies in memory: its checksum in a header, nothing
// hashed or framed, nothing asked before, and only where no object is.
func TestPutHeaders(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		f := &fake{}
		f.mu.objects = map[string]string{}
		web := httptest.NewUnstartedServer(f)
		if secure {
			web.StartTLS()
		} else {
			web.Start()
		}
		t.Cleanup(web.Close)
		s, _ := openFake(t, aws.Config{BaseEndpoint: &web.URL, HTTPClient: web.Client()}, "bucket")
		// 123456789 is the text that CRCs are told apart by; its CRC-32C is e3069283.
		if err := s.Put(t.Context(), "k", objstoretest.Body([]byte("1234"), []byte("56789"))); err != nil {
			t.Fatal(err)
		}
		if content, _ := f.get("k"); content != "123456789" {
			t.Errorf("the object is %q", content)
		}
		r := f.mu.seen[0]
		for header, want := range map[string]string{
			"X-Amz-Checksum-Crc32c": "4waSgw==",
			"X-Amz-Content-Sha256":  "UNSIGNED-PAYLOAD",
			"If-None-Match":         "*",
			"Expect":                "",
			"Content-Encoding":      "",
			"X-Amz-Trailer":         "",
			"Content-Md5":           "",
			"Content-Length":        "9",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("TLS %v: %s is %q, want %q", secure, header, got, want)
			}
		}
		if !strings.Contains(r.Header.Get("Authorization"), "x-amz-checksum-crc32c") {
			t.Errorf("the checksum is not signed: %s", r.Header.Get("Authorization"))
		}
	}
}

// The caller recycles its buffers once Put has returned, however it returned:
// under the race detector, one that is still read would show.
func TestPutLetsGoOfTheBody(t *testing.T) {
	t.Parallel()
	for range 20 {
		started, over := make(chan struct{}), make(chan struct{})
		f, s, _ := newFake(t)
		f.serve = func(http.ResponseWriter, *http.Request) {
			close(started)
			<-over // without reading the body
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-started
			cancel()
		}()
		large := make([]byte, 8<<20)
		if err := s.Put(ctx, "k", objstoretest.Body(large)); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		clear(large)
		close(over)
	}
}

// Objects that S3 did not delete, of many, are deleted again.
func TestDeleteFaults(t *testing.T) {
	t.Parallel()
	f, s, _ := newFake(t)
	answers := []string{
		`<DeleteResult><Error><Key>b</Key><Code>InternalError</Code><Message>again</Message></Error></DeleteResult>`,
		`<DeleteResult></DeleteResult>`,
		`<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>`,
	}
	f.serve = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(answers[0]))
		answers = answers[1:]
	}
	if err := s.Delete(t.Context(), "a", "b"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "a", "b"); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("got %v", err)
	}
	if len(answers) != 0 {
		t.Errorf("%d answers are left", len(answers))
	}
}

func TestBodyReader(t *testing.T) {
	t.Parallel()
	for _, b := range []objstore.Body{body(), objstoretest.Body(), objstoretest.Body(nil, []byte{}), objstoretest.Body(nil, bytes.Repeat([]byte("x"), 3000), nil)} {
		if err := iotest.TestReader(&bodyReader{body: b}, bytes.Join(b.Parts, nil)); err != nil {
			t.Error(err)
		}
	}
}

// A list whose answer breaks off in the middle, or is not S3's, is asked for
// again: an agent must not fail to start for it.
func TestListFaults(t *testing.T) {
	t.Parallel()
	const whole = `<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>`
	for name, first := range map[string]string{"cut": whole[:60], "cut before the end": whole[:len(whole)-5], "another's page": "<html><p>Welcome</html>"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s, _ := newFake(t)
			requests := 0
			f.serve = func(w http.ResponseWriter, _ *http.Request) {
				if requests++; requests > 1 {
					_, _ = w.Write([]byte(whole))
					return
				}
				if !strings.HasPrefix(first, "<html") {
					w.Header().Set("Content-Length", "120")
				}
				_, _ = w.Write([]byte(first))
			}
			n := 0
			for info, err := range s.List(t.Context(), "") {
				if n++; err != nil || info.Key != "a" {
					t.Errorf("%q, %v", info.Key, err)
				}
			}
			if n != 1 || requests != 2 {
				t.Errorf("%d objects after %d requests", n, requests)
			}
		})
	}
}
