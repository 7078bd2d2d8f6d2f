// Package bench measures how fast records become durable: this process is the
// client, an agent runs in another one, and a third takes raw TCP frames to
// tell what the machine itself can do.
package bench

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent"
)

// Stores that an agent can be measured with.
const (
	Memory = "memory"
	Files  = "files"
	// AWS is a store of the run's own in a bucket and tables on AWS, which is
	// deleted in the end.
	AWS = "aws"
)

// Options say what to measure.
type Options struct {
	// RecordSize is the value of every record in bytes; Batch how many of
	// them fill a batch.
	RecordSize, Batch int
	Partitions        int
	// InFlight is how many batches per partition may wait for their answer; 0
	// stands for as many as make up defaultWindow.
	InFlight int
	// Producers share the load; all are in this process.
	Producers int
	// Rate limits the records sent per second; 0 sends as fast as it goes.
	Rate int
	// Warmup is not counted, Duration is.
	Warmup, Duration time.Duration
	// Store is Memory, Files or AWS. Dir is the folder of Files; empty stands
	// for a temporary one.
	Store, Dir string
	// AWS says in what bucket the store of AWS is.
	AWS agent.AWSConfig
	// PutLatency and CommitLatency are injected into the store, as
	// "p50/p99"; empty injects none.
	PutLatency, CommitLatency string
	// FlushRate limits the flushes per second that are below the byte target;
	// 0 is no limit.
	FlushRate   int
	Compression producer.Codec
	// AgentSettings are further flags of the agent, as "name=value".
	AgentSettings []string
	// CPUProfile is where this process's profile goes; empty for none.
	CPUProfile string
}

const (
	maxInFlight = 128 // what an agent remembers
	// maxBuffered bounds what the client holds, in bytes.
	maxBuffered = 4 << 30
	// defaultWindow is what all partitions together have in flight, in bytes:
	// as much as the library allows on a connection, 530 MiB/s for the 120 ms
	// that S3 and DynamoDB take. What is sent as fast as it goes waits for
	// window / rate, whatever the store does: a larger window would only make
	// the latencies longer.
	defaultWindow = 64 << 20
)

// WithDefaults returns o with InFlight worked out.
func (o Options) WithDefaults() Options {
	if o.InFlight == 0 {
		o.InFlight = max(1, min(maxInFlight, defaultWindow/max(1, o.Partitions*o.batchBytes())))
	}
	return o
}

// Validate tells all that is wrong at once.
func (o *Options) Validate() error {
	var wrong []error
	between := func(flag string, v, low, high int) {
		if v < low || v > high {
			wrong = append(wrong, fmt.Errorf("%s is %d: it must be from %d to %d", flag, v, low, high))
		}
	}
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	between("--record-size", o.RecordSize, 1, batch.MaxSize/2)
	between("--batch", o.Batch, 1, 1<<20)
	between("--partitions", o.Partitions, 1, 10_000)
	between("--in-flight", o.InFlight, 1, maxInFlight)
	between("--producers", o.Producers, 1, 64)
	rule(o.Rate >= 0, "--rate is %d: use 0 for no limit", o.Rate)
	rule(o.FlushRate >= 0, "--flush-rate is %d: use 0 for no limit", o.FlushRate)
	rule(o.Duration > 0 && o.Warmup >= 0, "--duration must be positive, and --warmup not negative")
	rule(o.Store == Memory || o.Store == Files || o.Store == AWS, "--store %q is unknown: use memory, files or aws", o.Store)
	rule((o.Store == AWS) == (o.AWS.Bucket != ""), "--store aws and --bucket go together")
	rule(o.Dir == "" || o.Store == Files, "--dir is for --store files")
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	rule(o.batchBytes() <= batch.MaxSize, "a batch of %d records of %d bytes is above %d bytes: lower --batch", o.Batch, o.RecordSize, batch.MaxSize)
	rule(o.bufferBytes() <= maxBuffered, "%d batches in flight of %d partitions take %d bytes: lower --in-flight",
		o.InFlight, o.Partitions, o.bufferBytes())
	return errors.Join(wrong...)
}

// batchBytes bounds a batch from above.
func (o *Options) batchBytes() int { return batch.HeaderSize + o.Batch*o.recordBound() }

// recordBound is what the library reckons with for one record.
func (o *Options) recordBound() int { return o.RecordSize + batch.RecordSize(&batch.Record{}) }

// bufferRecords is what one producer may have unresolved: as many batches as
// may be in flight, and no backlog that would only add to the latencies.
func (o *Options) bufferRecords() int { return o.Batch * o.InFlight * o.Partitions }

func (o *Options) bufferBytes() int { return o.InFlight * o.Partitions * o.batchBytes() }

// ParseStoreLatency reads "60ms/200ms,4ms/10ms": the p50 and p99 of a PUT,
// then those of a commit. Empty is none.
func ParseStoreLatency(s string) (put, commit string, err error) {
	if s == "" {
		return "", "", nil
	}
	put, commit, found := strings.Cut(s, ",")
	if !found || !isLatency(put) || !isLatency(commit) {
		return "", "", fmt.Errorf("%q: write it as PUT p50/p99, a comma, and commit p50/p99: 60ms/200ms,4ms/10ms", s)
	}
	return put, commit, nil
}

func isLatency(s string) bool {
	low, high, found := strings.Cut(s, "/")
	p50, err50 := time.ParseDuration(low)
	p99, err99 := time.ParseDuration(high)
	return found && err50 == nil && err99 == nil && p50 > 0 && p99 >= p50
}
