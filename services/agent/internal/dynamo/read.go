package dynamo

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Get implements meta.Store.
func (s *Store) Get(ctx context.Context, row meta.Row) error {
	item, err := s.item(ctx, row)
	if err == nil && len(item) == 0 {
		err = meta.ErrNotFound
	}
	if err != nil {
		return refused("get", row, err)
	}
	stored, err := decode(row.Kind(), item)
	if err != nil {
		return refused("get", row, err)
	}
	meta.Assign(row, stored)
	return nil
}

// item reads the item with row's key; none is empty.
func (s *Store) item(ctx context.Context, row meta.Row) (attributes, error) {
	kind := row.Kind()
	keys, err := schemaOf(kind)
	if err != nil {
		return nil, err
	}
	in := &dynamodb.GetItemInput{
		TableName: s.table(kind), Key: keys.key(row.Key()), ConsistentRead: aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
	var out *dynamodb.GetItemOutput
	_, err = s.try(ctx, s.times.row, func(ctx context.Context) error {
		var capacity *types.ConsumedCapacity
		var err error
		start := time.Now()
		if out, err = s.client.GetItem(ctx, in); err == nil {
			capacity = out.ConsumedCapacity
		}
		s.read(observed(getItem, kind, start, err), capacity, func() int { return itemSize(out.Item) })
		return err
	})
	if err != nil {
		return nil, s.explain(getItem, kind, err)
	}
	return out.Item, nil
}

// indexPage is how many rows of the index are read by one request: readers want
// the next few, not a log's whole index.
const indexPage = 32

// Query implements meta.Store. A request reads up to 1 MB, some 256 read
// units, which is all that is in memory at a time.
func (s *Store) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	in := &dynamodb.QueryInput{
		TableName: s.table(kind), ConsistentRead: aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
	keys, err := schemaOf(kind)
	if err != nil {
		return failed(err)
	}
	in.KeyConditionExpression = aws.String("#h = :h")
	in.ExpressionAttributeNames = map[string]string{"#h": keys.hash}
	in.ExpressionAttributeValues = attributes{":h": keys.hashValue(hash)}
	switch {
	case keys.rng != "":
		in.KeyConditionExpression = aws.String("#h = :h AND #r >= :r")
		in.ExpressionAttributeNames["#r"] = keys.rng
		in.ExpressionAttributeValues[":r"] = number(from)
	case from > 0: // all ranges are 0
		return func(func(meta.Row, error) bool) {}
	}
	if kind == meta.Index {
		in.Limit = aws.Int32(indexPage)
	}
	return s.pages(ctx, query, kind, func(ctx context.Context, start attributes) (page, error) {
		in := *in // the caller may go through the rows twice
		in.ExclusiveStartKey = start
		out, err := s.client.Query(ctx, &in)
		if err != nil {
			return page{}, err
		}
		return page{out.Items, out.LastEvaluatedKey, out.ConsumedCapacity}, nil
	})
}

// Scan implements meta.Store.
func (s *Store) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	in := &dynamodb.ScanInput{
		TableName: s.table(kind), ConsistentRead: aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
	if _, err := schemaOf(kind); err != nil {
		return failed(err)
	}
	return s.pages(ctx, scan, kind, func(ctx context.Context, start attributes) (page, error) {
		in := *in // the caller may go through the rows twice
		in.ExclusiveStartKey = start
		out, err := s.client.Scan(ctx, &in)
		if err != nil {
			return page{}, err
		}
		return page{out.Items, out.LastEvaluatedKey, out.ConsumedCapacity}, nil
	})
}

func failed(err error) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) { yield(nil, err) }
}

// page is what one request read, and where the next one goes on.
type page struct {
	items    []attributes
	next     attributes
	capacity *types.ConsumedCapacity
}

func (p page) size() int {
	n := 0
	for _, item := range p.items {
		n += itemSize(item)
	}
	return n
}

func (s *Store) pages(ctx context.Context, op string, kind meta.Kind, read func(context.Context, attributes) (page, error)) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		var from attributes
		for {
			var p page
			_, err := s.try(ctx, s.times.page, func(ctx context.Context) (err error) {
				start := time.Now()
				p, err = read(ctx, from)
				s.read(observed(op, kind, start, err), p.capacity, p.size)
				return err
			})
			if err != nil {
				yield(nil, fmt.Errorf("read %s rows: %w", kind, s.explain(op, kind, err)))
				return
			}
			for _, item := range p.items {
				row, err := decode(kind, item)
				if err != nil {
					yield(nil, fmt.Errorf("read %s rows: %w", kind, err))
					return
				}
				if !yield(row, nil) {
					return
				}
			}
			if from = p.next; len(from) == 0 {
				return
			}
		}
	}
}
