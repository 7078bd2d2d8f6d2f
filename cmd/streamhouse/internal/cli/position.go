package cli

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"
)

const (
	earliest = "earliest"
	latest   = "latest"
)

// position is a place in any partition's log.
type position struct {
	// kind is earliest, latest, or empty for a number.
	kind string
	// n is an offset; with back, a distance from the end.
	n    uint64
	back bool
}

var _ pflag.Value = (*position)(nil)

// Set is part of pflag.Value.
func (p *position) Set(s string) error {
	if s == earliest || s == latest {
		*p = position{kind: s}
		return nil
	}
	digits, back := s, false
	if len(s) > 1 && s[0] == '-' {
		digits, back = s[1:], true
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return errors.New("use earliest, latest, an offset, or -N for the last N")
	}
	*p = position{n: n, back: back}
	return nil
}

// String is part of pflag.Value.
func (p *position) String() string {
	switch {
	case p.kind != "":
		return p.kind
	case p.back:
		return "-" + strconv.FormatUint(p.n, 10)
	default:
		return strconv.FormatUint(p.n, 10)
	}
}

// Type is part of pflag.Value.
func (*position) Type() string { return "position" }

// in is the offset of the position in a log that holds [start, end). A
// distance beyond the start means the start; an offset is taken as it is.
func (p *position) in(start, end uint64) uint64 {
	switch {
	case p.kind == earliest:
		return start
	case p.kind == latest:
		return end
	case !p.back:
		return p.n
	case p.n > end-start:
		return start
	default:
		return end - p.n
	}
}
