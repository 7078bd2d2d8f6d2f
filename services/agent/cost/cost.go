// Package cost tells what an agent's requests to its stores cost on AWS.
package cost

// Prices are list prices in US dollars, per million requests or units.
type Prices struct {
	// Source says where and when they are from.
	Source string
	// Put is for PUT requests, List for LIST, Get for GET; deletes are free.
	Put, List, Get float64
	// Write is for DynamoDB write request units on demand, 1 KB each; Read for
	// read request units, each a consistent read of up to 4 KB.
	Write, Read float64
}

// Standard is for S3 Standard.
var Standard = Prices{
	Source: "us-east-1 list prices as of 2025",
	Put:    5.00, List: 5.00, Get: 0.40,
	Write: 0.625, Read: 0.125,
}

// Express is for S3 Express One Zone, which bills for what is sent and fetched
// as well: $0.0032 and $0.0006 for a GB, and those are not in it.
var Express = Prices{
	Source: "us-east-1 list prices as of 2025, without S3 Express's price of $0.0032 for a GB written and $0.0006 for a GB read",
	Put:    1.13, List: 1.13, Get: 0.03,
	Write: 0.625, Read: 0.125,
}

// Requests are counts of requests to the stores by kind, and of the capacity
// units that DynamoDB bills for those of rows.
type Requests struct {
	Puts, Gets, Lists, Deletes uint64
	RowReads, RowWrites        uint64
	ReadUnits, WriteUnits      float64
}

// Count reads the counters as AgentService.GetStats names them.
func Count(byKind map[string]uint64, readUnits, writeUnits float64) Requests {
	return Requests{
		Puts: byKind["put"], Gets: byKind["get"], Lists: byKind["list"], Deletes: byKind["delete"],
		RowReads: byKind["read"], RowWrites: byKind["write"],
		ReadUnits: readUnits, WriteUnits: writeUnits,
	}
}

// Minus is what was requested since an earlier count.
func (r Requests) Minus(earlier Requests) Requests {
	return Requests{
		Puts: r.Puts - earlier.Puts, Gets: r.Gets - earlier.Gets,
		Lists: r.Lists - earlier.Lists, Deletes: r.Deletes - earlier.Deletes,
		RowReads: r.RowReads - earlier.RowReads, RowWrites: r.RowWrites - earlier.RowWrites,
		ReadUnits: r.ReadUnits - earlier.ReadUnits, WriteUnits: r.WriteUnits - earlier.WriteUnits,
	}
}

const million = 1e6

// S3 is the price of the requests to S3 in US dollars.
func (p Prices) S3(r Requests) float64 {
	return (float64(r.Puts)*p.Put + float64(r.Lists)*p.List + float64(r.Gets)*p.Get) / million
}

// DynamoDB is the price of the requests to DynamoDB in US dollars.
func (p Prices) DynamoDB(r Requests) float64 {
	return (r.WriteUnits*p.Write + r.ReadUnits*p.Read) / million
}

// Total is the price of all requests in US dollars.
func (p Prices) Total(r Requests) float64 { return p.S3(r) + p.DynamoDB(r) }
