package producer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/streamhouse/streamhouse/libs/producer/internal/quota"
	"github.com/streamhouse/streamhouse/proto/batch"
)

// config is what the options set.
type config struct {
	topic       string
	partitioner Partitioner
	zone        string

	batch          BatchPolicy
	adaptiveLinger bool
	compression    Codec

	maxBufferedRecords int
	maxBufferedBytes   int
	failWhenFull       bool

	connections      int
	maxInFlight      int
	maxInFlightBytes int

	retry            RetryPolicy
	retryRatio       float64
	retriesPerSecond float64 // 0 for no budget
	hedgeAfter       time.Duration
	hedgeRatio       float64 // 0 for no hedging
	deliveryTimeout  time.Duration
	requestTimeout   time.Duration
	dialTimeout      time.Duration
	metadataMaxAge   time.Duration
	breaker          CircuitBreakerPolicy

	tls         *tls.Config
	serverName  string
	plaintext   bool
	perRPC      []credentials.PerRPCCredentials
	dialOptions []grpc.DialOption
	log         *slog.Logger
	hooks       hooks
}

// agentWindow is how many batches of a producer an agent remembers per
// partition, and so the most that may be in flight.
const agentWindow = 128

// largestRecord is the RecordSize that still fits a batch by itself.
const largestRecord = batch.MaxSize - batch.HeaderSize

// maxRate bounds what a budget gives per second to what has a use.
const maxRate = 1e6

func defaultConfig() config {
	return config{
		partitioner:        ByKey(),
		batch:              DefaultBatchPolicy(),
		compression:        S2,
		maxBufferedRecords: 1 << 20,
		maxBufferedBytes:   64 << 20,
		connections:        1,
		maxInFlight:        agentWindow,
		maxInFlightBytes:   64 << 20,
		retry:              DefaultRetryPolicy(),
		retryRatio:         0.2,
		retriesPerSecond:   10,
		hedgeAfter:         time.Second,
		hedgeRatio:         0.02,
		deliveryTimeout:    2 * time.Minute,
		requestTimeout:     30 * time.Second,
		dialTimeout:        10 * time.Second,
		breaker:            DefaultCircuitBreakerPolicy(),
		metadataMaxAge:     5 * time.Minute,
		plaintext:          true,
		log:                slog.New(slog.DiscardHandler),
	}
}

// validate holds every rule. All that is wrong is told at once.
func (c *config) validate() error {
	var wrong []error
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	upTo := func(name string, v, limit int) {
		rule(v >= 1 && v <= limit, "%s is %d: it must be from 1 to %d", name, v, limit)
	}
	positive := func(name string, d time.Duration) {
		rule(d > 0, "%s is %v: it must be positive", name, d)
	}
	wrong = append(wrong, c.batch.check("WithBatchRecords", "WithBatchBytes", "WithLinger"))
	upTo("WithMaxBufferedRecords", c.maxBufferedRecords, quota.MaxRecords)
	upTo("WithMaxBufferedBytes", c.maxBufferedBytes, quota.MaxBytes)
	upTo("WithConnections", c.connections, 16)
	upTo("WithMaxInFlight", c.maxInFlight, agentWindow)
	upTo("WithMaxInFlightBytes", c.maxInFlightBytes, quota.MaxBytes)
	positive("WithDeliveryTimeout", c.deliveryTimeout)
	positive("WithRequestTimeout", c.requestTimeout)
	positive("WithDialTimeout", c.dialTimeout)
	rule(c.metadataMaxAge >= time.Second, "WithMetadataMaxAge is %v: it must be at least 1s", c.metadataMaxAge)
	rule(c.batch.Linger < c.deliveryTimeout, "WithLinger (%v) must be below WithDeliveryTimeout (%v): no record would be sent in time",
		c.batch.Linger, c.deliveryTimeout)
	rule(c.maxBufferedRecords >= c.batch.Records, "WithMaxBufferedRecords (%d) is below WithBatchRecords (%d): no batch would ever be full",
		c.maxBufferedRecords, c.batch.Records)
	rule(c.maxBufferedBytes >= c.batch.Bytes, "WithMaxBufferedBytes (%d) is below WithBatchBytes (%d): no batch would ever be full",
		c.maxBufferedBytes, c.batch.Bytes)
	rule(c.compression <= S2, "WithCompression: %v is unknown: use NoCompression, LZ4, Zstd or S2", c.compression)
	rule(c.partitioner != nil, "WithPartitioner is nil: use ByKey(), RoundRobin(), Manual() or your own")
	rule(c.plaintext || c.tls != nil, "WithTLS is nil: leave it out for plaintext, or pass &tls.Config{} for the system's roots")
	rule(c.serverName == "" || c.tls != nil, "WithServerName has no effect without WithTLS: add it, with &tls.Config{} for the system's roots")
	rule(c.log != nil, "WithLogger is nil: leave it out for silence")
	rule(c.retry.problem() == "", "WithRetryPolicy: %s", c.retry.problem())
	rule(c.retryRatio >= 0 && c.retryRatio <= 1, "WithRetryBudget: ratio is %v: it must be from 0 to 1", c.retryRatio)
	rule(c.retriesPerSecond >= 0 && c.retriesPerSecond <= maxRate,
		"WithRetryBudget: perSecond is %v: it must be positive, and at most %v", c.retriesPerSecond, float64(maxRate))
	rule(c.hedgeRatio >= 0 && c.hedgeRatio <= 1, "WithHedging: ratio is %v: it must be above 0, and at most 1", c.hedgeRatio)
	rule(c.hedgeAfter > 0, "WithHedging: after is %v: it must be positive", c.hedgeAfter)
	rule(c.breaker.problem() == "", "WithCircuitBreaker: %s", c.breaker.problem())
	return errors.Join(append(wrong, c.hooks.problems...)...)
}

// maxRecord is the largest RecordSize that is taken.
func (c *config) maxRecord() int { return min(largestRecord, c.maxBufferedBytes) }
