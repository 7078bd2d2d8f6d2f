package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// times bound an operation. DynamoDB answers most requests within 10 ms.
type times struct {
	row   time.Duration // one try at a row
	page  time.Duration // one try at a page of up to 1 MB
	total time.Duration // of all tries, beyond which none begins
	// Pauses double from first to most, and begin at throttled where DynamoDB
	// asks for less; each is cut by up to half, at random.
	first, throttled, most time.Duration
}

var defaultTimes = times{
	row: 2 * time.Second, page: 5 * time.Second, total: 10 * time.Second,
	first: 25 * time.Millisecond, throttled: 100 * time.Millisecond, most: time.Second,
}

// errNoAnswer is in place of the deadline of a try, which is not the caller's.
var errNoAnswer = errors.New("no answer")

// try sends a request until it is answered, or trying again cannot help, or
// the time is over. doubt says that a try may have had its effect although its
// answer was not a success.
func (s *Store) try(ctx context.Context, limit time.Duration, send func(context.Context) error) (doubt bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	end := time.Now().Add(s.times.total)
	for pause := s.times.first; ; pause = min(2*pause, s.times.most) {
		err := attempt(ctx, limit, send)
		v := verdictOf(err)
		doubt = doubt || v == doubtful
		if ctx.Err() != nil && err != nil {
			return doubt, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		if v == throttled {
			pause = max(pause, s.times.throttled)
		}
		wait := pause/2 + rand.N(pause/2)
		if v == final || time.Until(end) < wait {
			return doubt, err
		}
		if sleep(ctx, wait) != nil {
			return doubt, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// attempt sends once.
func attempt(ctx context.Context, limit time.Duration, send func(context.Context) error) error {
	own, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := send(own)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &smithyhttp.RequestSendError{Err: fmt.Errorf("%w within %v", errNoAnswer, limit)}
	}
	return err
}

// verdict says whether to try again, and what the failed try may have done.
type verdict int

const (
	final     verdict = iota // the answer; trying again cannot change it
	throttled                // without effect, because there was too much
	unsent                   // without effect: nobody could be reached
	doubtful                 // it may have had its effect
)

func verdictOf(err error) verdict {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return verdictOfAnswer(api, err)
	}
	if sent, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		if op, ok := errors.AsType[*net.OpError](sent); ok && op.Op == "dial" {
			return unsent
		}
		return doubtful
	}
	if _, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return doubtful // the answer could not be read
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return doubtful
	}
	return final // success, or not sent for want of credentials, a region, ...
}

func verdictOfAnswer(api smithy.APIError, err error) verdict {
	if _, ok := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; ok {
		return throttled
	}
	status := 0
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = answer.HTTPStatusCode()
	}
	if status >= http.StatusInternalServerError || api.ErrorCode() == unknownError {
		return doubtful
	}
	return final
}

// unknownError is the SDK's code for an answer that has none: not DynamoDB's,
// or only a part of it.
const unknownError = "UnknownError"

func conditionFailed(err error) (*types.ConditionalCheckFailedException, bool) {
	return errors.AsType[*types.ConditionalCheckFailedException](err)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
