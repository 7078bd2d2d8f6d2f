package dynamodb

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

type keyElement struct{ AttributeName, KeyType string }

type attributeDefinition struct{ AttributeName, AttributeType string }

type createTable struct {
	TableName                 string
	KeySchema                 []keyElement
	AttributeDefinitions      []attributeDefinition
	BillingMode               string
	DeletionProtectionEnabled bool
	TableClass                string
	Tags                      []tag
}

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

func (s *Server) createTable(in *createTable) (any, error) {
	if !tableName.MatchString(in.TableName) {
		return nil, invalid("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	if in.BillingMode != "PAY_PER_REQUEST" {
		return nil, invalid("the stand-in has on-demand tables only, not BillingMode %q", in.BillingMode)
	}
	if s.tables[in.TableName] != nil {
		return nil, inUse("Table already exists: %s", in.TableName)
	}
	if in.TableClass != "" && in.TableClass != "STANDARD" {
		return nil, invalid("the stand-in has tables of the class STANDARD only, not %q", in.TableClass)
	}
	t := &table{name: in.TableName, protected: in.DeletionProtectionEnabled, created: time.Now().Unix(), tags: in.Tags}
	kinds := map[string]string{}
	for _, d := range in.AttributeDefinitions {
		kinds[d.AttributeName] = d.AttributeType
	}
	for n, e := range in.KeySchema {
		a := attribute{e.AttributeName, kinds[e.AttributeName]}
		delete(kinds, a.name)
		switch {
		case n == 0 && e.KeyType == "HASH" && (a.kind == "S" || a.kind == "N"):
			t.hash = a
		case n == 1 && e.KeyType == "RANGE" && a.kind == "N":
			t.rng = a
		default:
			return nil, invalid("the stand-in has hash keys of type S and N and range keys of type N, not %+v of type %q", e, a.kind)
		}
	}
	if t.hash.name == "" || len(kinds) > 0 {
		return nil, invalid("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	s.tables[t.name] = t
	return map[string]any{"TableDescription": t.description()}, nil
}

// description is the table as it is. Its first one says that the table is not
// active yet: whoever creates one has to wait.
func (t *table) description() map[string]any {
	status := "ACTIVE"
	if !t.described {
		status = "CREATING"
	}
	keys := []keyElement{{t.hash.name, "HASH"}}
	attributes := []attributeDefinition{{t.hash.name, t.hash.kind}}
	if t.rng.name != "" {
		keys = append(keys, keyElement{t.rng.name, "RANGE"})
		attributes = append(attributes, attributeDefinition{t.rng.name, t.rng.kind})
	}
	count, size := 0, 0
	for _, set := range t.sets {
		for _, r := range set.rows {
			count, size = count+1, size+r.item.size()
		}
	}
	return map[string]any{
		"TableName": t.name, "TableStatus": status, "KeySchema": keys, "AttributeDefinitions": attributes,
		"TableArn": t.arn(), "TableId": fmt.Sprintf("%032x", t.created),
		"BillingModeSummary":        map[string]any{"BillingMode": "PAY_PER_REQUEST"},
		"ProvisionedThroughput":     map[string]any{"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0},
		"DeletionProtectionEnabled": t.protected, "CreationDateTime": t.created,
		"ItemCount": count, "TableSizeBytes": size,
	}
}

func (t *table) arn() string { return "arn:aws:dynamodb:us-east-1:000000000000:table/" + t.name }

type tableRequest struct{ TableName string }

func (s *Server) describeTable(in *tableRequest) (any, error) {
	t, err := s.known(in.TableName)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"Table": t.description()}
	t.described = true
	return out, nil
}

func (s *Server) deleteTable(in *tableRequest) (any, error) {
	t, err := s.known(in.TableName)
	if err != nil {
		return nil, err
	}
	if t.protected {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	delete(s.tables, t.name)
	description := t.description()
	description["TableStatus"] = "DELETING"
	return map[string]any{"TableDescription": description}, nil
}

type listTables struct {
	ExclusiveStartTableName string
	Limit                   int
}

func (s *Server) listTables(in *listTables) (any, error) {
	names := slices.Sorted(maps.Keys(s.tables))
	n, found := slices.BinarySearch(names, in.ExclusiveStartTableName)
	if found {
		n++
	}
	names = names[n:]
	limit := in.Limit
	if limit <= 0 || limit > 100 {
		limit = 100
	}
	if len(names) <= limit {
		return map[string]any{"TableNames": names}, nil
	}
	return map[string]any{"TableNames": names[:limit], "LastEvaluatedTableName": names[limit-1]}, nil
}

func (s *Server) describeTimeToLive(in *tableRequest) (any, error) {
	_, err := s.active(in.TableName)
	return map[string]any{"TimeToLiveDescription": map[string]any{"TimeToLiveStatus": "DISABLED"}}, err
}

type updateContinuousBackups struct {
	TableName                        string
	PointInTimeRecoverySpecification struct{ PointInTimeRecoveryEnabled bool }
}

func (s *Server) updateContinuousBackups(in *updateContinuousBackups) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	t.recovery = in.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled
	return s.describeContinuousBackups(&tableRequest{in.TableName})
}

func (s *Server) describeContinuousBackups(in *tableRequest) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	status := "DISABLED"
	if t.recovery {
		status = "ENABLED"
	}
	return map[string]any{"ContinuousBackupsDescription": map[string]any{
		"ContinuousBackupsStatus":        "ENABLED",
		"PointInTimeRecoveryDescription": map[string]any{"PointInTimeRecoveryStatus": status},
	}}, nil
}
