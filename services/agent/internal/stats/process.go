package stats

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// Process is what the operating system and the Go runtime say of this process.
type Process struct {
	CPU time.Duration
	// Allocations counts heap objects since the start.
	Allocations uint64
	// Resident and PeakResident are bytes of memory; 0 where the system does
	// not tell.
	Resident, PeakResident uint64
}

// ReadProcess reads them now.
func ReadProcess() Process {
	p := Process{}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		p.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindUint64 {
		p.Allocations = samples[0].Value.Uint64()
	}
	p.Resident, p.PeakResident = resident()
	return p
}

// resident reads Linux's account of this process. The rusage of a process
// begins with its parent's peak, so it cannot serve.
func resident() (now, peak uint64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	return kibibytes(b, "VmRSS:"), kibibytes(b, "VmHWM:")
}

func kibibytes(status []byte, field string) uint64 {
	_, rest, _ := bytes.Cut(status, []byte(field))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}
