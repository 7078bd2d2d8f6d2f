package dynamodb

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// expression is a condition, or a key condition: terms that all must hold.
type expression struct {
	kind  string // as the error messages call it
	terms []term
}

// term is attribute_exists(name), attribute_not_exists(name), name = value or
// name >= value.
type term struct {
	op    string
	name  string
	value value
}

// The only forms that are understood. Names and values have to be
// placeholders, so that no reserved word is ever a question.
var (
	existence  = regexp.MustCompile(`^(attribute_exists|attribute_not_exists)\((#[A-Za-z0-9_]+)\)$`)
	comparison = regexp.MustCompile(`^(#[A-Za-z0-9_]+) (=|>=) (:[A-Za-z0-9_]+)$`)
)

// parse reads an expression; without a text it has no terms. Placeholders that
// are not defined, or not used, are refused, as DynamoDB does.
func parse(kind, text string, names map[string]string, values map[string]value) (*expression, error) {
	e := &expression{kind: kind}
	used := map[string]bool{}
	if text != "" {
		for clause := range strings.SplitSeq(text, " AND ") {
			t, err := parseTerm(kind, clause, names, values, used)
			if err != nil {
				return nil, err
			}
			e.terms = append(e.terms, t)
		}
	}
	for what, defined := range map[string][]string{
		"ExpressionAttributeNames":  slices.Sorted(maps.Keys(names)),
		"ExpressionAttributeValues": slices.Sorted(maps.Keys(values)),
	} {
		for _, placeholder := range defined {
			if !used[placeholder] {
				return nil, invalid("Value provided in %s unused in expressions: keys: {%s}", what, placeholder)
			}
		}
	}
	return e, nil
}

func parseTerm(kind, clause string, names map[string]string, values map[string]value, used map[string]bool) (term, error) {
	var t term
	var name, operand string
	if m := existence.FindStringSubmatch(clause); m != nil {
		t.op, name = m[1], m[2]
	} else if m := comparison.FindStringSubmatch(clause); m != nil {
		name, t.op, operand = m[1], m[2], m[3]
	} else {
		return t, invalid("Invalid %s: the stand-in does not understand %q", kind, clause)
	}
	var ok bool
	if t.name, ok = names[name]; !ok {
		return t, invalid("Invalid %s: An expression attribute name used in the document path is not defined; attribute name: %s", kind, name)
	}
	used[name] = true
	if operand == "" {
		return t, nil
	}
	if t.value, ok = values[operand]; !ok {
		return t, invalid("Invalid %s: An expression attribute value used in expression is not defined; attribute value: %s", kind, operand)
	}
	used[operand] = true
	return t, t.value.check()
}

// holds evaluates a condition on a stored item; nil is none.
func (e *expression) holds(stored item) (bool, error) {
	for _, t := range e.terms {
		found, exists := stored[t.name]
		ok := false
		switch t.op {
		case "attribute_exists":
			ok = exists
		case "attribute_not_exists":
			ok = !exists
		case "=":
			ok = exists && found.equal(t.value)
		default:
			return false, invalid("Invalid %s: the stand-in does not evaluate %s here", e.kind, t.op)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}
