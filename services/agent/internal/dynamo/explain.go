package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

const accessDenied = "AccessDeniedException"

// explain says what to do about an error that only a person can mend.
func (s *Store) explain(op string, kind meta.Kind, err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	table := *s.table(kind)
	switch code := api.ErrorCode(); code {
	case (*types.ResourceNotFoundException)(nil).ErrorCode():
		return fmt.Errorf("there is no table %q in %s: create it, or set --store-table-prefix to Terraform's output `table_prefix`: %w",
			table, s.region, err)
	case accessDenied:
		return fmt.Errorf("no permission for dynamodb:%s on table %q: add it to the role that Terraform's output `task_role` names: %w",
			op, table, err)
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "IncompleteSignature", "MissingAuthenticationToken":
		return fmt.Errorf("DynamoDB in %s does not accept the credentials: check the role or the keys, and the clock: %w", s.region, err)
	default:
		return err
	}
}
