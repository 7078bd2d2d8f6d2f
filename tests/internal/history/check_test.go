package history

import (
	"slices"
	"testing"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// honest is a history of two producers and two partitions with all that may
// happen, and a log that agrees with it. Of producer 1's records to partition
// 0, number 2 failed as unknown and is there late, number 3 as not done.
func honest() (*History, Log) {
	h, log := New(), Log{}
	put := func(id ID, state state) {
		offset := uint64(len(log[id.Partition]))
		switch state {
		case acked:
			h.Acked(id, offset)
		case unknown:
			h.Failed(id, producer.Unknown)
		case notDone:
			h.Failed(id, producer.NotDone)
			return
		case pending:
		}
		parsed, err := Parse(id.Value(40))
		log[id.Partition] = append(log[id.Partition], Entry{Offset: offset, ID: parsed, Err: err})
	}
	for range 2 {
		put(h.Send(1, 0), acked)
		put(h.Send(2, 0), acked)
		put(h.Send(2, 1), acked)
	}
	late := h.Send(1, 0)
	put(h.Send(1, 0), notDone)
	put(h.Send(1, 0), acked)
	put(late, unknown)
	put(h.Send(2, 1), pending)
	h.Failed(h.Send(2, 1), producer.Unknown) // and it is not in the log
	return h, log
}

func kinds(violations []Violation) []Kind {
	var all []Kind
	for _, v := range violations {
		all = append(all, v.Kind)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestCheckAcceptsAnHonestLog(t *testing.T) {
	h, log := honest()
	if got := h.Check(log); len(got) > 0 {
		t.Errorf("violations in a log without fault: %v", got)
	}
	want := Counts{Sent: 11, Acked: 7, Unknown: 2, NotDone: 1}
	if got := h.Counts(); got != want || got.Pending() != 1 {
		t.Errorf("counts are %v, want %v and 1 open", got, want)
	}
	if got := log.Records(); got != 9 {
		t.Errorf("%d records, want 9", got)
	}
}

// What retention let go is not missed, and nothing else is forgiven.
func TestCheckFrom(t *testing.T) {
	h, log := honest()
	log[0] = log[0][2:]
	starts := map[uint32]uint64{0: 2}
	if got := h.CheckFrom(log, starts); len(got) > 0 {
		t.Errorf("violations in a log that begins at offset 2: %v", got)
	}
	if got := kinds(h.CheckFrom(log, map[uint32]uint64{0: 1})); !slices.Equal(got, []Kind{Gap, Lost}) {
		t.Errorf("in a log that lacks its first record there are %v", got)
	}
	log[0] = log[0][:1]
	if got := kinds(h.CheckFrom(log, starts)); !slices.Equal(got, []Kind{Lost}) {
		t.Errorf("in a log that lacks its end there are %v", got)
	}
}

// A checker that finds nothing proves nothing: each fault is planted, and must
// be found as what it is.
func TestCheckFindsPlantedFaults(t *testing.T) {
	renumber := func(entries []Entry) []Entry {
		for i := range entries {
			entries[i].Offset = uint64(i)
		}
		return entries
	}
	tests := map[string]struct {
		plant func(h *History, log Log)
		want  []Kind
	}{
		"last record lost": {
			func(_ *History, log Log) { log[1] = log[1][:1] }, []Kind{Lost},
		},
		"record lost, offsets closed up": {
			func(_ *History, log Log) { log[0] = renumber(slices.Delete(log[0], 1, 2)) }, []Kind{Lost, Misplaced},
		},
		"record lost, hole left": {
			func(_ *History, log Log) { log[0] = slices.Delete(log[0], 1, 2) }, []Kind{Gap, Lost},
		},
		"whole partition lost": {
			func(_ *History, log Log) { delete(log, 1) }, []Kind{Lost},
		},
		"acknowledged record doubled": {
			func(_ *History, log Log) { log[0] = renumber(append(log[0], log[0][0])) }, []Kind{Doubled},
		},
		"record of unknown outcome doubled": {
			func(_ *History, log Log) { log[0] = renumber(append(log[0], log[0][len(log[0])-1])) }, []Kind{Doubled},
		},
		"two records of one producer swapped": {
			func(_ *History, log Log) {
				log[0][0].ID, log[0][2].ID = log[0][2].ID, log[0][0].ID
			}, []Kind{Disordered, Misplaced},
		},
		"two records swapped, and acknowledged so": {
			func(h *History, _ Log) {
				f := h.mu.series[series{1, 0}]
				f[0].offset, f[1].offset = f[1].offset, f[0].offset
			}, []Kind{Misplaced},
		},
		"sent in one order, appended and acknowledged in another": {
			func(h *History, log Log) {
				f := h.mu.series[series{1, 0}]
				f[0].offset, f[1].offset = f[1].offset, f[0].offset
				log[0][0].ID, log[0][2].ID = log[0][2].ID, log[0][0].ID
			}, []Kind{Disordered},
		},
		"acknowledged at a wrong offset": {
			func(h *History, _ Log) { h.mu.series[series{2, 0}][1].offset++ }, []Kind{Misplaced},
		},
		"offset skipped": {
			func(_ *History, log Log) { log[1][len(log[1])-1].Offset++ }, []Kind{Gap},
		},
		"record there that was said not to be": {
			func(_ *History, log Log) {
				log[0] = append(log[0], Entry{Offset: uint64(len(log[0])), ID: ID{1, 0, 3}})
			}, []Kind{Undead},
		},
		"record that nobody sent": {
			func(_ *History, log Log) {
				log[1] = append(log[1], Entry{Offset: uint64(len(log[1])), ID: ID{2, 1, 99}})
			}, []Kind{Foreign},
		},
		"record in another partition as well": {
			func(_ *History, log Log) {
				log[1] = append(log[1], Entry{Offset: uint64(len(log[1])), ID: ID{1, 0, 0}})
			}, []Kind{Foreign},
		},
		"damaged value": {
			func(_ *History, log Log) { log[0][1].Err = errDamaged }, []Kind{Foreign, Lost},
		},
		"two acknowledgements": {
			func(h *History, _ Log) { h.Acked(ID{1, 0, 0}, 0) }, []Kind{Contradicted},
		},
		"acknowledgement after a failure": {
			func(h *History, _ Log) { h.Acked(ID{1, 0, 3}, 7) }, []Kind{Contradicted},
		},
		"acknowledgement of what was never sent": {
			func(h *History, _ Log) { h.Acked(ID{7, 0, 0}, 7) }, []Kind{Contradicted},
		},
		"acknowledgement for another partition": {
			func(h *History, _ Log) { h.Callback(h.Send(1, 0))(producer.Ack{Partition: 1}, nil) }, []Kind{Contradicted},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h, log := honest()
			test.plant(h, log)
			if got := kinds(h.Check(log)); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v: %v", got, test.want, h.Check(log))
			}
		})
	}
}

// Any flipped bit and any cut of a value must show.
func TestParseFindsDamage(t *testing.T) {
	id := ID{Producer: 3, Partition: 17, Number: 1 << 40}
	for _, size := range []int{0, MinValue, MinValue + 1, 100} {
		value := id.Value(size)
		if len(value) != max(size, MinValue) {
			t.Fatalf("value has %d bytes, want %d", len(value), max(size, MinValue))
		}
		if got, err := Parse(value); got != id || err != nil {
			t.Fatalf("Parse = %v, %v, want %v", got, err, id)
		}
		for bit := range len(value) * 8 {
			value[bit/8] ^= 1 << (bit % 8)
			if got, err := Parse(value); err == nil && got == id {
				t.Errorf("size %d: bit %d flipped, and not seen", size, bit)
			}
			value[bit/8] ^= 1 << (bit % 8)
		}
	}
	if _, err := Parse(id.Value(MinValue)[:MinValue-1]); err == nil {
		t.Error("a value that was cut off was not seen")
	}
}
