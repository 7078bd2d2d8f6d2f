package meta

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Clone returns a row that shares no memory with row: a store keeps one, so
// that what the caller does with its own row later cannot reach what is stored.
// It knows all kinds; copying by reflection was a twentieth of a simulation.
func Clone(row Row) Row {
	switch row := row.(type) {
	case *Session:
		own := *row
		own.Addresses = maps.Clone(row.Addresses)
		return &own
	case *Partition:
		own := *row
		own.Checkpoint.Compactions = slices.Clone(row.Checkpoint.Compactions)
		own.Tenures = slices.Clone(row.Tenures)
		return &own
	case *Entry:
		own := *row
		own.Segments = slices.Clone(row.Segments)
		for i := range own.Segments {
			own.Segments[i].Commits = slices.Clone(own.Segments[i].Commits)
		}
		return &own
	case *Run:
		own := *row
		own.Blocks = slices.Clone(row.Blocks)
		return &own
	case *Merge:
		own := *row
		own.Parts = slices.Clone(row.Parts)
		return &own
	case *Topic:
		return new(*row)
	case *Tombstone:
		return new(*row)
	case *Counter:
		return new(*row)
	default:
		panic(fmt.Sprintf("meta: Clone does not know a %T", row))
	}
}

// Assign overwrites everything in dst with what src holds, which dst then
// shares. Both must be of one type. A store reads into a new row and assigns
// it, so that nothing of what dst held before is left between the new fields.
func Assign(dst, src Row) {
	reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(src).Elem())
}
