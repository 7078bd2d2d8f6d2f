// Package cpu measures what this process has used of the processors.
package cpu

import (
	"syscall"
	"time"
)

// Used is the processor time of this process so far, in user and kernel mode.
func Used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // the call can fail only for a bad address
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
