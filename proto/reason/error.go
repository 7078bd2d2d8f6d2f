package reason

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Metadata keys of an Error.
const (
	// MetaOwner is the address of the partition's owner, with NotOwner.
	MetaOwner = "owner"
	// MetaStartOffset is the first readable offset, with OffsetOutOfRange.
	MetaStartOffset = "start_offset"
	// MetaEndOffset is the next offset, with OffsetOutOfRange.
	MetaEndOffset = "end_offset"
)

// Error is a refusal with its facts. It unwraps to its Reason and converts
// itself to a gRPC status, so a handler returns it as it is.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is empty for a status that is not of this contract: one that
	// gRPC, a proxy or an older agent made.
	Reason Reason
	// Message says what was wrong and what to do, for people.
	Message string
	// Metadata holds the reason's facts; see the Meta constants.
	Metadata map[string]string
	// RetryDelay is how long the agent asks to wait; 0 where it did not say.
	RetryDelay time.Duration
}

// New makes an Error whose message is formatted as by fmt.Sprintf.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Code: r.Code(), Reason: r, Message: fmt.Sprintf(format, args...)}
}

// With returns a copy of e with one more fact.
func (e *Error) With(key, value string) *Error {
	c := *e
	c.Metadata = map[string]string{key: value}
	for k, v := range e.Metadata {
		if k != key {
			c.Metadata[k] = v
		}
	}
	return &c
}

// After returns a copy of e that asks to wait before the next try.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryDelay = d
	return &c
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Reason, e.Message)
}

// Unwrap makes errors.Is(err, reason.NotOwner) work.
func (e *Error) Unwrap() error {
	if e.Reason == "" {
		return nil
	}
	return e.Reason
}

// Recovery is what a client does next. A status without a reason of this
// contract is judged by its code: what a broken connection, a deadline or a
// crash can cause is sent again, all else fails. gRPC's own "message larger
// than max" is RESOURCE_EXHAUSTED without a reason, and no retry can mend it.
func (e *Error) Recovery() Recovery {
	if row, ok := table[e.Reason]; ok {
		return row.recovery
	}
	switch e.Code {
	case codes.Unavailable, codes.Canceled, codes.Aborted:
		return Resolve
	case codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		return Retry
	default:
		return Fail
	}
}

// Outcome says whether the refused batch could be in the log all the same.
func (e *Error) Outcome() Outcome {
	if row, ok := table[e.Reason]; ok {
		return row.outcome
	}
	switch e.Code {
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied,
		codes.Unimplemented, codes.ResourceExhausted:
		return NotDone
	default:
		return Unknown
	}
}

// GRPCStatus is how grpc-go turns an Error that a handler returns into the
// status that the client sees.
func (e *Error) GRPCStatus() *status.Status {
	s := status.New(e.Code, e.Message)
	if e.Reason == "" {
		return s
	}
	info := &errdetails.ErrorInfo{Reason: string(e.Reason), Domain: Domain, Metadata: e.Metadata}
	var detailed *status.Status
	var err error
	if e.RetryDelay > 0 {
		retry := &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryDelay)}
		detailed, err = s.WithDetails(info, retry)
	} else {
		detailed, err = s.WithDetails(info)
	}
	if err != nil {
		return s
	}
	return detailed
}

// From reads the Error out of any error: one made by New, a gRPC status, or,
// as code Unknown, anything else. It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	s := status.Convert(err)
	e := &Error{Code: s.Code(), Message: s.Message()}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				e.Reason, e.Metadata = Reason(d.GetReason()), d.GetMetadata()
			}
		case *errdetails.RetryInfo:
			e.RetryDelay = d.GetRetryDelay().AsDuration()
		}
	}
	return e
}

// ToProto is the form in which a stream's answer carries err.
func ToProto(err error) *streamhousev1.ProduceError {
	e := From(err)
	if e == nil {
		return nil
	}
	return &streamhousev1.ProduceError{
		Code: int32(e.Code), Reason: string(e.Reason), Message: e.Message,
		Metadata: e.Metadata, RetryDelayMs: uint64(max(0, e.RetryDelay.Milliseconds())),
	}
}

// FromProto reads what ToProto wrote; nil for nil.
func FromProto(p *streamhousev1.ProduceError) *Error {
	if p == nil {
		return nil
	}
	return &Error{
		Code: codes.Code(uint32(p.GetCode())), Reason: Reason(p.GetReason()), Message: p.GetMessage(),
		Metadata: p.GetMetadata(), RetryDelay: time.Duration(p.GetRetryDelayMs()) * time.Millisecond,
	}
}
