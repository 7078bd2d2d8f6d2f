// Package dynamo keeps rows in DynamoDB: the metadata store of an installation
// on AWS.
//
// Each kind of row has a table, <prefix>-<kind>, whose keys are attributes that
// the row has anyway. An item is the row's attributes and token, which tells
// one write from every other. Every write is conditional and every read is
// consistent. An operation is one request, however often it has to be sent.
//
// No table has a TTL attribute: of the rows that exist today there is none
// that may go by age (R10).
package dynamo

import (
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Options are what a Store needs beside AWS's own settings.
type Options struct {
	// TablePrefix begins the names of all tables.
	TablePrefix string
	// Observe, if set, is called after every request that was sent, each retry
	// included, from many goroutines at once. It must not block.
	Observe func(Request)
}

// Store is a meta.Store. It is safe for concurrent use.
type Store struct {
	client  *dynamodb.Client
	http    *transport // nil where the caller brought another client
	prefix  string
	region  string
	observe func(Request)
	times   times
}

// Open makes a store of the tables that begin with a prefix, without a
// request: Check sends the first ones. cfg comes from
// config.LoadDefaultConfig. Its retry settings do not count: the store has to
// know of each try what became of it.
func Open(cfg aws.Config, opts Options) (*Store, error) {
	if opts.TablePrefix == "" {
		return nil, errors.New("open the metadata store in DynamoDB: there is no table prefix")
	}
	if cfg.Region == "" {
		return nil, errors.New("open the metadata store in DynamoDB: there is no region: set AWS_REGION to that of the tables")
	}
	s := &Store{prefix: opts.TablePrefix, region: cfg.Region, observe: opts.Observe, times: defaultTimes}
	if s.observe == nil {
		s.observe = func(Request) {}
	}
	s.client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = aws.NopRetryer{}
		if b, ok := o.HTTPClient.(*awshttp.BuildableClient); ok {
			s.http = newTransport(b)
			o.HTTPClient = &http.Client{Transport: s.http, CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // DynamoDB never redirects
			}}
		}
	})
	return s, nil
}

// Close implements meta.Store.
func (s *Store) Close() error {
	if s.http != nil {
		s.http.http.CloseIdleConnections()
	}
	return nil
}

// table is the name of the table of a kind.
func (s *Store) table(kind meta.Kind) *string {
	return aws.String(s.prefix + "-" + string(kind))
}
