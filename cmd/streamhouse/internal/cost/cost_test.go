package cost

import (
	"math"
	"testing"
)

func TestPrices(t *testing.T) {
	before := Requests{Puts: 5, Gets: 5, Lists: 5, Deletes: 5, RowReads: 5, RowWrites: 5}
	after := FromStats(map[string]uint64{
		"put": 1_000_005, "get": 2_000_005, "list": 1_000_005, "delete": 9_000_005, "read": 4_000_005, "write": 2_000_005,
	})
	used := after.Minus(before)
	if got, want := used.S3(), 5.00+2*0.40+5.00; math.Abs(got-want) > 1e-9 {
		t.Errorf("S3 = %v, want %v", got, want)
	}
	if got, want := used.DynamoDB(), 4*0.125+2*0.625; math.Abs(got-want) > 1e-9 {
		t.Errorf("DynamoDB = %v, want %v", got, want)
	}
	if got, want := used.Total(), used.S3()+used.DynamoDB(); got != want {
		t.Errorf("total = %v, want %v", got, want)
	}
	if (FromStats(nil) != Requests{}) {
		t.Error("counters that are not there must be 0")
	}
}
