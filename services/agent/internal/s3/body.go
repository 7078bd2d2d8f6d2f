package s3

import (
	"errors"
	"io"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// bodyReader reads a body's parts one after the other. The SDK takes the
// length from Seek, and rewinds with it.
type bodyReader struct {
	body objstore.Body
	at   int64 // in the body
	part int   // the part that has at, or the one behind the last
	from int   // at, in that part
}

func (r *bodyReader) Read(p []byte) (n int, err error) {
	for n < len(p) && r.part < len(r.body.Parts) {
		part := r.body.Parts[r.part][r.from:]
		copied := copy(p[n:], part)
		n += copied
		if r.from += copied; copied == len(part) {
			r.part, r.from = r.part+1, 0
		}
	}
	r.at += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

var errSeek = errors.New("seek outside the body")

func (r *bodyReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.body.Size
	}
	if offset < 0 || offset > r.body.Size {
		return 0, errSeek
	}
	r.at, r.part = offset, 0
	for rest := offset; ; r.part++ {
		if r.part == len(r.body.Parts) || rest < int64(len(r.body.Parts[r.part])) {
			r.from = int(rest)
			return offset, nil
		}
		rest -= int64(len(r.body.Parts[r.part]))
	}
}
