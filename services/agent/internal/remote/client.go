package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// idleConns is how many connections stay open for the next requests.
const idleConns = 64

// client sends the requests of both stores.
type client struct {
	base string
	http *http.Client
}

// Dial returns the two stores that a server serves at an address. Nothing is
// sent yet. Both are closed one by one.
func Dial(address string) (objstore.Store, meta.Store) {
	transport := &http.Transport{MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, DisableCompression: true}
	c := client{base: "http://" + address, http: &http.Client{Transport: transport}}
	return &objects{c}, &rows{c}
}

// close gives idle connections back; the other store may use the client still.
func (c *client) close() error {
	c.http.CloseIdleConnections()
	return nil
}

// do sends a request. Its answer's body is the caller's to close.
func (c *client) do(ctx context.Context, method, path string, params url.Values, body io.Reader, size int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path+"?"+params.Encode(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return nil, fmt.Errorf("remote store: %s", resp.Status)
	}
	return nil, f.err()
}

// simple sends a request whose answer is empty.
func (c *client) simple(ctx context.Context, method, path string, params url.Values, body io.Reader, size int64) error {
	answer, err := c.do(ctx, method, path, params, body, size)
	if err != nil {
		return err
	}
	return answer.Close()
}

// lines yields the entries of a listing.
func (c *client) lines(ctx context.Context, path string, params url.Values, yield func(line) bool) error {
	answer, err := c.do(ctx, http.MethodGet, path, params, nil, 0)
	if err != nil {
		return err
	}
	defer answer.Close()
	in := json.NewDecoder(answer)
	for {
		var next line
		err := in.Decode(&next)
		switch {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return fmt.Errorf("read listing: %w", err)
		case next.Failure != nil:
			return next.Failure.err()
		case next.End:
			return nil
		case !yield(next):
			return errStopped
		}
	}
}

// errStopped is returned by lines when the caller wants no more.
var errStopped = errors.New("stopped")

func params(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func text(n int64) string { return strconv.FormatInt(n, 10) }
