package demo

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
)

func TestContentFollowsFromSeedAndIndex(t *testing.T) {
	c := content{seed: 7, size: 100}
	seen := map[string]bool{}
	var buf []byte
	for i := range uint64(20_000) {
		var key, value []byte
		key, value, buf = c.fill(buf, i)
		if len(key) != keySize || len(key)+len(value) != c.size || !strings.HasPrefix(string(key), "key-") {
			t.Fatalf("record %d: key %q and %d bytes of value", i, key, len(value))
		}
		if got, err := indexOf(value); err != nil || got != i {
			t.Fatalf("record %d: index %d, error %v", i, got, err)
		}
		if seen[string(value)] {
			t.Fatalf("record %d: value is not its own", i)
		}
		seen[string(value)] = true
		if _, err := c.difference(nil, i, bytes.Clone(key), bytes.Clone(value)); err != nil {
			t.Fatal(err)
		}
	}
	other := content{seed: 8, size: 100}
	_, value, _ := other.fill(nil, 3)
	if seen[string(value)] {
		t.Error("another seed makes the same content: records of an older run would pass")
	}
}

// run is what was sent: records 0 to 5, the even ones to partition 0.
func run() (*content, []place) {
	acks := make([]place, 6)
	for i := range acks {
		acks[i] = placeOf(uint32(i%2), uint64(i/2))
	}
	return &content{seed: 1, size: 50}, acks
}

func at(c *content, i, offset uint64) record.Record {
	key, value, _ := c.fill(nil, i)
	return record.Record{Offset: offset, Key: key, Value: value}
}

func TestCheckerPassesWhatWasSent(t *testing.T) {
	c, acks := run()
	var verified atomic.Int64
	check := newChecker(c, acks, &verified, 0)
	for i := range uint64(3) {
		r := at(c, 2*i, i)
		if err := check.Visit(&r); err != nil {
			t.Fatal(err)
		}
	}
	if verified.Load() != 3 {
		t.Errorf("verified %d", verified.Load())
	}
}

// The demo is a proof only if each of these faults ends it.
func TestCheckerFindsFaults(t *testing.T) {
	c, acks := run()
	swapped := append([]place(nil), acks...)
	swapped[0], swapped[2] = swapped[2], swapped[0]
	tests := map[string]struct {
		acks    []place
		records func() []record.Record
		want    string
	}{
		"hole":           {acks, func() []record.Record { return []record.Record{at(c, 0, 0), at(c, 4, 2)} }, "offset 1 was due"},
		"doubled":        {acks, func() []record.Record { return []record.Record{at(c, 0, 0), at(c, 0, 1)} }, "was acknowledged for partition 0, offset 0"},
		"other place":    {acks, func() []record.Record { return []record.Record{at(c, 1, 0)} }, "was acknowledged for partition 1, offset 0"},
		"out of order":   {swapped, func() []record.Record { return []record.Record{at(c, 2, 0), at(c, 0, 1)} }, "record 0 comes after record 2"},
		"never sent":     {acks, func() []record.Record { return []record.Record{at(c, 6, 0)} }, "never sent"},
		"not acked":      {[]place{nowhere}, func() []record.Record { return []record.Record{at(c, 0, 0)} }, "acknowledged for nowhere"},
		"other content":  {acks, func() []record.Record { r := at(c, 0, 0); r.Value[20] ^= 1; return []record.Record{r} }, "from byte 20"},
		"other key":      {acks, func() []record.Record { r := at(c, 0, 0); r.Key = []byte("k"); return []record.Record{r} }, "has the key"},
		"cut short":      {acks, func() []record.Record { r := at(c, 0, 0); r.Value = r.Value[:30]; return []record.Record{r} }, "30 bytes of value"},
		"foreign record": {acks, func() []record.Record { return []record.Record{{Value: []byte("x")}} }, "none of this demo's"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var verified atomic.Int64
			check := newChecker(c, tt.acks, &verified, 0)
			var err error
			for _, r := range tt.records() {
				if err = check.Visit(&r); err != nil {
					break
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
