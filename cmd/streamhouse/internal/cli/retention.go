package cli

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
)

// retention is for how long, and how much, a topic keeps; zero is for ever, and
// all.
type retention struct {
	age   millis
	bytes size
}

const (
	ageFlag  = "retention"
	sizeFlag = "retention-bytes"
)

func retentionFlags(cmd *cobra.Command) *retention {
	r := &retention{}
	f := cmd.Flags()
	f.Var(&r.age, ageFlag, "how long records are kept at least, 1m or more, as 168h; 0 is for ever")
	f.Var(&r.bytes, sizeFlag, "how much of each partition is kept at least, 1MiB or more; 0 is all")
	return r
}

// millis is a time in milliseconds, as the agents count it.
type millis int64

var _ pflag.Value = (*millis)(nil)

// Set is part of pflag.Value. What is not a whole number of milliseconds becomes
// a little more: never 0, which stands for ever.
func (m *millis) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("give a duration as 168h or 30m, or 0 for ever")
	}
	*m = millis(d.Milliseconds())
	if d%time.Millisecond > 0 {
		*m++
	}
	return nil
}

// String is part of pflag.Value.
func (m *millis) String() string {
	switch {
	case *m == 0:
		return "0"
	case *m > math.MaxInt64/millis(time.Millisecond): // longer than any Duration
		return fmt.Sprintf("%dms", int64(*m))
	default:
		return human.Span(time.Duration(*m) * time.Millisecond)
	}
}

// Type is part of pflag.Value.
func (*millis) Type() string { return "duration" }

// size is a number of bytes.
type size int64

var _ pflag.Value = (*size)(nil)

// Set is part of pflag.Value.
func (s *size) Set(text string) error {
	n, err := human.ParseBytes(text)
	if err == nil {
		*s = size(n)
	}
	return err
}

// String is part of pflag.Value.
func (s *size) String() string {
	if *s == 0 {
		return "0"
	}
	return human.Bytes(*s)
}

// Type is part of pflag.Value.
func (*size) Type() string { return "size" }

// kept says in a few words what a topic keeps.
func kept(ageMillis, bytes int64) string {
	var limits []string
	if age := millis(ageMillis); age != 0 {
		limits = append(limits, age.String())
	}
	if bytes != 0 {
		limits = append(limits, human.Bytes(bytes))
	}
	if len(limits) == 0 {
		return "for ever"
	}
	return strings.Join(limits, ", ")
}
