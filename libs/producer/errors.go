package producer

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned for a record that was sent after Close, or that
	// Close could not resolve before its context was done.
	ErrClosed = errors.New("producer is closed")
	// ErrBufferFull is returned with WithFailWhenFull when there is no room
	// for a record: wait for earlier ones, or raise the limits.
	ErrBufferFull = errors.New("buffer is full")
	// ErrRecordTooLarge is returned for a record that no batch can hold.
	ErrRecordTooLarge = errors.New("record is too large")
	// ErrDeliveryTimeout is returned for a record that could not be made
	// durable within the time that WithDeliveryTimeout sets.
	ErrDeliveryTimeout = errors.New("delivery timeout")
	// ErrGivenUp is returned for a record that could be in the log and that
	// may not be sent again, since an earlier batch of its partition failed.
	ErrGivenUp = errors.New("given up after an earlier batch of the partition failed")
	// ErrRetriesExhausted is returned for a record that the agent refused
	// more often than the retry policy allows.
	ErrRetriesExhausted = errors.New("retries exhausted")
	// ErrNoTopic is returned for a record without a topic where WithTopic set
	// none.
	ErrNoTopic = errors.New("record has no topic: set Record.Topic or use WithTopic")
	// ErrInvalidPartition is returned when the partitioner chose a partition
	// that the topic does not have.
	ErrInvalidPartition = errors.New("no such partition")
)

// Outcome says what is known about a record's place in the log.
type Outcome uint8

// The outcomes.
const (
	// Unknown: the record may be in the log, or may still get there. Sending
	// it again could double it.
	Unknown Outcome = iota
	// NotDone: the record is not in the log and never will be. It is safe to
	// send it again.
	NotDone
	// Done: the record is in the log, durably.
	Done
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case NotDone:
		return "not done"
	case Done:
		return "done"
	default:
		return "outcome unknown"
	}
}

// OutcomeOf reads the outcome out of what Send returned or a callback got: a
// nil error is Done, an error that is not this library's is Unknown.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Done
	}
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Outcome
	}
	return Unknown
}

// Error is why a record failed; every failed record has one. It unwraps to the
// sentinels of this package, to the *reason.Error with which the agent
// answered, and through it to the reason: errors.Is(err, reason.UnknownTopic)
// works. It must not be changed: the records of a batch share one.
type Error struct {
	// Topic is the record's.
	Topic string
	// Partition is the record's, or -1 if it failed before it had one.
	Partition int32
	// Outcome says whether the record could be in the log all the same.
	Outcome Outcome
	// Err is the cause.
	Err error
}

// Error names the place, the cause and the outcome.
func (e *Error) Error() string {
	if e.Partition < 0 {
		return fmt.Sprintf("produce to %q: %v (%v)", e.Topic, e.Err, e.Outcome)
	}
	return fmt.Sprintf("produce to %s/%d: %v (%v)", e.Topic, e.Partition, e.Err, e.Outcome)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refusal is the error of a record that was never sent.
func refusal(topic string, err error) *Error {
	return &Error{Topic: topic, Partition: -1, Outcome: NotDone, Err: err}
}
