package reason

import (
	"errors"
	"fmt"
	"strings"
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

// statuses judges statuses that carry no reason of this contract: those that gRPC,
// a proxy or a crash makes, and those of an agent with newer reasons. What is
// not listed fails, and its outcome is unknown.
var statuses = map[codes.Code]row{
	codes.Unavailable:       {recovery: Resolve},
	codes.Canceled:          {recovery: Resolve},
	codes.Aborted:           {recovery: Resolve},
	codes.DeadlineExceeded:  {recovery: Retry},
	codes.Internal:          {recovery: Retry},
	codes.Unknown:           {recovery: Retry},
	codes.ResourceExhausted: {recovery: Retry},
	codes.InvalidArgument:   {outcome: NotDone},
	codes.Unauthenticated:   {outcome: NotDone},
	codes.PermissionDenied:  {outcome: NotDone},
	codes.Unimplemented:     {outcome: NotDone},
}

// row finds the line of the contract that e is judged by.
func (e *Error) row() row {
	if r, ok := table[e.Reason]; ok {
		return r
	}
	if e.Code == codes.ResourceExhausted && e.tooLarge() {
		return row{recovery: Fail, outcome: NotDone}
	}
	return statuses[e.Code]
}

// tooLarge tells gRPC's own refusal of a message above its size limit from a
// server that is busy. They have the same code and nothing but their text
// differs; the first comes again however often the message is sent.
func (e *Error) tooLarge() bool {
	text := strings.ToLower(e.Message)
	return strings.Contains(text, "larger than max") ||
		strings.Contains(text, "message too large") ||
		strings.Contains(text, "exceeds maximum size")
}

// Recovery is what a client does next. A status without a reason of this
// contract is judged by its code.
func (e *Error) Recovery() Recovery { return e.row().recovery }

// Outcome says whether the refused batch could be in the log all the same.
func (e *Error) Outcome() Outcome { return e.row().outcome }

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
