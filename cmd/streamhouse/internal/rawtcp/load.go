package rawtcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/cpu"
)

// Load says what to send.
type Load struct {
	// Payload is what frames are cut from, in turn. It is at least FrameSize
	// bytes long.
	Payload []byte
	// FrameSize is the payload of one frame in bytes, at most 4 MiB.
	FrameSize int
	// InFlight is how many frames may wait for their answer.
	InFlight int
	// Warmup is sent before Duration is measured.
	Warmup, Duration time.Duration
}

// Result is what was measured.
type Result struct {
	FramesPerSecond float64
	// CPUPerFrame is the processor time of both processes together.
	CPUPerFrame time.Duration
}

// Run sends frames to the sink at addr and measures.
func Run(ctx context.Context, addr string, load Load) (Result, error) {
	if load.FrameSize > MaxFrameSize || load.FrameSize > len(load.Payload) {
		return Result{}, fmt.Errorf("frame of %d bytes: at most %d, and no more than the payload", load.FrameSize, MaxFrameSize)
	}
	conn, err := dial(ctx, addr)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &sender{conn: conn, load: load, slots: make(chan struct{}, load.InFlight)}
	var wg sync.WaitGroup
	// Closing the connection is what ends the two goroutines, whether ctx or
	// the end of the measurement comes first.
	defer wg.Wait()
	defer cancel(errFinished)
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	wg.Go(func() { cancel(s.send(ctx)) })
	wg.Go(func() { cancel(s.receive()) })
	return s.measure(ctx, addr)
}

// errFinished ends the goroutines of a run that is measured.
var errFinished = errors.New("finished")

func dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to raw TCP sink: %w", err)
	}
	return conn, nil
}

type sender struct {
	conn     net.Conn
	load     Load
	slots    chan struct{}
	answered atomic.Int64
}

// send sends frames until an error or the end of ctx.
func (s *sender) send(ctx context.Context) error {
	var header [headerSize]byte
	for at := 0; ; at += s.load.FrameSize {
		if at+s.load.FrameSize > len(s.load.Payload) {
			at = 0
		}
		payload := s.load.Payload[at : at+s.load.FrameSize]
		binary.LittleEndian.PutUint32(header[:], uint32(len(payload)))
		binary.LittleEndian.PutUint32(header[4:], crc32.Checksum(payload, castagnoli))
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		frame := net.Buffers{header[:], payload}
		if _, err := frame.WriteTo(s.conn); err != nil {
			return fmt.Errorf("send frame: %w", err)
		}
	}
}

// receive reads answers until the connection ends.
func (s *sender) receive() error {
	var answers [answerSize * 64]byte
	have := 0
	for {
		n, err := s.conn.Read(answers[have:])
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		have += n
		for ; have >= answerSize; have -= answerSize {
			<-s.slots
			s.answered.Add(1)
		}
	}
}

// measure watches a run for Warmup, then Duration.
func (s *sender) measure(ctx context.Context, addr string) (Result, error) {
	if err := sleep(ctx, s.load.Warmup); err != nil {
		return Result{}, err
	}
	before, err := s.read(ctx, addr)
	if err != nil {
		return Result{}, err
	}
	if err := sleep(ctx, s.load.Duration); err != nil {
		return Result{}, err
	}
	after, err := s.read(ctx, addr)
	if err != nil {
		return Result{}, err
	}
	frames := after.frames - before.frames
	if frames == 0 {
		return Result{}, errors.New("raw TCP sink answered no frame: give it a longer --duration")
	}
	return Result{
		FramesPerSecond: float64(frames) / after.at.Sub(before.at).Seconds(),
		CPUPerFrame:     (after.cpu - before.cpu) / time.Duration(frames),
	}, nil
}

// reading is the state of a run at one moment.
type reading struct {
	at     time.Time
	frames int64
	cpu    time.Duration
}

func (s *sender) read(ctx context.Context, addr string) (reading, error) {
	sink, err := sinkCPU(ctx, addr)
	if err != nil {
		return reading{}, err
	}
	return reading{at: time.Now(), frames: s.answered.Load(), cpu: cpu.Used() + sink}, nil
}

// sinkCPU asks the sink for its processor time, on a connection of its own.
func sinkCPU(ctx context.Context, addr string) (time.Duration, error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(make([]byte, headerSize)); err != nil {
		return 0, fmt.Errorf("ask raw TCP sink for its processor time: %w", err)
	}
	var answer [answerSize]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return 0, fmt.Errorf("ask raw TCP sink for its processor time: %w", err)
	}
	return time.Duration(binary.LittleEndian.Uint64(answer[:])), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
