package files

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// writeTemp writes a body to a temporary file that is durable but for its
// name. After a failed sync the file is given up: the kernel may have dropped
// the pages that it could not write, and a second sync would not say so.
func (s *Store) writeTemp(body objstore.Body) (name string, err error) {
	name = path.Join(tempFolder, fmt.Sprintf("%016x", rand.Uint64()))
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = writeBody(f, body)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, s.root.Remove(name))
	}
	return name, nil
}

// writers groups tiny parts into writes of 256 KiB. A part that is larger goes
// to the file without a copy.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 256<<10) }}

// writeBody checks the body as it writes it.
func writeBody(to io.Writer, body objstore.Body) error {
	w, _ := writers.Get().(*bufio.Writer)
	defer writers.Put(w)
	w.Reset(to)
	defer w.Reset(nil) // the pool must not keep the file
	var size int64
	var crc uint32
	for _, part := range body.Parts {
		size += int64(len(part))
		crc = crc32.Update(crc, castagnoli, part)
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if size != body.Size || crc != body.CRC32C {
		return fmt.Errorf("body has %d bytes with CRC-32C %08x, where %d with %08x were announced",
			size, crc, body.Size, body.CRC32C)
	}
	return w.Flush()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
