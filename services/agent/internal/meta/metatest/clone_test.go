package metatest

import (
	"reflect"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// A clone has every field of every kind of row, and shares none of its memory.
func TestClone(t *testing.T) {
	for _, kind := range meta.Kinds() {
		row := filled(t, kind, 1)
		row.Head().Version = 7
		clone := meta.Clone(row)
		if !reflect.DeepEqual(row, clone) {
			t.Errorf("%s: the clone is %+v, of %+v", kind, clone, row)
		}
		if field := shared(reflect.ValueOf(row).Elem(), reflect.ValueOf(clone).Elem()); field != "" {
			t.Errorf("%s: the clone shares %s", kind, field)
		}
	}
}

// shared names a part of two values that is the same memory, or returns "".
func shared(a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if found := shared(a.Field(i), b.Field(i)); found != "" {
				return a.Type().Field(i).Name + " " + found
			}
		}
	case reflect.Slice:
		if a.Pointer() == b.Pointer() {
			return "a slice"
		}
		for i := range a.Len() {
			if found := shared(a.Index(i), b.Index(i)); found != "" {
				return found
			}
		}
	case reflect.Map:
		if a.Pointer() == b.Pointer() {
			return "a map"
		}
	default:
	}
	return ""
}
