package dynamo

import (
	"bytes"
	"io"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// transport sends each request from a body of its own. The SDK closes the one
// that it made as soon as the answer's header is there, and where net/http has
// not noted the body's end by then, it takes that for an error and closes the
// connection: under the answer that is being read, or before its next use. A
// body that can be read again also survives a connection that the server
// closed while it was idle.
type transport struct{ http *http.Transport }

// newTransport keeps enough connections open for a takeover, which writes many
// rows at once: a new one costs two or three round trips.
func newTransport(b *awshttp.BuildableClient) *transport {
	t := b.GetTransport()
	t.MaxIdleConnsPerHost = 64
	t.TLSHandshakeTimeout = 3 * time.Second
	return &transport{t}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return t.http.RoundTrip(r)
	}
	body := make([]byte, r.ContentLength) // every request is JSON in memory
	if _, err := io.ReadFull(r.Body, body); err != nil {
		_ = r.Body.Close()
		return nil, err
	}
	own := *r
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	own.Body, _ = own.GetBody() // never fails
	resp, err := t.http.RoundTrip(&own)
	_ = r.Body.Close() // of what was in memory
	return resp, err
}
