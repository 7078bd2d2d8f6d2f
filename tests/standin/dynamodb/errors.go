package dynamodb

import (
	"fmt"
	"net/http"
)

// apiError is an error as DynamoDB words it.
type apiError struct {
	status  int
	kind    string // with its namespace, as __type has it
	message string
	item    item // of a failed condition, if it was asked for
}

func (e *apiError) Error() string { return e.kind + ": " + e.message }

const (
	service = "com.amazonaws.dynamodb.v20120810#"
	coral   = "com.amazon.coral."
)

func invalid(format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, kind: coral + "validate#ValidationException", message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, kind: service + "ResourceNotFoundException", message: fmt.Sprintf(format, args...)}
}

func inUse(format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, kind: service + "ResourceInUseException", message: fmt.Sprintf(format, args...)}
}

func conditionFailed(found item) error {
	return &apiError{
		status: http.StatusBadRequest, kind: service + "ConditionalCheckFailedException",
		message: "The conditional request failed", item: found,
	}
}
