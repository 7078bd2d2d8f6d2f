// Package cost tells what an agent's requests to its stores would cost on AWS.
package cost

// List prices of us-east-1 as of 2025, in US dollars per million. Deletes of
// objects cost nothing.
const (
	// PutPrice is for S3 Standard PUT and LIST requests.
	PutPrice = 5.00
	// GetPrice is for S3 Standard GET requests.
	GetPrice = 0.40
	// WritePrice is for DynamoDB write request units on demand, 1 KB each.
	WritePrice = 0.625
	// ReadPrice is for DynamoDB read request units on demand: a consistent
	// read of up to 4 KB.
	ReadPrice = 0.125
)

// Prices names where the constants come from.
const Prices = "us-east-1 list prices as of 2025"

const million = 1e6

// Requests counts requests to the stores by kind. A write is counted as one
// request unit: a row of fewer than 30 partitions is below 1 KB.
type Requests struct {
	Puts, Gets, Lists, Deletes uint64
	RowReads, RowWrites        uint64
}

// FromStats reads the counters as AgentService.GetStats names them.
func FromStats(byKind map[string]uint64) Requests {
	return Requests{
		Puts: byKind["put"], Gets: byKind["get"], Lists: byKind["list"], Deletes: byKind["delete"],
		RowReads: byKind["read"], RowWrites: byKind["write"],
	}
}

// Minus is what was requested since an earlier count.
func (r Requests) Minus(earlier Requests) Requests {
	return Requests{
		Puts: r.Puts - earlier.Puts, Gets: r.Gets - earlier.Gets,
		Lists: r.Lists - earlier.Lists, Deletes: r.Deletes - earlier.Deletes,
		RowReads: r.RowReads - earlier.RowReads, RowWrites: r.RowWrites - earlier.RowWrites,
	}
}

// S3 is the price of the requests to S3 in US dollars.
func (r Requests) S3() float64 {
	return (float64(r.Puts+r.Lists)*PutPrice + float64(r.Gets)*GetPrice) / million
}

// DynamoDB is the price of the requests to DynamoDB in US dollars.
func (r Requests) DynamoDB() float64 {
	return (float64(r.RowWrites)*WritePrice + float64(r.RowReads)*ReadPrice) / million
}

// Total is the price of all requests in US dollars.
func (r Requests) Total() float64 { return r.S3() + r.DynamoDB() }
