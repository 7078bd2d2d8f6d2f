package producertest

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// Attempt is one transmission of a batch to an agent.
type Attempt struct {
	Agent string
	// Stream is the stream's number in the cluster, Number the batch's in its
	// stream; both count from 1.
	Stream, Number int
	Topic          string
	Partition      uint32
	Header         batch.Header
	// Data is the encoded batch. It must not be changed.
	Data []byte
	// Try counts the transmissions of this batch, by its producer and sequence,
	// from 1.
	Try int
	// Late tells that the stream has ended since the batch came in, so that
	// nobody hears an answer.
	Late bool
}

// Records decodes the batch. Their offsets are not known yet: they count from 0.
func (a *Attempt) Records() []Record {
	var d batch.Decoder
	h, err := d.Reset(a.Data)
	if err != nil {
		return nil // it will be refused as corrupt
	}
	records, _ := decode(&d, h, 0)
	return records
}

// Reply is what happens to an attempt. The zero Reply is an agent that works:
// batch, ownership and sequence are checked, the batch is appended and
// answered. A Late attempt is dropped by the zero Reply.
//
// Fields can be combined: Reply{Append: true, Err: err} is a batch that was
// appended and is answered with an error.
type Reply struct {
	// Delay and Wait come first; other batches of the partition wait behind.
	Delay time.Duration
	Wait  <-chan struct{}
	// Err is answered; unless Append is set, nothing is appended.
	Err *reason.Error
	// Append appends, as far as ownership and sequence allow, whatever else is
	// set.
	Append bool
	// Silent answers nothing.
	Silent bool
	// Break ends the stream with this error; the connection stays.
	Break error
	// Reset breaks the connection, with all its streams.
	Reset bool
}

// Proceed is an agent that works: the zero Reply.
func Proceed() Reply { return Reply{} }

// Delay is an agent that works after a while.
func Delay(d time.Duration) Reply { return Reply{Delay: d} }

// Refuse answers with a reason; nothing is appended. For facts such as the
// owner's address or a delay to wait, set Reply.Err.
func Refuse(why reason.Reason) Reply {
	return Reply{Err: reason.New(why, "refused by the test's script")}
}

// Overload refuses and asks to wait.
func Overload(wait time.Duration) Reply {
	return Reply{Err: reason.New(reason.Overloaded, "overloaded by the test's script").After(wait)}
}

// LoseAnswer appends the batch and never answers: the producer finds out by its
// request timeout.
func LoseAnswer() Reply { return Reply{Append: true, Silent: true} }

// BlackHole neither appends nor answers.
func BlackHole() Reply { return Reply{Silent: true} }

// Reset breaks the connection before the batch is appended; with
// Reply{Append: true, Reset: true} it breaks afterwards.
func Reset() Reply { return Reply{Reset: true} }

// Break ends the stream with a status, before the batch is appended.
func Break(code codes.Code, message string) Reply { return Reply{Break: Status(code, message)} }

// Status makes an error for Reply.Break.
func Status(code codes.Code, message string) error { return status.Error(code, message) }

// proceeds tells whether the batch goes the usual way.
func (r *Reply) proceeds() bool {
	return r.Err == nil && !r.Silent && r.Break == nil && !r.Reset
}
