// Package human writes numbers for people to read.
package human

import (
	"strconv"
	"time"
)

// Count writes n with a comma between thousands: 1,234,567.
func Count[T ~int | ~int64 | ~uint64 | ~uint32](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	if n >= 0 {
		digits = strconv.FormatUint(uint64(n), 10)
	}
	start := 0
	if digits[0] == '-' {
		start = 1
	}
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Rate writes count per elapsed in seconds, rounded: 50,167. It is "0" when no
// time passed.
func Rate(count int64, elapsed time.Duration) string {
	if elapsed <= 0 {
		return "0"
	}
	return Count(int64(float64(count)/elapsed.Seconds() + 0.5))
}

// Bytes writes n in the largest binary unit that it fills: 95.4 MiB.
func Bytes[T ~int | ~int64 | ~uint64](n T) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(int64(n), 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + units[unit:unit+1] + "iB"
}

// MiB is n bytes in MiB.
func MiB[T ~int | ~int64 | ~uint64 | ~float64](n T) float64 { return float64(n) / (1 << 20) }

// Millis is d in milliseconds, with its fraction.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Latency writes d in milliseconds: 12.3 ms, and 0.045 ms below one.
func Latency(d time.Duration) string {
	digits := 1
	if d < time.Millisecond {
		digits = 3
	}
	return strconv.FormatFloat(Millis(d), 'f', digits, 64) + " ms"
}

// Seconds writes d in seconds: 1.23 s.
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
}
