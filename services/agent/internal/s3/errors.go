package s3

import (
	"errors"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// code is what S3 calls an error; "" when it has not answered.
func code(err error) string {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answer.ErrorCode()
	}
	return ""
}

// status is the HTTP status of S3's answer; 0 without one.
func status(err error) int {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// missing says that no object has the key. A missing bucket, which has the
// same status, is another thing: everything would look deleted.
func missing(err error) bool {
	switch code(err) {
	case "NoSuchKey", "NotFound": // the second where an answer has no body
		return status(err) == http.StatusNotFound
	}
	return false
}

// exists says that If-None-Match has refused a PUT.
func exists(err error) bool { return status(err) == http.StatusPreconditionFailed }
