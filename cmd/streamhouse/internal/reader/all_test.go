package reader

import (
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
)

// ranges are offsets 0 to 22 of each partition.
func ranges(partitions int) []Range {
	var all []Range
	for p := range partitions {
		all = append(all, Range{Partition: uint32(p), To: 23})
	}
	return all
}

func readAll(t *testing.T, spans []Range, workers int, logs []log) error {
	t.Helper()
	r := Reader{Client: fiveABatch(t, 23), Topic: "t"}
	return r.ReadAll(t.Context(), spans, workers, func(r Range) Visitor { return &logs[r.Partition] })
}

func TestReadAllReadsEachRangeOnce(t *testing.T) {
	for _, workers := range []int{1, 3, 100} {
		logs := make([]log, 10)
		if err := readAll(t, ranges(10), workers, logs); err != nil {
			t.Fatal(err)
		}
		for p := range logs {
			if !reflect.DeepEqual(logs[p].values, numbers(0, 23)) {
				t.Errorf("%d workers: partition %d got %v", workers, p, logs[p].values)
			}
		}
	}
}

// One partition's visitor ends the reading of the others, whether they are in
// the middle of a long poll or not begun yet.
func TestReadAllStopsAll(t *testing.T) {
	broken := errors.New("disk full")
	for _, cause := range []error{ErrStop, broken} {
		synctest.Test(t, func(t *testing.T) {
			spans := ranges(4)
			for i := range spans {
				spans[i].To = NoEnd
			}
			logs := make([]log, 4)
			logs[2].fail, logs[2].failAt = cause, 12
			err := readAll(t, spans, 4, logs)
			var want error
			if errors.Is(cause, broken) {
				want = broken
			}
			if !errors.Is(err, want) {
				t.Errorf("cause %v: error %v, want %v", cause, err, want)
			}
			if !reflect.DeepEqual(logs[2].values, numbers(0, 12)) || logs[2].pauses == 0 {
				t.Errorf("the one that stopped got %v, %d pauses", logs[2].values, logs[2].pauses)
			}
		})
	}
}

func TestReadAllOfNothing(t *testing.T) {
	if err := readAll(t, nil, 4, nil); err != nil {
		t.Error(err)
	}
}
