package s3

import (
	"context"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// Request is one request to S3, and how it ended.
type Request struct {
	// Operation is S3's name for it, as PutObject: what it is billed by.
	Operation string
	// Took is the time until the answer's header.
	Took time.Duration
	// Throttled says that S3 asked to slow down.
	Throttled bool
	// Err is nil when S3 did what it was asked for.
	Err error
}

// observe calls hook after each request, the SDK's own for sessions with
// directory buckets among them.
func observe(hook func(Request)) func(*middleware.Stack) error {
	m := middleware.DeserializeMiddlewareFunc("ObserveRequests", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		start := time.Now()
		out, metadata, err := next.HandleDeserialize(ctx, in)
		hook(Request{
			Operation: awsmiddleware.GetOperationName(ctx), Took: time.Since(start),
			Throttled: throttles.IsErrorThrottle(err).Bool(), Err: err,
		})
		return out, metadata, err
	})
	return func(stack *middleware.Stack) error { return stack.Deserialize.Add(m, middleware.Before) }
}
