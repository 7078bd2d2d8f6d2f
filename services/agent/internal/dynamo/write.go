package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Conditions. Every row has a version, and none has version 0.
const (
	absent      = "attribute_not_exists(#v)"
	sameVersion = "#v = :v"
)

// versionName is shared by all requests, which do not change it.
var versionName = map[string]string{"#v": attrVersion}

// errOverwritten is the outcome that cannot be known: an answer was lost, and
// what stands now may have replaced our own write, or kept it out.
var errOverwritten = errors.New("an answer was lost, and others have written since: it may have happened or not")

// Create implements meta.Store.
func (s *Store) Create(ctx context.Context, row meta.Row) error {
	return s.put(ctx, "create", row, 0, meta.ErrExists)
}

// Swap implements meta.Store.
func (s *Store) Swap(ctx context.Context, row meta.Row) error {
	version := row.Head().Version
	if version == 0 {
		return refused("swap", row, meta.ErrConflict) // no stored row has it
	}
	return s.put(ctx, "swap", row, version, meta.ErrConflict)
}

// put replaces the version old of row, or creates row if old is 0.
func (s *Store) put(ctx context.Context, verb string, row meta.Row, old uint64, refusal error) error {
	head := meta.Header{Version: old + 1, Format: max(row.Head().Format, meta.Format)}
	token := newToken()
	item, err := encode(row, head, token)
	if err != nil {
		return refused(verb, row, err)
	}
	in := &dynamodb.PutItemInput{
		TableName: s.table(row.Kind()), Item: item,
		ConditionExpression: aws.String(absent), ExpressionAttributeNames: versionName,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if old > 0 {
		in.ConditionExpression = aws.String(sameVersion)
		in.ExpressionAttributeValues = attributes{":v": number(old)}
	}
	doubt, err := s.try(ctx, s.times.row, func(ctx context.Context) error { return s.putItem(ctx, row.Kind(), in) })
	if failed, ok := conditionFailed(err); ok {
		err = s.settlePut(ctx, row, failed.Item, doubt, standing{head.Version, string(token)}, refusal)
	}
	if err != nil {
		return refused(verb, row, s.explain(putItem, row.Kind(), err))
	}
	*row.Head() = head
	return nil
}

func (s *Store) putItem(ctx context.Context, kind meta.Kind, in *dynamodb.PutItemInput) error {
	var capacity *types.ConsumedCapacity
	start := time.Now()
	out, err := s.client.PutItem(ctx, in)
	if err == nil {
		capacity = out.ConsumedCapacity
	}
	s.wrote(observed(putItem, kind, start, err), capacity, func() int { return max(itemSize(in.Item), foundSize(err)) })
	return err
}

// settlePut says what came of a write that was refused. Its token tells: a
// write that was refused because of what an earlier try of it did has
// happened (R3).
//
// Without a lost answer any other refusal is one. With one, it is when our
// version is taken by another's write, for then ours can neither have happened
// nor happen any more: versions only rise. But a later version, or no row,
// says nothing: another may have replaced our row, or removed it. That stays
// an unknown outcome. To call it a conflict would say that a release (R6) or a
// checkpoint (R11) did not happen which did, and to call it a success that it
// still stands; the caller has to read the row.
//
// All this, and every compare-and-set, takes for granted that a row which was
// removed is not created again under its key: it would start at version 1
// again, and a late write could hit it (see DESIGN.md, Rows).
func (s *Store) settlePut(ctx context.Context, row meta.Row, found attributes, doubt bool, ours standing, refusal error) error {
	if doubt && len(found) == 0 {
		var err error // there is no row, or a server that does not show it
		if found, err = s.item(ctx, row); err != nil {
			return fmt.Errorf("%w: %w", errOverwritten, err)
		}
	}
	now := standingOf(found)
	switch {
	case now != nil && *now == ours:
		return nil
	case !doubt, now != nil && now.version == ours.version:
		return refusal
	default:
		return errOverwritten
	}
}

// Delete implements meta.Store.
func (s *Store) Delete(ctx context.Context, row meta.Row) error {
	version := row.Head().Version
	if version == 0 {
		return refused("delete", row, meta.ErrConflict)
	}
	keys, err := schemaOf(row.Kind())
	if err != nil {
		return refused("delete", row, err)
	}
	in := &dynamodb.DeleteItemInput{
		TableName: s.table(row.Kind()), Key: keys.key(row.Key()),
		ConditionExpression: aws.String(sameVersion), ExpressionAttributeNames: versionName,
		ExpressionAttributeValues:           attributes{":v": number(version)},
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	doubt, err := s.try(ctx, s.times.row, func(ctx context.Context) error { return s.deleteItem(ctx, row, in) })
	if failed, ok := conditionFailed(err); ok {
		err = s.settleDelete(ctx, row, failed.Item, doubt)
	}
	if err != nil {
		return refused("delete", row, s.explain(deleteItem, row.Kind(), err))
	}
	return nil
}

func (s *Store) deleteItem(ctx context.Context, row meta.Row, in *dynamodb.DeleteItemInput) error {
	var capacity *types.ConsumedCapacity
	start := time.Now()
	out, err := s.client.DeleteItem(ctx, in)
	if err == nil {
		capacity = out.ConsumedCapacity
	}
	s.wrote(observed(deleteItem, row.Kind(), start, err), capacity, func() int {
		if err != nil {
			return foundSize(err)
		}
		item, _ := encode(row, *row.Head(), nil) // it was stored, so it can be encoded
		return itemSize(item)
	})
	return err
}

// settleDelete says what came of a removal that was refused. A row that is
// gone after a lost answer is what was asked for, and nobody can tell by whose
// hand: a removal has no token. A later version is another's, written before
// our removal could happen. An earlier one was created after somebody's
// removal, perhaps ours.
func (s *Store) settleDelete(ctx context.Context, row meta.Row, found attributes, doubt bool) error {
	if !doubt {
		return meta.ErrConflict
	}
	if len(found) == 0 {
		var err error
		if found, err = s.item(ctx, row); err != nil {
			return fmt.Errorf("%w: %w", errOverwritten, err)
		}
	}
	switch now := standingOf(found); {
	case now == nil:
		return nil
	case now.version > row.Head().Version:
		return meta.ErrConflict
	default:
		return errOverwritten
	}
}

// foundSize is the size of the item on which a condition failed.
func foundSize(err error) int {
	if failed, ok := conditionFailed(err); ok {
		return itemSize(failed.Item)
	}
	return 0
}

func refused(verb string, row meta.Row, err error) error {
	return fmt.Errorf("%s %s row %v: %w", verb, row.Kind(), row.Key(), err)
}
