package rawtcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func startSink(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func TestRunMeasures(t *testing.T) {
	addr := startSink(t)
	result, err := Run(t.Context(), addr, Load{
		Payload: bytes.Repeat([]byte{1, 2, 3}, 100_000), FrameSize: 10_000, InFlight: 16,
		Warmup: 10 * time.Millisecond, Duration: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.FramesPerSecond < 10 || result.CPUPerFrame <= 0 || result.CPUPerFrame > 100*time.Millisecond {
		t.Errorf("not plausible: %+v", result)
	}
}

func frame(payload []byte, sum uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	return append(binary.LittleEndian.AppendUint32(b, sum), payload...)
}

// A sink that did not check would make the baseline cheaper than it says.
func TestSinkChecksFrames(t *testing.T) {
	conn, err := net.Dial("tcp", startSink(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	payload := []byte("payload")
	good := frame(payload, crc32.Checksum(payload, castagnoli))
	bad := frame(payload, crc32.Checksum(payload, castagnoli)^1)
	if _, err := conn.Write(append(append(good, good...), bad...)); err != nil {
		t.Fatal(err)
	}
	answers, err := io.ReadAll(conn)
	if err != nil && len(answers) > 2*answerSize {
		t.Fatal(err)
	}
	for i := range len(answers) / answerSize {
		if got := binary.LittleEndian.Uint64(answers[i*answerSize:]); got != uint64(i+1) {
			t.Errorf("answer %d counts %d frames", i, got)
		}
	}
	if len(answers) > 2*answerSize {
		t.Errorf("%d bytes of answers: a corrupt frame was answered", len(answers))
	}
}

func TestSinkTellsItsProcessorTime(t *testing.T) {
	used, err := sinkCPU(t.Context(), startSink(t))
	if err != nil || used <= 0 || used > time.Hour {
		t.Errorf("processor time %v, error %v", used, err)
	}
}

// Run must end with an error, not wait for ever, when the sink goes away.
func TestRunEndsWithTheSink(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, conn, 100)
		_ = conn.Close()
		_ = l.Close()
	}()
	_, err = Run(t.Context(), l.Addr().String(), Load{
		Payload: make([]byte, 1000), FrameSize: 1000, InFlight: 2, Warmup: 0, Duration: time.Minute,
	})
	if err == nil {
		t.Error("no error")
	}
}

func TestRunRefusesFramesAboveTheLimit(t *testing.T) {
	_, err := Run(t.Context(), "127.0.0.1:1", Load{Payload: make([]byte, 10), FrameSize: 11})
	if err == nil || !strings.Contains(err.Error(), "11 bytes") {
		t.Errorf("error %v", err)
	}
}
