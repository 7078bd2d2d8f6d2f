package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Check tells whether every table is there, has the right keys, and lets this
// program do what it will do. It sends each table one request of each kind,
// none of which changes anything. Its error names each table that is missing
// or closed, and what to do.
func (s *Store) Check(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(meta.Kinds()))
	for n, kind := range meta.Kinds() {
		wg.Go(func() { errs[n] = s.checkTable(ctx, kind) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check the DynamoDB tables: %w", err)
	}
	return nil
}

func (s *Store) checkTable(ctx context.Context, kind meta.Kind) error {
	var denied []string
	var refusal error
	for _, p := range s.probes(kind) {
		_, err := s.try(ctx, s.times.row, p.send)
		if _, ok := conditionFailed(err); ok || err == nil {
			continue
		}
		if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != accessDenied {
			return s.explain(p.op, kind, s.explainKeys(kind, err))
		}
		denied, refusal = append(denied, p.op), err
	}
	if refusal == nil {
		return nil
	}
	return s.explain(strings.Join(denied, ", dynamodb:"), kind, refusal)
}

// explainKeys adds to the only fault that a probe can have: it does not fit the table.
func (s *Store) explainKeys(kind meta.Kind, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "ValidationException" {
		return fmt.Errorf("table %q is not one of StreamHouse: it has other keys, use another table prefix: %w", *s.table(kind), err)
	}
	return err
}

// probe is a request that changes nothing.
type probe struct {
	op   string
	send func(ctx context.Context) error
}

// probes make their writes on a condition that never holds: no row has
// version 0.
func (s *Store) probes(kind meta.Kind) []probe {
	keys, _ := schemaOf(kind) // of a kind of meta.Kinds
	key, never := keys.key(meta.Key{Hash: "0"}), attributes{":v": number(0)}
	table, condition := s.table(kind), aws.String(sameVersion)
	return []probe{
		{getItem, func(ctx context.Context) error {
			_, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: key, ConsistentRead: aws.Bool(true)})
			return err
		}},
		{query, func(ctx context.Context) error {
			_, err := s.client.Query(ctx, &dynamodb.QueryInput{
				TableName: table, Limit: aws.Int32(1), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#h = :h"),
				ExpressionAttributeNames:  map[string]string{"#h": keys.hash},
				ExpressionAttributeValues: attributes{":h": keys.hashValue("0")},
			})
			return err
		}},
		{scan, func(ctx context.Context) error {
			_, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: table, Limit: aws.Int32(1), ConsistentRead: aws.Bool(true)})
			return err
		}},
		{putItem, func(ctx context.Context) error {
			_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
				TableName: table, Item: key, ConditionExpression: condition,
				ExpressionAttributeNames: versionName, ExpressionAttributeValues: never,
			})
			return err
		}},
		{deleteItem, func(ctx context.Context) error {
			_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: table, Key: key, ConditionExpression: condition,
				ExpressionAttributeNames: versionName, ExpressionAttributeValues: never,
			})
			return err
		}},
	}
}
