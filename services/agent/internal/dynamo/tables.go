package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// TableOptions are properties of new tables.
type TableOptions struct {
	// DeletionProtection makes DynamoDB refuse to delete the tables until it is
	// switched off.
	DeletionProtection bool
	// PointInTimeRecovery keeps 35 days of changes, to restore a table from.
	// A restored table lacks what was committed after its point in time, and
	// forks the log.
	PointInTimeRecovery bool
}

// CreateTables makes the tables that are missing, on demand, and waits until
// all can be used. A table that is there is left as it is, but has to have
// the right keys.
func (s *Store) CreateTables(ctx context.Context, opts TableOptions) error {
	var wg sync.WaitGroup
	errs := make([]error, len(meta.Kinds()))
	for n, kind := range meta.Kinds() {
		wg.Go(func() {
			if err := s.createTable(ctx, kind, opts); err != nil {
				errs[n] = fmt.Errorf("create table %q: %w", *s.table(kind), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Store) createTable(ctx context.Context, kind meta.Kind, opts TableOptions) error {
	keys, err := schemaOf(kind)
	if err != nil {
		return err
	}
	_, err = s.try(ctx, s.times.page, func(ctx context.Context) error {
		_, err := s.client.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName: s.table(kind), BillingMode: types.BillingModePayPerRequest,
			KeySchema: keys.elements(), AttributeDefinitions: keys.definitions(),
			DeletionProtectionEnabled: aws.Bool(opts.DeletionProtection),
		})
		return err
	})
	_, stood := errors.AsType[*types.ResourceInUseException](err)
	if err != nil && !stood { // it stood before, or our first try made it
		return err
	}
	if err := s.awaitTable(ctx, kind, keys); err != nil {
		return err
	}
	if !opts.PointInTimeRecovery || stood {
		return nil
	}
	return s.keepChanges(ctx, kind)
}

// How long a table may take. DynamoDB needs some 5 to 10 s.
const tableWait = 2 * time.Minute

func (s *Store) awaitTable(ctx context.Context, kind meta.Kind, keys schema) error {
	waiter := dynamodb.NewTableExistsWaiter(s.client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = s.times.first, s.times.most
	})
	out, err := waiter.WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: s.table(kind)}, tableWait)
	if err != nil {
		return fmt.Errorf("wait until it is active: %w", err)
	}
	if !sameKeys(out.Table, keys) {
		return errors.New("it is there and has other keys: use another table prefix")
	}
	return nil
}

// keepChanges switches point-in-time recovery on. A new table refuses that for
// a few seconds.
func (s *Store) keepChanges(ctx context.Context, kind meta.Kind) error {
	ctx, cancel := context.WithTimeout(ctx, tableWait)
	defer cancel()
	for {
		_, err := s.try(ctx, s.times.page, func(ctx context.Context) error {
			_, err := s.client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
				TableName:                        s.table(kind),
				PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
			})
			return err
		})
		_, early := errors.AsType[*types.ContinuousBackupsUnavailableException](err)
		if err == nil || !early || sleep(ctx, s.times.most) != nil {
			return err
		}
	}
}

func (s schema) elements() []types.KeySchemaElement {
	elements := []types.KeySchemaElement{{AttributeName: aws.String(s.hash), KeyType: types.KeyTypeHash}}
	if s.rng != "" {
		elements = append(elements, types.KeySchemaElement{AttributeName: aws.String(s.rng), KeyType: types.KeyTypeRange})
	}
	return elements
}

func (s schema) definitions() []types.AttributeDefinition {
	definitions := []types.AttributeDefinition{{AttributeName: aws.String(s.hash), AttributeType: s.hashType}}
	if s.rng != "" {
		definitions = append(definitions, types.AttributeDefinition{AttributeName: aws.String(s.rng), AttributeType: types.ScalarAttributeTypeN})
	}
	return definitions
}

func sameKeys(table *types.TableDescription, keys schema) bool {
	same := func(a, b types.KeySchemaElement) bool {
		return aws.ToString(a.AttributeName) == aws.ToString(b.AttributeName) && a.KeyType == b.KeyType
	}
	if !slices.EqualFunc(table.KeySchema, keys.elements(), same) {
		return false
	}
	for _, want := range keys.definitions() {
		if !slices.ContainsFunc(table.AttributeDefinitions, func(d types.AttributeDefinition) bool {
			return aws.ToString(d.AttributeName) == *want.AttributeName && d.AttributeType == want.AttributeType
		}) {
			return false
		}
	}
	return true
}

// DeleteTables removes all tables, with the rows in them. One that is not there
// is gone already.
func (s *Store) DeleteTables(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(meta.Kinds()))
	for n, kind := range meta.Kinds() {
		wg.Go(func() {
			_, err := s.try(ctx, s.times.page, func(ctx context.Context) error {
				_, err := s.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: s.table(kind)})
				return err
			})
			if _, gone := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !gone {
				errs[n] = fmt.Errorf("delete table %q: %w", *s.table(kind), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
