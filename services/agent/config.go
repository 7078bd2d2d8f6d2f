package agent

import (
	"cmp"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// Config holds every setting of an agent. A field that is zero takes its
// default; docs/configuration.md lists them all, under the names of their
// flags.
type Config struct {
	// Name is what the agent is called in logs and metadata; default: the name
	// of the host.
	Name string
	// Zone is the availability zone that the agent runs in; it may be empty.
	Zone string
	// Listeners are the addresses that are served; default: DefaultListener.
	Listeners []Listener
	// Insecure allows plaintext on addresses that other machines can reach.
	Insecure bool
	TLS      TLSConfig
	Store    StoreConfig
	Flush    FlushConfig
	Buffers  BufferConfig
	Limits   LimitConfig
	// Compaction and Cleanup are the work in the background.
	Compaction CompactionConfig
	Cleanup    CleanupConfig
	Session    SessionConfig
	// AckTimeout is after how long a producer is told that the outcome of its
	// batch is unknown; default 30 s.
	AckTimeout time.Duration
	// DrainTimeout bounds a shutdown; default 30 s.
	DrainTimeout time.Duration
	// Cluster is what metrics are reported under; default "streamhouse".
	Cluster string
	Metrics MetricsConfig
	// HTTPListen is host:port to answer Prometheus on, at /metrics, and the
	// health command, at /healthz, in plain HTTP; default: nowhere.
	HTTPListen string
	Log        LogConfig

	// File is the file that Load reads settings from, if any.
	File string
	// ReadyFile is written by Main once the agent serves, if it is set.
	ReadyFile string
}

// Listener is a named address. A client is told the advertised addresses of
// the listener that it came by.
type Listener struct {
	// Name is for example "internal": lower-case letters, digits and dashes.
	Name string
	// Address is host:port to listen on; port 0 takes a free one.
	Address string
	// Advertise is host:port as clients reach it; default: the host of Address
	// and the port that was bound.
	Advertise string
}

// DefaultListener is served when no other is named.
var DefaultListener = Listener{Name: "internal", Address: "127.0.0.1:7070"}

// TLSConfig is the server's certificate, as files in PEM form or as PEM texts;
// without any, the agent speaks plaintext. With client authorities it takes
// only clients with a certificate of theirs.
type TLSConfig struct {
	CertFile     string
	KeyFile      string
	ClientCAFile string

	CertPEM     string
	KeyPEM      string
	ClientCAPEM string
}

// Kinds of stores.
const (
	// StoreFiles is a folder of this machine.
	StoreFiles = "files"
	// StoreMemory forgets everything with the process.
	StoreMemory = "memory"
	// StoreAWS is an S3 bucket and DynamoDB tables, which many agents share.
	StoreAWS = "aws"
	// StoreRemote is a store server of this machine, shared by several agents.
	StoreRemote = "remote"
)

// StoreConfig says where the log lives.
type StoreConfig struct {
	// Kind is StoreFiles, the default, StoreMemory, StoreAWS or StoreRemote.
	Kind string
	// Dir is the folder of StoreFiles; default ./streamhouse-data.
	Dir string
	// AWS is for StoreAWS.
	AWS AWSConfig
	// Address is that of StoreRemote's server; default DefaultStoreAddress.
	Address string

	// What follows is for tests and benchmarks.

	// PutLatency and CommitLatency are added to every write of an object or
	// row: median and 99th percentile, as in "60ms/200ms"; empty: none.
	PutLatency    string
	CommitLatency string
	// Faults are rules for requests that fail, as in
	// "op=put,every=7,kind=err-after".
	Faults []string
	// FaultSeed decides the latencies and what failed requests leave behind.
	FaultSeed uint64
	// MemoryKeepBytes bounds StoreMemory, which then forgets the oldest
	// objects; 0: it keeps all.
	MemoryKeepBytes int64
}

// AWSConfig says what StoreAWS uses. Credentials, region, and whether endpoints
// are FIPS or dual-stack come from AWS's own settings: the environment, the
// shared configuration files, or the task's role.
type AWSConfig struct {
	// Bucket is the S3 bucket. One whose name ends in --x-s3 is in one
	// availability zone: should that be lost, acknowledged records are.
	Bucket string
	// BucketPrefix stands before the keys of all objects, so that a bucket can
	// be shared; default none.
	BucketPrefix string
	// TablePrefix begins the names of the DynamoDB tables; default DefaultTablePrefix.
	TablePrefix string
	// EndpointURL is used in place of AWS's own endpoints, for S3 and DynamoDB;
	// default: what AWS_ENDPOINT_URL says.
	EndpointURL string
}

// DefaultTablePrefix is that of AWSConfig.
const DefaultTablePrefix = "streamhouse"

// NoCeiling as FlushConfig.MaxPerSecond lets every flush go when it is due.
const NoCeiling = -1

// NoHedging as FlushConfig.HedgeBudget writes every segment once.
const NoHedging = -1

// FlushConfig tunes how batches become segments.
type FlushConfig struct {
	// Bytes is the size at which a segment is flushed at once; default 4 MiB.
	Bytes int64
	// Age is how long a batch waits at most while other flushes are under way;
	// default 100 ms.
	Age time.Duration
	// MaxPerSecond is a ceiling for flushes of less than Bytes, which bounds
	// what requests cost; default 10, NoCeiling for none.
	MaxPerSecond float64
	// Concurrency is how many segments are written at a time; default 16.
	Concurrency int
	// HedgeBudget is the share of segments that may be written a second time,
	// under a key of its own, when the first try takes longer than 95 % of the
	// recent ones did; whichever stands first is committed. Default 0.05,
	// NoHedging for none. StoreFiles does without, for its disk would only be
	// slow twice.
	HedgeBudget float64
}

// BufferConfig bounds the memory for data.
type BufferConfig struct {
	// Bytes is for what is not committed yet; when it is used up, producers
	// are refused with a delay to wait. Default 256 MiB.
	Bytes int64
	// CacheBytes is for what readers ask for; default 64 MiB.
	CacheBytes int64
}

// CompactionConfig tunes how small segments become large ones.
type CompactionConfig struct {
	// Bytes is how large merged objects are meant to be; a partition of which so
	// much waits is merged at once. Default 64 MiB.
	Bytes int64
	// Age is how long a record waits at most; default 10 min. A takeover reads
	// what was written since.
	Age time.Duration
	// MemoryBytes bounds the objects that are gathered at a time; default 128 MiB.
	MemoryBytes int64
	// BytesPerSecond bounds what is read, unless records wait for twice Age, or 32
	// times Bytes do; default 64 MiB.
	BytesPerSecond int64
}

// CleanupConfig tunes the removal of what nothing needs any more.
type CleanupConfig struct {
	// Interval is how often an agent looks; default 1 min.
	Interval time.Duration
	// Grace is how long readers that are under way find what could be removed;
	// default 5 min, far more than a fetch takes.
	Grace time.Duration
}

// LimitConfig bounds what clients may ask for.
type LimitConfig struct {
	// MaxBatchBytes is the size of one batch; default, and at most, 15 MiB.
	MaxBatchBytes int64
	// MaxPartitions is for one topic; default, and at most, 10,000.
	MaxPartitions int
	// MaxProducerStates is how many producers, counted in each partition, are
	// remembered to recognise their retries; default 100,000. One takes 150
	// bytes to 5 KiB of memory and is kept for a day after its last batch.
	MaxProducerStates int
}

// SessionConfig times the agent's claim to its partitions.
type SessionConfig struct {
	// Heartbeat is the interval of renewals; default 2 s.
	Heartbeat time.Duration
	// Lease is how long a renewal lasts; default 10 s.
	Lease time.Duration
}

// MetricsConfig says who is told what the agent counts.
type MetricsConfig struct {
	// CloudWatch writes a line of CloudWatch's embedded metric format to the
	// standard output once a minute; default false.
	CloudWatch bool
}

// Formats of logs.
const (
	LogText = "text"
	LogJSON = "json"
)

// LogConfig says what is logged.
type LogConfig struct {
	// Level is the lowest level that is logged; default slog.LevelInfo.
	Level slog.Level
	// Format is LogText, the default, or LogJSON.
	Format string
}

const (
	// maxPartitions keeps a journal row, which takes 24 bytes for each
	// partition of a flush, within the 400 KB of a DynamoDB item.
	maxPartitions = 10_000
	// minCacheBytes holds a fetch of the usual size.
	minCacheBytes = 1 << 20
)

// WithDefaults returns c with a default in place of every zero that has one.
func (c Config) WithDefaults() Config {
	if c.Name == "" {
		c.Name, _ = os.Hostname() // Validate tells when there is none
	}
	c.Listeners = slices.Clone(c.Listeners)
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{DefaultListener}
	}
	c.Store.Kind = cmp.Or(c.Store.Kind, StoreFiles)
	c.Store.Dir = cmp.Or(c.Store.Dir, "./streamhouse-data")
	c.Store.AWS.TablePrefix = cmp.Or(c.Store.AWS.TablePrefix, DefaultTablePrefix)
	c.Store.Address = cmp.Or(c.Store.Address, DefaultStoreAddress)
	c.Flush.Bytes = cmp.Or(c.Flush.Bytes, 4<<20)
	c.Flush.Age = cmp.Or(c.Flush.Age, 100*time.Millisecond)
	c.Flush.MaxPerSecond = cmp.Or(c.Flush.MaxPerSecond, 10)
	c.Flush.Concurrency = cmp.Or(c.Flush.Concurrency, 16)
	c.Flush.HedgeBudget = cmp.Or(c.Flush.HedgeBudget, 0.05)
	c.Buffers.Bytes = cmp.Or(c.Buffers.Bytes, 256<<20)
	c.Buffers.CacheBytes = cmp.Or(c.Buffers.CacheBytes, 64<<20)
	c.Compaction.Bytes = cmp.Or(c.Compaction.Bytes, 64<<20)
	c.Compaction.Age = cmp.Or(c.Compaction.Age, 10*time.Minute)
	c.Compaction.MemoryBytes = cmp.Or(c.Compaction.MemoryBytes, 128<<20)
	c.Compaction.BytesPerSecond = cmp.Or(c.Compaction.BytesPerSecond, 64<<20)
	c.Cleanup.Interval = cmp.Or(c.Cleanup.Interval, time.Minute)
	c.Cleanup.Grace = cmp.Or(c.Cleanup.Grace, 5*time.Minute)
	c.Limits.MaxBatchBytes = cmp.Or(c.Limits.MaxBatchBytes, batch.MaxSize)
	c.Limits.MaxPartitions = cmp.Or(c.Limits.MaxPartitions, maxPartitions)
	c.Limits.MaxProducerStates = cmp.Or(c.Limits.MaxProducerStates, 100_000)
	c.Session.Heartbeat = cmp.Or(c.Session.Heartbeat, 2*time.Second)
	c.Session.Lease = cmp.Or(c.Session.Lease, 10*time.Second)
	c.AckTimeout = cmp.Or(c.AckTimeout, 30*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	c.Cluster = cmp.Or(c.Cluster, "streamhouse")
	c.Log.Format = cmp.Or(c.Log.Format, LogText)
	return c
}
