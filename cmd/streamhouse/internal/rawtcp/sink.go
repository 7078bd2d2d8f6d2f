// Package rawtcp measures what this machine can move from one process to
// another when nothing is done but to frame, check and copy: the rate that
// any log on top of TCP stays below. It is the denominator of the benchmark.
//
// A frame is its payload's length and CRC-32C, 4 bytes each, little-endian,
// then the payload. Each is answered by 8 bytes: how many frames this
// connection has brought. A frame of length 0 is answered by the sink's
// processor time in nanoseconds instead.
package rawtcp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/cpu"
)

// MaxFrameSize is the longest payload of a frame, in bytes.
const MaxFrameSize = storeSize

const (
	headerSize = 8
	answerSize = 8
	// storeSize is where payloads are copied to, round and round: as much as
	// an agent collects for one segment.
	storeSize = 4 << 20
	// bufferSize is what both sides hand to one system call.
	bufferSize = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Serve answers every connection to l until ctx ends, closes l, and returns
// after the last connection is done. It returns nil when ctx ended.
func Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil // closing the listener is how ctx ends it
		}
		if err != nil {
			return fmt.Errorf("accept connection: %w", err)
		}
		connections.Go(func() { _ = serveConn(ctx, conn) })
	}
}

// serveConn returns nil when the other side closed between two frames. A
// sender learns of an error by the connection's end.
func serveConn(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	s := sink{
		in:  bufio.NewReaderSize(conn, bufferSize),
		out: bufio.NewWriter(conn), store: make([]byte, storeSize),
	}
	for {
		err := s.frame()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// As long as another frame lies in the buffer, its answer can share
		// the system call.
		if s.in.Buffered() < headerSize {
			if err := s.out.Flush(); err != nil {
				return err
			}
		}
	}
}

// sink is the state of one connection.
type sink struct {
	in     *bufio.Reader
	out    *bufio.Writer
	frames uint64
	buf    []byte
	store  []byte
	used   int
}

// frame reads and answers one frame; io.EOF before its first byte.
func (s *sink) frame() error {
	var header [headerSize]byte
	if _, err := io.ReadFull(s.in, header[:]); err != nil {
		return err
	}
	size, sum := binary.LittleEndian.Uint32(header[:]), binary.LittleEndian.Uint32(header[4:])
	if size == 0 {
		return s.answer(uint64(cpu.Used()))
	}
	if size > MaxFrameSize {
		return fmt.Errorf("frame of %d bytes is above %d", size, MaxFrameSize)
	}
	if cap(s.buf) < int(size) {
		s.buf = make([]byte, size)
	}
	payload := s.buf[:size]
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return io.ErrUnexpectedEOF
	}
	if crc32.Checksum(payload, castagnoli) != sum {
		return errors.New("checksum of a frame does not match")
	}
	s.keep(payload)
	s.frames++
	return s.answer(s.frames)
}

func (s *sink) keep(payload []byte) {
	if s.used+len(payload) > len(s.store) {
		s.used = 0
	}
	s.used += copy(s.store[s.used:], payload)
}

func (s *sink) answer(n uint64) error {
	var b [answerSize]byte
	binary.LittleEndian.PutUint64(b[:], n)
	_, err := s.out.Write(b[:])
	return err
}
