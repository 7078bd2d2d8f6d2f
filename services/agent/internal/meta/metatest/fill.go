package metatest

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// filled is a row of a kind with something different in every field, so that
// a backend that forgets one, or mixes two up, is caught. seed makes rows that
// differ from each other in every field too.
func filled(t *testing.T, kind meta.Kind, seed int) meta.Row {
	t.Helper()
	row, err := meta.New(kind)
	if err != nil {
		t.Fatal(err)
	}
	f := filler{t: t, n: seed * 1000}
	f.fill(reflect.ValueOf(row).Elem())
	*row.Head() = meta.Header{}
	return row
}

type filler struct {
	t *testing.T
	n int
}

// fill takes numbers near their type's end: a backend that sends them through
// a floating-point number loses digits there.
func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(math.MaxInt32 - f.n))
	case reflect.Int64:
		v.SetInt(math.MaxInt64 - int64(f.n))
	case reflect.Uint8:
		v.SetUint(uint64(byte(f.n)))
	case reflect.Uint32:
		v.SetUint(math.MaxUint32 - uint64(f.n))
	case reflect.Uint64:
		v.SetUint(math.MaxUint64 - uint64(f.n))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d: <é\u2028\"\\>", f.n))
	case reflect.Struct:
		for _, field := range v.Fields() {
			f.fill(field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		f.fillMap(v)
	default:
		f.t.Fatalf("metatest cannot fill a %s: teach it, and meta.Clone, this kind of field", v.Type())
	}
}

func (f *filler) fillMap(v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for range 3 {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key)
		f.fill(value)
		v.SetMapIndex(key, value)
	}
}

// scribble changes everything that can be reached from a row, in place: what
// another row shares with it changes too.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			scribble(field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		v.Clear()
	default:
		v.SetZero()
	}
}
