package faults

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// ParseRule reads a rule of the form that a flag takes:
//
//	op=put+row-create,first=3,every=7,kind=err-after,pause=200ms
//
// kind is needed, and pause by the kinds pause and late; op is all, first 1,
// every 0 and pause 0 unless they are given.
func ParseRule(text string) (Rule, error) {
	r, err := parseRule(text)
	if err != nil {
		return Rule{}, fmt.Errorf("parse the rule %q: %w", text, err)
	}
	return r, nil
}

func parseRule(text string) (Rule, error) {
	r := Rule{Op: allOps, First: 1}
	given := map[string]bool{}
	for field := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			return r, fmt.Errorf("%q is not of the form name=value", field)
		}
		if given[name] {
			return r, fmt.Errorf("%s is given twice", name)
		}
		given[name] = true
		if err := r.set(name, value); err != nil {
			return r, err
		}
	}
	if !given["kind"] {
		return r, fmt.Errorf("it has no kind: give one of %s", kindList)
	}
	if (r.Kind == Pause || r.Kind == Late) && r.Pause == 0 {
		return r, fmt.Errorf("kind=%s without a pause does nothing: give one as pause=200ms", r.Kind)
	}
	return r, nil
}

func (r *Rule) set(name, value string) (err error) {
	switch name {
	case "op":
		r.Op, err = parseOp(value)
	case "first":
		r.First, err = strconv.ParseUint(value, 10, 64)
		if err != nil || r.First == 0 {
			err = fmt.Errorf("first=%s is no number from 1 on", value)
		}
	case "every":
		if r.Every, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = fmt.Errorf("every=%s is no number from 0 on", value)
		}
	case "kind":
		r.Kind, err = parseKind(value)
	case "pause":
		r.Pause, err = parseDuration(value)
	default:
		err = fmt.Errorf("%q is not op, first, every, kind or pause", name)
	}
	return err
}

// String is what ParseRule reads.
func (r Rule) String() string {
	text := fmt.Sprintf("op=%s,first=%d,every=%d,kind=%s", r.Op, max(r.First, 1), r.Every, r.Kind)
	if r.Pause > 0 {
		text += ",pause=" + r.Pause.String()
	}
	return text
}

// Op is a set of operations.
type Op uint16

// The operations.
const (
	Put Op = 1 << iota
	Get
	List
	Delete
	RowCreate
	RowGet
	RowSwap
	RowDelete
	RowQuery // and Scan

	opCount = iota
	allOps  = 1<<opCount - 1
)

var opNames = [opCount]string{
	"put", "get", "list", "delete", "row-create", "row-get", "row-swap", "row-delete", "row-query",
}

// has tells whether a rule's set matches an operation.
func (o Op) has(op Op) bool { return o == 0 || o&op != 0 }

// bit is the place of a single operation in arrays.
func (o Op) bit() int { return bits.TrailingZeros16(uint16(o)) }

// String joins the operations' names with +, as ParseRule reads them.
func (o Op) String() string {
	if o == 0 || o&allOps == allOps {
		return "all"
	}
	var names []string
	for bit, name := range opNames {
		if o&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

func parseOp(text string) (Op, error) {
	if text == "all" {
		return allOps, nil
	}
	var set Op
next:
	for part := range strings.SplitSeq(text, "+") {
		for bit, name := range opNames {
			if part == name {
				set |= 1 << bit
				continue next
			}
		}
		return 0, fmt.Errorf("op=%s: there is no %q; give all, or some of %s joined by +", text, part, strings.Join(opNames[:], ", "))
	}
	return set, nil
}

var kindNames = [...]string{ErrBefore: "err-before", ErrAfter: "err-after", Pause: "pause", Late: "late"}

var kindList = strings.Join(kindNames[:], ", ")

// String is the kind's name, as ParseRule reads it.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "kind " + strconv.Itoa(int(k))
	}
	return kindNames[k]
}

func parseKind(text string) (Kind, error) {
	for k, name := range kindNames {
		if text == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("there is no kind %q: give one of %s", text, kindList)
}
