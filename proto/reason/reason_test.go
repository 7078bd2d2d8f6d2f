package reason

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// declared returns the constants of type Reason as the source has them.
func declared(t *testing.T) (all []Reason) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Reason" {
			return true
		}
		for _, value := range spec.Values {
			lit, ok := value.(*ast.BasicLit)
			if !ok {
				t.Fatalf("a reason that is no literal: %v", value)
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Reason(text))
		}
		return true
	})
	slices.Sort(all)
	return all
}

// A reason that the table lacks would be judged as if it came from a newer
// agent.
func TestTableIsComplete(t *testing.T) {
	all := All()
	slices.Sort(all)
	if want := declared(t); len(want) < 17 || !slices.Equal(all, want) {
		t.Errorf("the table has\n%v, and declared are\n%v", all, want)
	}
}

// The contract, as other implementations read it: changing a line breaks
// clients that are out there.
func TestContract(t *testing.T) {
	want := map[Reason]struct {
		code     codes.Code
		recovery Recovery
		outcome  Outcome
	}{
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
	if len(want) != len(All()) {
		t.Errorf("%d reasons, want %d", len(All()), len(want))
	}
	for r, w := range want {
		e := New(r, "why")
		if r.Code() != w.code || e.Code != w.code || e.Recovery() != w.recovery || e.Outcome() != w.outcome {
			t.Errorf("%s: %v, recovery %d, outcome %d; want %v", r, e.Code, e.Recovery(), e.Outcome(), w)
		}
	}
}

// examples are errors of every reason, with and without facts and delays.
func examples() (all []*Error) {
	for _, r := range All() {
		all = append(all, New(r, "topic %q, 100%% sure", "t"),
			New(r, "").With(MetaOwner, "10.0.0.1:7000").With(MetaEndOffset, "5").After(1500*time.Millisecond))
	}
	return all
}

func same(a, b *Error) bool {
	return a.Code == b.Code && a.Reason == b.Reason && a.Message == b.Message && a.RetryDelay == b.RetryDelay &&
		maps.Equal(a.Metadata, b.Metadata)
}

// An error comes out of gRPC, and out of a stream's answer, as it went in.
func TestRoundTrip(t *testing.T) {
	for _, e := range examples() {
		// As the client sees it: the status crossed the wire.
		b, err := proto.Marshal(e.GRPCStatus().Proto())
		if err != nil {
			t.Fatal(err)
		}
		crossed := e.GRPCStatus().Proto()
		proto.Reset(crossed)
		if err := proto.Unmarshal(b, crossed); err != nil {
			t.Fatal(err)
		}
		got := From(fmt.Errorf("produce: %w", status.ErrorProto(crossed)))
		got.Message = status.FromProto(crossed).Message() // status.Convert puts the wrapping text in front
		if !same(got, e) {
			t.Errorf("through a status: %+v, was %+v", got, e)
		}
		if !errors.Is(got, e.Reason) || errors.Is(got, Reason("OTHER")) {
			t.Errorf("%v is not %s", got, e.Reason)
		}
		answer := &streamhousev1.ProduceError{}
		if b, err = proto.Marshal(ToProto(fmt.Errorf("append: %w", e))); err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(b, answer); err != nil {
			t.Fatal(err)
		}
		if got := FromProto(answer); !same(got, e) {
			t.Errorf("through an answer: %+v, was %+v", got, e)
		}
	}
}

// With and After leave the error that they begin from as it was: sentinels are
// shared between goroutines.
func TestCopies(t *testing.T) {
	first := New(NotOwner, "why").With("a", "1")
	second := first.With("a", "2").With("b", "3").After(time.Second)
	if !reflect.DeepEqual(first.Metadata, map[string]string{"a": "1"}) || first.RetryDelay != 0 {
		t.Errorf("the first is %+v", first)
	}
	if !reflect.DeepEqual(second.Metadata, map[string]string{"a": "2", "b": "3"}) || second.RetryDelay != time.Second {
		t.Errorf("the second is %+v", second)
	}
}

func TestNil(t *testing.T) {
	if From(nil) != nil || ToProto(nil) != nil || FromProto(nil) != nil {
		t.Error("no error became one")
	}
}

// A reason of a newer agent is kept, and judged by its code.
func TestUnknownReason(t *testing.T) {
	for code, want := range map[codes.Code]Recovery{
		codes.Unavailable: Resolve, codes.Internal: Retry, codes.InvalidArgument: Fail, codes.ResourceExhausted: Retry, codes.NotFound: Fail,
	} {
		s, err := status.New(code, "why").WithDetails(&errdetails.ErrorInfo{Reason: "FROM_THE_FUTURE", Domain: Domain})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*Error{From(s.Err()), FromProto(&streamhousev1.ProduceError{Code: int32(code), Reason: "FROM_THE_FUTURE"})} {
			if e.Reason != "FROM_THE_FUTURE" || e.Recovery() != want || !errors.Is(e, Reason("FROM_THE_FUTURE")) {
				t.Errorf("%v: %+v, recovery %d, want %d", code, e, e.Recovery(), want)
			}
		}
	}
	if c := Reason("FROM_THE_FUTURE").Code(); c != codes.Unknown {
		t.Errorf("its code is %v", c)
	}
}

// byCode is docs/errors.md's second table.
var byCode = map[codes.Code]struct {
	recovery Recovery
	outcome  Outcome
}{
	codes.Unavailable: {Resolve, Unknown}, codes.Canceled: {Resolve, Unknown}, codes.Aborted: {Resolve, Unknown},
	codes.DeadlineExceeded: {Retry, Unknown}, codes.Internal: {Retry, Unknown}, codes.Unknown: {Retry, Unknown},
	codes.InvalidArgument: {Fail, NotDone}, codes.Unauthenticated: {Fail, NotDone}, codes.PermissionDenied: {Fail, NotDone},
	codes.Unimplemented: {Fail, NotDone}, codes.ResourceExhausted: {Retry, Unknown},
	codes.NotFound: {Fail, Unknown}, codes.AlreadyExists: {Fail, Unknown}, codes.FailedPrecondition: {Fail, Unknown},
	codes.OutOfRange: {Fail, Unknown}, codes.DataLoss: {Fail, Unknown},
}

// Statuses that are not of the contract are judged by their code, and another
// system's ErrorInfo says nothing to us.
func TestForeignStatus(t *testing.T) {
	if len(byCode) != 16 {
		t.Fatalf("%d codes", len(byCode))
	}
	for code, want := range byCode {
		foreign, err := status.New(code, "why").WithDetails(&errdetails.ErrorInfo{Reason: string(NotOwner), Domain: "elsewhere"})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*Error{From(status.Error(code, "why")), From(foreign.Err())} {
			if e.Reason != "" || e.Code != code || e.Recovery() != want.recovery || e.Outcome() != want.outcome || e.Unwrap() != nil {
				t.Errorf("%+v: recovery %d, outcome %d, want %v", e, e.Recovery(), e.Outcome(), want)
			}
		}
	}
	if e := From(context.DeadlineExceeded); e.Recovery() == Fail || e.Outcome() != Unknown {
		t.Errorf("a deadline: %+v", e)
	}
}

// gRPC's own refusal of a large message has the code of a server that is busy,
// and a retry would repeat it for ever (hole 22). The texts are those of
// grpc-go, gRPC's C core and grpc-java.
func TestMessageTooLarge(t *testing.T) {
	for text, want := range map[string]struct {
		recovery Recovery
		outcome  Outcome
	}{
		"grpc: received message larger than max (5 vs. 4)":             {Fail, NotDone},
		"grpc: received message after decompression larger than max 4": {Fail, NotDone},
		"trying to send message larger than max (5 vs. 4)":             {Fail, NotDone},
		"grpc: message too large (5 bytes)":                            {Fail, NotDone},
		"Received message larger than max (5 vs. 4)":                   {Fail, NotDone},
		"gRPC message exceeds maximum size 4: 5":                       {Fail, NotDone},
		"too many requests":                                            {Retry, Unknown},
		"":                                                             {Retry, Unknown},
	} {
		e := From(status.Error(codes.ResourceExhausted, text))
		if e.Recovery() != want.recovery || e.Outcome() != want.outcome {
			t.Errorf("%q: recovery %d, outcome %d, want %v", text, e.Recovery(), e.Outcome(), want)
		}
		if e := New(Overloaded, "%s", text); e.Recovery() != Retry || e.Outcome() != NotDone {
			t.Errorf("%q with a reason is judged by its text", text)
		}
		if e := From(status.Error(codes.Internal, text)); e.Recovery() != Retry {
			t.Errorf("%q with another code is judged by its text", text)
		}
	}
}
