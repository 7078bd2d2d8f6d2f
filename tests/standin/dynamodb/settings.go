package dynamodb

import "strings"

// What Terraform asks of tables and agents do not.

type tag struct{ Key, Value string }

type resourceRequest struct{ ResourceArn, NextToken string }

func (s *Server) listTags(in *resourceRequest) (any, error) {
	_, name, _ := strings.Cut(in.ResourceArn, ":table/")
	t, err := s.known(name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": append([]tag{}, t.tags...)}, nil
}

// updateTable changes the only thing of a table that can be changed here.
type updateTable struct {
	TableName                 string
	DeletionProtectionEnabled *bool
}

func (s *Server) updateTable(in *updateTable) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	if in.DeletionProtectionEnabled == nil {
		return nil, invalid("At least one of ProvisionedThroughput, BillingMode, DeletionProtectionEnabled … is required")
	}
	t.protected = *in.DeletionProtectionEnabled
	return map[string]any{"TableDescription": t.description()}, nil
}
