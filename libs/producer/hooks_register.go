package producer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// WithHooks registers hooks: values that implement one or more of the Hook
// interfaces, such as StartHook or RetryHook. They are called in the order in
// which they were registered. New refuses a value that implements none, or that
// has a method of one of them with other parameters: it would never be called.
// Without hooks their places cost next to nothing.
func WithHooks(hooks ...any) Option {
	return func(c *config) {
		for _, h := range hooks {
			c.hooks.add(h)
		}
	}
}

// hooks are those registered, by event. Events are made in the loop over them,
// so that without hooks there is only the look at an empty slice.
type hooks struct {
	start      []StartHook
	closed     []CloseHook
	record     []RecordHook
	sent       []BatchSentHook
	answer     []AnswerHook
	done       []BatchDoneHook
	retry      []RetryHook
	throttle   []ThrottleHook
	full       []BufferFullHook
	connect    []ConnectHook
	disconnect []DisconnectHook
	breaker    []BreakerHook
	hedge      []HedgeHook

	problems []error
}

func (k *hooks) add(h any) {
	if h == nil {
		k.problems = append(k.problems, errors.New("WithHooks: a hook is nil"))
		return
	}
	var r registration
	register(&r, h, &k.start)
	register(&r, h, &k.closed)
	register(&r, h, &k.record)
	register(&r, h, &k.sent)
	register(&r, h, &k.answer)
	register(&r, h, &k.done)
	register(&r, h, &k.retry)
	register(&r, h, &k.throttle)
	register(&r, h, &k.full)
	register(&r, h, &k.connect)
	register(&r, h, &k.disconnect)
	register(&r, h, &k.breaker)
	register(&r, h, &k.hedge)
	switch {
	case len(r.mistaken) > 0:
		k.problems = append(k.problems, fmt.Errorf("WithHooks: %T would not be called: its %s differs in its parameters from this package's",
			h, strings.Join(r.mistaken, ", ")))
	case !r.any:
		k.problems = append(k.problems, fmt.Errorf("WithHooks: %T would not be called: it has no method of a Hook interface, or has it on the pointer only", h))
	}
}

// registration is what became of one value.
type registration struct {
	any      bool
	mistaken []string // methods with the name of a hook's and other parameters
}

// register notes h if it is such a hook.
func register[H any](r *registration, h any, to *[]H) {
	if hook, ok := h.(H); ok {
		*to, r.any = append(*to, hook), true
		return
	}
	name := reflect.TypeFor[H]().Method(0).Name
	if _, ok := reflect.TypeOf(h).MethodByName(name); ok {
		r.mistaken = append(r.mistaken, name)
	}
}

// ReasonOf makes a short label of an error of this library, from a bounded set:
// what the library gave up for ("DELIVERY_TIMEOUT"), else the reason with which
// an agent refused ("NOT_OWNER"), else the gRPC status ("UNAVAILABLE", as for a
// lost connection). It is empty for nil.
func ReasonOf(err error) string {
	if err == nil {
		return ""
	}
	for _, own := range ownReasons {
		if errors.Is(err, own.err) {
			return own.label
		}
	}
	var r reason.Reason
	if errors.As(err, &r) && r.Code() != codes.Unknown { // one of the contract
		return string(r)
	}
	return codeName(reason.From(err).Code)
}

// codeName spells a status as gRPC's documents do, UNAVAILABLE. Numbers that
// gRPC does not know are one label.
func codeName(c codes.Code) string {
	if c > codes.Unauthenticated {
		c = codes.Unknown
	}
	var name []rune
	for i, r := range c.String() {
		if i > 0 && unicode.IsUpper(r) {
			name = append(name, '_')
		}
		name = append(name, unicode.ToUpper(r))
	}
	return string(name)
}

var ownReasons = []struct {
	err   error
	label string
}{
	{ErrDeliveryTimeout, "DELIVERY_TIMEOUT"},
	{ErrRetriesExhausted, "RETRIES_EXHAUSTED"},
	{ErrGivenUp, "GIVEN_UP"},
	{ErrClosed, "CLOSED"},
	{ErrBufferFull, "BUFFER_FULL"},
	{ErrRecordTooLarge, "RECORD_TOO_LARGE"},
	{ErrNoTopic, "NO_TOPIC"},
	{ErrInvalidPartition, "INVALID_PARTITION"},
	{context.Canceled, "CANCELED"},
	{context.DeadlineExceeded, "DEADLINE_EXCEEDED"},
}
