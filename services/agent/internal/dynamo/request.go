package dynamo

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Operations of DynamoDB that a Store uses.
const (
	putItem    = "PutItem"
	getItem    = "GetItem"
	deleteItem = "DeleteItem"
	query      = "Query"
	scan       = "Scan"
)

// Request is one request to DynamoDB, and how it ended.
type Request struct {
	// Operation is DynamoDB's name for it, as PutItem.
	Operation string
	Kind      meta.Kind
	// Took is the time until the answer was read.
	Took time.Duration
	// ReadUnits and WriteUnits are the capacity units that are billed, as
	// DynamoDB reported them. Where it does not, of refused writes and where a
	// stand-in lacks it, they are computed from sizes: a read unit for each
	// 4 KB begun, a write unit for each KB begun.
	ReadUnits, WriteUnits float64
	// Throttled says that there was too much for the table or the account.
	Throttled bool
	// Refused says that a write's condition did not hold.
	Refused bool
	// Err is nil when DynamoDB did what it was asked for.
	Err error
}

// observed is a request that has just ended.
func observed(operation string, kind meta.Kind, start time.Time, err error) Request {
	_, refused := conditionFailed(err)
	return Request{
		Operation: operation, Kind: kind, Took: time.Since(start),
		Throttled: verdictOf(err) == throttled, Refused: refused, Err: err,
	}
}

// wrote reports a write; size is that of the larger of the items before and
// after it.
func (s *Store) wrote(r Request, reported *types.ConsumedCapacity, size func() int) {
	switch {
	case reported != nil:
		r.WriteUnits = aws.ToFloat64(reported.CapacityUnits)
	case r.Err == nil, r.Refused:
		r.WriteUnits = units(size(), 1<<10)
	}
	s.observe(r)
}

// read reports a read of items that have a size together.
func (s *Store) read(r Request, reported *types.ConsumedCapacity, size func() int) {
	switch {
	case reported != nil:
		r.ReadUnits = aws.ToFloat64(reported.CapacityUnits)
	case r.Err == nil:
		r.ReadUnits = units(size(), 4<<10)
	}
	s.observe(r)
}

// units counts each block that was begun, and at least one.
func units(size, block int) float64 {
	return float64(max(1, (size+block-1)/block))
}
