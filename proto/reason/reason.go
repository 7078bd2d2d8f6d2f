// Package reason is the error contract between agents and clients: every
// refusal of an agent is a gRPC status that carries a google.rpc.ErrorInfo
// with one of the reasons below, and both sides read what it means from the
// same table.
//
// A client never has to read a message to decide what to do. It looks at two
// things: [Reason.Recovery], what to do next, and [Reason.Outcome], whether
// the refused batch could have been appended all the same.
package reason

import "google.golang.org/grpc/codes"

// Domain is the ErrorInfo domain of every reason in this package.
const Domain = "streamhouse"

// Reason says why an agent refused a request.
type Reason string

// The reasons. Each is also a Go error, so that errors.Is(err,
// reason.NotOwner) holds for every error that carries it.
const (
	// UnknownTopic is returned when no such topic or partition exists; the
	// agent has read that consistently.
	UnknownTopic Reason = "UNKNOWN_TOPIC"
	// NotOwner is returned when this agent holds no lease for the partition.
	NotOwner Reason = "NOT_OWNER"
	// LeaseExpired is returned when the agent could not renew its lease in
	// time and may no longer append under it.
	LeaseExpired Reason = "LEASE_EXPIRED"
	// SequenceGap is returned when batches before this one are missing.
	SequenceGap Reason = "SEQUENCE_GAP"
	// SequenceTooOld is returned for a batch older than what is remembered.
	SequenceTooOld Reason = "SEQUENCE_TOO_OLD"
	// SequenceConflict is returned when other content was appended under the
	// same producer id and sequence, as after cloning a running machine.
	SequenceConflict Reason = "SEQUENCE_CONFLICT"
	// UnknownProducer is returned when a producer without state at the owner
	// sends anything but its first batch.
	UnknownProducer Reason = "UNKNOWN_PRODUCER"
	// Draining is returned while the agent shuts down.
	Draining Reason = "DRAINING"
	// Fenced is returned when another agent took the partition over while the
	// batch was on its way to the store.
	Fenced Reason = "FENCED"
	// StorageUnavailable is returned when a store could not be read.
	StorageUnavailable Reason = "STORAGE_UNAVAILABLE"
	// StorageFailed is returned when a batch could not be made durable in
	// time; the agent may still succeed after the answer.
	StorageFailed Reason = "STORAGE_FAILED"
	// Overloaded is returned when the agent's buffers are full.
	Overloaded Reason = "OVERLOADED"
	// InvalidArgument is returned for a request that is malformed.
	InvalidArgument Reason = "INVALID_ARGUMENT"
	// CorruptBatch is returned when a batch's checksum or shape is wrong.
	CorruptBatch Reason = "CORRUPT_BATCH"
	// TooLarge is returned for a batch above the agent's limit.
	TooLarge Reason = "TOO_LARGE"
	// TopicExists is returned when a topic of that name exists already.
	TopicExists Reason = "TOPIC_EXISTS"
	// OffsetOutOfRange is returned when a fetch asks for an offset that is no
	// longer, or not yet, in the log.
	OffsetOutOfRange Reason = "OFFSET_OUT_OF_RANGE"
	// CorruptSegment is returned when the stored bytes that a fetch asks for
	// are damaged, since they do not match their checksum, or gone. Reading
	// again does not mend them.
	CorruptSegment Reason = "CORRUPT_SEGMENT"
)

// Error makes a reason a Go error of its own, the sentinel for errors.Is.
func (r Reason) Error() string { return string(r) }

// Recovery is what a client does next.
type Recovery uint8

const (
	// Fail: sending the same request again cannot help.
	Fail Recovery = iota
	// Retry the same bytes after a backoff.
	Retry
	// Resolve the partition's owner anew, then retry.
	Resolve
	// Resend from the first batch that the agent does not have.
	Resend
	// Renew gives the batch and everything later in flight for its partition
	// up, and goes on under a fresh producer id.
	Renew
)

// Outcome says whether a refused batch could be in the log.
type Outcome uint8

const (
	// Unknown: it may have been appended, or may still be.
	Unknown Outcome = iota
	// NotDone: this attempt was not and will not be appended. Earlier
	// attempts of the same batch have outcomes of their own.
	NotDone
)

// row is one line of the contract.
type row struct {
	code     codes.Code
	recovery Recovery
	outcome  Outcome
}

// table is the contract itself.
var table = map[Reason]row{
	UnknownTopic:       {codes.NotFound, Fail, NotDone},
	NotOwner:           {codes.NotFound, Resolve, NotDone},
	LeaseExpired:       {codes.FailedPrecondition, Resolve, NotDone},
	SequenceGap:        {codes.FailedPrecondition, Resend, NotDone},
	SequenceTooOld:     {codes.FailedPrecondition, Renew, Unknown},
	SequenceConflict:   {codes.FailedPrecondition, Renew, Unknown},
	UnknownProducer:    {codes.FailedPrecondition, Renew, Unknown},
	Draining:           {codes.Unavailable, Resolve, NotDone},
	Fenced:             {codes.Unavailable, Resolve, Unknown},
	StorageUnavailable: {codes.Unavailable, Retry, Unknown},
	StorageFailed:      {codes.Internal, Retry, Unknown},
	Overloaded:         {codes.ResourceExhausted, Retry, NotDone},
	InvalidArgument:    {codes.InvalidArgument, Fail, NotDone},
	CorruptBatch:       {codes.InvalidArgument, Fail, NotDone},
	TooLarge:           {codes.InvalidArgument, Fail, NotDone},
	TopicExists:        {codes.AlreadyExists, Fail, NotDone},
	OffsetOutOfRange:   {codes.OutOfRange, Fail, NotDone},
	CorruptSegment:     {codes.DataLoss, Fail, NotDone},
}

// All returns every reason, in no order.
func All() []Reason {
	all := make([]Reason, 0, len(table))
	for r := range table {
		all = append(all, r)
	}
	return all
}

// Code is the gRPC status code that goes with the reason; codes.Unknown for a
// reason that this version does not know.
func (r Reason) Code() codes.Code {
	if row, ok := table[r]; ok {
		return row.code
	}
	return codes.Unknown
}
