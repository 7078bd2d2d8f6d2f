package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The types below are what flags need beyond pflag's own: each writes to the
// Config's field that it points to.

// sizeValue is a number of bytes, as 4MiB, 64KB or 123.
type sizeValue int64

func (v *sizeValue) String() string { return formatSize(int64(*v)) }
func (v *sizeValue) Type() string   { return "size" }

func (v *sizeValue) Set(text string) error {
	n, err := parseSize(text)
	if err == nil {
		*v = sizeValue(n)
	}
	return err
}

// sizeUnits stand with the largest first of their kind.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

func parseSize(text string) (int64, error) {
	number, factor := text, int64(1)
	for _, unit := range sizeUnits {
		if n := len(text) - len(unit.name); n > 0 && strings.EqualFold(text[n:], unit.name) {
			number, factor = strings.TrimSpace(text[:n]), unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is no size: give one as 4MiB, 64KB or 123", text)
	}
	return int64(n) * factor, nil
}

// formatSize writes a size so that parseSize reads the same.
func formatSize(n int64) string {
	for _, unit := range sizeUnits[:3] {
		if n != 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// ceilingValue is a rate, where 0 means none: in a Config 0 means the default.
type ceilingValue float64

func (v *ceilingValue) String() string { return strconv.FormatFloat(max(float64(*v), 0), 'g', -1, 64) }
func (v *ceilingValue) Type() string   { return "number" }

func (v *ceilingValue) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return errors.New("give a number above 0, or 0 for no ceiling")
	}
	if n == 0 {
		n = NoCeiling
	}
	*v = ceilingValue(n)
	return nil
}

// budgetValue is a share, where 0 means none: in a Config 0 means the default.
type budgetValue float64

func (v *budgetValue) String() string { return (*ceilingValue)(v).String() }
func (v *budgetValue) Type() string   { return "number" }

func (v *budgetValue) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return errors.New("give a share from 0 to 1, such as 0.05")
	}
	if n == 0 {
		n = NoHedging
	}
	*v = budgetValue(n)
	return nil
}

// levelValue is a level of package slog, in lower case.
type levelValue slog.Level

func (v *levelValue) String() string { return strings.ToLower(slog.Level(*v).String()) }
func (v *levelValue) Type() string   { return "level" }

func (v *levelValue) Set(text string) error {
	if err := (*slog.Level)(v).UnmarshalText([]byte(text)); err != nil {
		return errors.New("give debug, info, warn or error")
	}
	return nil
}

// listValue is a list of texts. The first Set replaces the default, later ones
// add to it.
type listValue struct {
	list    *[]string
	changed bool
}

func (v *listValue) String() string { return strings.Join(*v.list, listSeparator) }
func (v *listValue) Type() string   { return "strings" }

// listSeparator divides the entries of a list that stands in one text. A rule for
// faults has commas of its own.
const listSeparator = ";"

func (v *listValue) Set(text string) error {
	if !v.changed {
		*v.list, v.changed = nil, true
	}
	*v.list = append(*v.list, strings.Split(text, listSeparator)...)
	return nil
}

// listenerFlags is what --listen and --advertise write to, in any order: the
// listeners of --listen, or else the default ones, then those that are only
// advertised, for Validate to refuse.
type listenerFlags struct {
	to         *[]Listener
	listen     []Listener
	changed    bool
	advertised []Listener
}

func (l *listenerFlags) merge() {
	*l.to = slices.Clone(l.listen)
	for _, a := range l.advertised {
		i := slices.IndexFunc(*l.to, func(other Listener) bool { return other.Name == a.Name })
		if i < 0 {
			*l.to = append(*l.to, a)
		} else {
			(*l.to)[i].Advertise = a.Advertise
		}
	}
}

// eachListener splits "internal=HOST:PORT,external=HOST:PORT". An entry without a
// name is the default listener's.
func eachListener(text string, add func(name, address string)) error {
	for entry := range strings.SplitSeq(text, ",") {
		name, address, named := strings.Cut(strings.TrimSpace(entry), "=")
		if !named {
			name, address = DefaultListener.Name, name
		}
		if name == "" || address == "" {
			return fmt.Errorf("%q: give NAME=HOST:PORT, or HOST:PORT for the listener %q", entry, DefaultListener.Name)
		}
		add(name, address)
	}
	return nil
}

type listenValue struct{ *listenerFlags }

func (v listenValue) Type() string { return "name=host:port" }

func (v listenValue) String() string {
	return formatListeners(v.listen, func(l Listener) string { return l.Address })
}

func (v listenValue) Set(text string) error {
	if !v.changed {
		v.listen, v.changed = nil, true
	}
	err := eachListener(text, func(name, address string) {
		v.listen = append(v.listen, Listener{Name: name, Address: address})
	})
	v.merge()
	return err
}

type advertiseValue struct{ *listenerFlags }

func (v advertiseValue) Type() string { return "name=host:port" }

func (v advertiseValue) String() string {
	return formatListeners(v.advertised, func(l Listener) string { return l.Advertise })
}

func (v advertiseValue) Set(text string) error {
	err := eachListener(text, func(name, address string) {
		v.advertised = append(v.advertised, Listener{Name: name, Advertise: address})
	})
	v.merge()
	return err
}

func formatListeners(listeners []Listener, address func(Listener) string) string {
	var out []string
	for _, l := range listeners {
		out = append(out, l.Name+"="+address(l))
	}
	return strings.Join(out, ",")
}
