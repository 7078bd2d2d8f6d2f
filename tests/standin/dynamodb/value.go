package dynamodb

import (
	"fmt"
	"math/big"
	"strings"
)

// value is an attribute's value as the wire has it: exactly one field is set.
// Sets are unknown here, and refused as such.
type value struct {
	S    *string           `json:",omitempty"`
	N    *string           `json:",omitempty"`
	B    *[]byte           `json:",omitempty"`
	BOOL *bool             `json:",omitempty"`
	NULL *bool             `json:",omitempty"`
	M    *map[string]value `json:",omitempty"`
	L    *[]value          `json:",omitempty"`
}

type item map[string]value

// kind is the name of the field that is set; empty when none or several are.
func (v value) kind() string {
	var set []string
	for name, has := range map[string]bool{
		"S": v.S != nil, "N": v.N != nil, "B": v.B != nil, "BOOL": v.BOOL != nil,
		"NULL": v.NULL != nil, "M": v.M != nil, "L": v.L != nil,
	} {
		if has {
			set = append(set, name)
		}
	}
	if len(set) != 1 {
		return ""
	}
	return set[0]
}

// check refuses what DynamoDB refuses, and brings numbers to their one form.
func (v value) check() error {
	switch v.kind() {
	case "":
		return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case "N":
		n, err := number(*v.N)
		if err != nil {
			return err
		}
		*v.N = n.String()
	case "NULL":
		if !*v.NULL {
			return invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	case "M":
		return item(*v.M).check()
	case "L":
		for _, element := range *v.L {
			if err := element.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i item) check() error {
	for name, v := range i {
		if err := v.check(); err != nil {
			return err
		}
		if name == "" || len(name) > 65535 {
			return invalid("One or more parameter values were invalid: Attribute name of %d bytes", len(name))
		}
	}
	return nil
}

// number reads an integer. DynamoDB has fractions as well; nothing here does.
func number(s string) (*big.Int, error) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || strings.ContainsAny(s, "_+") {
		return nil, invalid("The parameter cannot be converted to a numeric value: %s", s)
	}
	if digits := strings.TrimRight(strings.TrimPrefix(n.String(), "-"), "0"); len(digits) > 38 {
		return nil, invalid("Attempting to store more than 38 significant digits in a Number")
	}
	return n, nil
}

// equal compares as the operator = does.
func (v value) equal(w value) bool {
	if v.kind() != w.kind() {
		return false
	}
	switch v.kind() {
	case "S":
		return *v.S == *w.S
	case "N":
		return *v.N == *w.N
	case "B":
		return string(*v.B) == string(*w.B)
	case "BOOL":
		return *v.BOOL == *w.BOOL
	default:
		panic(fmt.Sprintf("the stand-in does not compare values of type %s", v.kind()))
	}
}

// size is what the value counts towards the limit of an item and its capacity
// units.
func (v value) size() int {
	switch v.kind() {
	case "S":
		return len(*v.S)
	case "N":
		digits := strings.Trim(strings.TrimPrefix(*v.N, "-"), "0")
		return 1 + (len(digits)+1)/2 + len(*v.N) - len(strings.TrimPrefix(*v.N, "-"))
	case "B":
		return len(*v.B)
	case "M":
		return 3 + len(*v.M) + item(*v.M).size()
	case "L":
		n := 3 + len(*v.L)
		for _, element := range *v.L {
			n += element.size()
		}
		return n
	default:
		return 1
	}
}

func (i item) size() int {
	n := 0
	for name, v := range i {
		n += len(name) + v.size()
	}
	return n
}
