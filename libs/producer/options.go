package producer

import (
	"crypto/tls"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// Option changes one setting of a producer. New checks them all.
type Option func(*config)

// Codec is how batches are compressed.
type Codec = batch.Codec

// The codecs, for WithCompression.
const (
	NoCompression = batch.None
	LZ4           = batch.LZ4
	Zstd          = batch.Zstd
	S2            = batch.S2
)

// WithTopic sets the topic of records that name none.
func WithTopic(name string) Option { return func(c *config) { c.topic = name } }

// WithPartitioner sets how partitions are chosen. Default ByKey().
func WithPartitioner(p Partitioner) Option { return func(c *config) { c.partitioner = p } }

// WithZone tells in which zone the producer runs, in the words in which agents
// tell theirs, such as "eu-central-1a". Records without a key then prefer
// partitions whose owners are in the same zone; see ByKey. Default: none.
func WithZone(zone string) Option { return func(c *config) { c.zone = zone } }

// WithBatchPolicy sets all limits of a batch. Default DefaultBatchPolicy(). The
// three options below set one of them; of several options the last one holds.
func WithBatchPolicy(p BatchPolicy) Option { return func(c *config) { c.batch = p } }

// WithBatchRecords sets how many records close a batch. Default 100. For
// throughput raise it, say to 1000: what a batch costs, here and at the agent,
// is then shared by more records.
func WithBatchRecords(n int) Option { return func(c *config) { c.batch.Records = n } }

// WithBatchBytes sets how large a batch gets, in bytes before compression.
// Default 1 MiB, at most 15 MiB. A record that is larger travels in a batch of
// its own.
func WithBatchBytes(n int) Option { return func(c *config) { c.batch.Bytes = n } }

// WithLinger sets how long a batch waits for more records. Default 100 ms.
// With 0 a batch is sent as soon as its connection is free, so batches grow
// with the load: the choice for low latency and for one Send at a time.
func WithLinger(d time.Duration) Option { return func(c *config) { c.batch.Linger = d } }

// WithAdaptiveLinger makes a batch wait only while an earlier one of its
// partition is on its way, and for the linger at the most. So a lone record, or
// one Send after the other, does not wait at all, and under load batches grow
// as without it. The price is a small batch in front of every burst. Default
// off.
func WithAdaptiveLinger() Option { return func(c *config) { c.adaptiveLinger = true } }

// WithCompression sets the codec. Default S2, by measurement (see the package's
// doc): of the three it costs the least CPU by far, it divides JSON logs by more
// than three, which is what the network and the store then carry, and random
// bytes cost it little. Zstd makes logs 40 % smaller still, at three to five
// times the CPU. A batch that would not get smaller is sent as it is.
func WithCompression(codec Codec) Option { return func(c *config) { c.compression = codec } }

// WithMaxBufferedRecords limits the records that were taken and are not
// resolved yet, over all partitions. Default 1,048,576. One partition of several
// gets to two thirds of that.
func WithMaxBufferedRecords(n int) Option { return func(c *config) { c.maxBufferedRecords = n } }

// WithMaxBufferedBytes limits the encoded size of the same records, before
// compression. Default 64 MiB. A record that is larger is refused.
func WithMaxBufferedBytes(n int) Option { return func(c *config) { c.maxBufferedBytes = n } }

// WithFailWhenFull makes records that find the buffer full, or their partition's
// share of it, fail with ErrBufferFull; SendAsync then calls the callback itself.
// By default they wait for room until their context is done.
func WithFailWhenFull() Option { return func(c *config) { c.failWhenFull = true } }

// WithConnections sets how many connections, each with a stream of its own, go
// to one agent. Default 1, at most 16. Partitions are spread over them. Questions
// about topics take another one.
func WithConnections(n int) Option { return func(c *config) { c.connections = n } }

// WithMaxInFlight limits the batches of one partition that are sent and not
// answered. Default and maximum 128, which is what agents remember.
func WithMaxInFlight(batches int) Option { return func(c *config) { c.maxInFlight = batches } }

// WithMaxInFlightBytes limits the bytes, as sent, that are not answered on one
// connection. Default 64 MiB. One batch is always let through.
func WithMaxInFlightBytes(n int) Option { return func(c *config) { c.maxInFlightBytes = n } }

// WithRetryPolicy sets how a batch is retried. Default DefaultRetryPolicy().
func WithRetryPolicy(r RetryPolicy) Option { return func(c *config) { c.retry = r } }

// WithRetryBudget limits how many batches are sent again after failures, over
// all partitions together: ratio times the batches that are sent the first
// time, and perSecond besides. Defaults 0.2 and 10; what is not used is saved up
// for a while. Within the budget retries wait as the retry policy says. When it
// is used up they fail no record, but wait longer, 10 s at most, and begin with
// one batch per partition instead of all that were in flight. Changes of owner
// and lost connections do not count.
func WithRetryBudget(ratio, perSecond float64) Option {
	return func(c *config) {
		c.retryRatio, c.retriesPerSecond = ratio, perSecond
		if perSecond == 0 {
			c.retriesPerSecond = -1 // which is refused: 0 stands for no budget
		}
	}
}

// WithoutRetryBudget leaves the number of retries to the retry policy alone.
func WithoutRetryBudget() Option { return func(c *config) { c.retriesPerSecond = 0 } }

// WithHedging sets when batches are sent again although their answer may still
// come: over a fresh connection, to whoever owns the partition now, so that a
// dead connection or an agent that stands still costs seconds and not the
// request timeout. It happens when an agent with batches in flight says nothing
// for three times the 99th percentile of what answers take, as measured by this
// producer, and never before the time after. The batches that are sent again for
// it are at most ratio of those that are sent the first time, and one more every
// ten seconds. Nothing is doubled by it. Defaults 1 s and 0.02.
func WithHedging(after time.Duration, ratio float64) Option {
	return func(c *config) {
		c.hedgeAfter, c.hedgeRatio = after, ratio
		if ratio == 0 {
			c.hedgeRatio = -1 // which is refused: 0 stands for no hedging
		}
	}
}

// WithoutHedging leaves silent agents to the request timeout.
func WithoutHedging() Option { return func(c *config) { c.hedgeRatio = 0 } }

// WithDeliveryTimeout limits how long a batch may take, counted from its first
// record, with everything that delays it. Default 2 minutes.
func WithDeliveryTimeout(d time.Duration) Option { return func(c *config) { c.deliveryTimeout = d } }

// WithRequestTimeout sets how long an answer may take before the connection
// counts as broken and everything in flight on it is sent again. Default 30 s.
func WithRequestTimeout(d time.Duration) Option { return func(c *config) { c.requestTimeout = d } }

// WithDialTimeout limits one attempt to connect to an agent, and one round of
// questions for a topic through all addresses that New was given. Default 10 s.
func WithDialTimeout(d time.Duration) Option { return func(c *config) { c.dialTimeout = d } }

// WithCircuitBreaker sets when an agent that cannot be reached is left alone,
// and for how long. Default DefaultCircuitBreakerPolicy().
func WithCircuitBreaker(b CircuitBreakerPolicy) Option { return func(c *config) { c.breaker = b } }

// WithMetadataMaxAge sets after how long a topic is described anew although
// nothing is wrong with it, to notice partitions that were added and owners that
// could be nearer. It happens up to a fifth earlier, at random. Default 5
// minutes, at least 1 s. Whenever an owner is not where it was, the topic is
// described at once.
func WithMetadataMaxAge(d time.Duration) Option { return func(c *config) { c.metadataMaxAge = d } }

// WithTLS makes connections use TLS; client certificates in cfg make it mutual.
// Without it connections are plaintext.
func WithTLS(cfg *tls.Config) Option {
	return func(c *config) { c.tls, c.plaintext = cfg, false }
}

// WithServerName sets the name that every agent's certificate must be for.
// Agents advertise the address of their task, which no certificate names: give
// the cluster's DNS name. It wins over the ServerName of WithTLS's config.
// Default: the host of the address that is connected to.
func WithServerName(name string) Option { return func(c *config) { c.serverName = name } }

// WithPerRPCCredentials adds credentials, such as a token, to every call. New
// refuses credentials that require TLS where there is none.
func WithPerRPCCredentials(creds credentials.PerRPCCredentials) Option {
	return func(c *config) { c.perRPC = append(c.perRPC, creds) }
}

// WithDialOptions adds options to every gRPC connection, after the library's
// own.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(c *config) { c.dialOptions = append(c.dialOptions, opts...) }
}

// WithLogger sets where the library reports what it mends by itself, such as
// lost connections, and what it gives up. Nothing is logged per record, nor
// while all is well; what repeats is logged at once the first time and then
// every ten seconds per agent or topic, with how many lines were skipped.
// Default: nowhere.
func WithLogger(log *slog.Logger) Option { return func(c *config) { c.log = log } }
