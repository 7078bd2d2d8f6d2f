package cost

import (
	"math"
	"testing"
)

func TestPrices(t *testing.T) {
	before := Requests{Puts: 5, Gets: 5, Lists: 5, Deletes: 5, RowReads: 5, RowWrites: 5, ReadUnits: 5, WriteUnits: 2.5}
	after := Count(map[string]uint64{
		"put": 1_000_005, "get": 2_000_005, "list": 1_000_005, "delete": 9_000_005, "read": 1005, "write": 1005,
	}, 4_000_005, 2_000_002.5)
	used := after.Minus(before)
	for p, want := range map[*Prices][2]float64{
		&Standard: {5.00 + 2*0.40 + 5.00, 4*0.125 + 2*0.625},
		&Express:  {1.13 + 2*0.03 + 1.13, 4*0.125 + 2*0.625},
	} {
		if got := p.S3(used); math.Abs(got-want[0]) > 1e-9 {
			t.Errorf("S3 = %v, want %v", got, want[0])
		}
		if got := p.DynamoDB(used); math.Abs(got-want[1]) > 1e-9 {
			t.Errorf("DynamoDB = %v, want %v", got, want[1])
		}
		if got, want := p.Total(used), p.S3(used)+p.DynamoDB(used); got != want {
			t.Errorf("total = %v, want %v", got, want)
		}
	}
	if (Count(nil, 0, 0) != Requests{}) {
		t.Error("counters that are not there must be 0")
	}
}
