package dynamo_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/standin"
)

func wantSays(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that says %q", says)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}

// A check changes nothing, and passes on tables that are in use.
func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	mustCreate(t, s, &meta.Session{ID: "0"}, &meta.Partition{}, &meta.Topic{Name: "0"}, &meta.Entry{Session: "0"})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	got := &meta.Session{ID: "0"}
	if err := s.Get(t.Context(), got); err != nil || got.Version != 1 {
		t.Errorf("after the check: %+v, %v", got, err)
	}
	if n := count(t, meta.Scan[*meta.Entry](t.Context(), s)); n != 1 {
		t.Errorf("after the check there are %d journal rows, want 1", n)
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := open(t, config(server.Endpoint), dynamo.Options{TablePrefix: "none"})
	err := s.Check(t.Context())
	for _, kind := range meta.Kinds() {
		wantSays(t, err, fmt.Sprintf(`there is no table "none-%s" in us-east-1`, kind))
	}
	wantSays(t, err, "`table_prefix`")
	wantSays(t, s.Create(t.Context(), &meta.Session{ID: "s"}), `no table "none-sessions"`)
}

func TestCheckNamesPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	denied := standin.Rule{Kind: standin.Refuse, Status: 400, Body: `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}`, Times: 100}
	rules := []standin.Rule{denied, denied}
	rules[0].Operation, rules[1].Operation = "PutItem", "Query"
	w.set(t, rules...)
	wantSays(t, s.Check(t.Context()), `no permission for dynamodb:Query, dynamodb:PutItem on table "`+w.name+`-journal"`, "`task_role`")
	wantSays(t, s.Create(t.Context(), &meta.Session{ID: "s"}), "no permission for dynamodb:PutItem")
}

// Bad keys are not tried again and again, and the error says where to look.
func TestCheckCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(t, standin.Rule{Kind: standin.Refuse, Status: 400, Times: 100, Body: `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"bad token"}`})
	start := time.Now()
	wantSays(t, w.store(t).Check(t.Context()), "does not accept the credentials", "bad token")
	if n := w.fired(t); n > len(meta.Kinds()) || time.Since(start) > 5*time.Second {
		t.Errorf("sent %d times in %v", n, time.Since(start))
	}
}

// Tables of another program under our prefix are refused.
func TestForeignTable(t *testing.T) {
	t.Parallel()
	cfg := config(server.Endpoint)
	client := sdk.NewFromConfig(cfg)
	table := aws.String("foreign-journal")
	_, err := client.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName: table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, cfg, dynamo.Options{TablePrefix: "foreign"})
	wantSays(t, s.CreateTables(t.Context(), dynamo.TableOptions{}), `"foreign-journal"`, "other keys")
	wantSays(t, s.Check(t.Context()), `"foreign-journal" is not one of StreamHouse`)
}

// What tables are made with; making them again leaves them alone.
func TestCreateTables(t *testing.T) {
	t.Parallel()
	cfg := config(server.Endpoint)
	s := open(t, cfg, dynamo.Options{TablePrefix: "guarded"})
	opts := dynamo.TableOptions{DeletionProtection: true, PointInTimeRecovery: true}
	for range 2 {
		if err := s.CreateTables(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		opts = dynamo.TableOptions{}
		_ = s.Create(t.Context(), &meta.Session{ID: "stays"})
	}
	if err := s.Get(t.Context(), &meta.Session{ID: "stays"}); err != nil {
		t.Error(err)
	}
	client := sdk.NewFromConfig(cfg)
	for _, kind := range meta.Kinds() {
		table := aws.String("guarded-" + string(kind))
		out, err := client.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: table})
		if err != nil {
			t.Fatal(err)
		}
		if !*out.Table.DeletionProtectionEnabled || out.Table.BillingModeSummary.BillingMode != types.BillingModePayPerRequest {
			t.Errorf("%s: %+v", kind, out.Table)
		}
		backups, err := client.DescribeContinuousBackups(t.Context(), &sdk.DescribeContinuousBackupsInput{TableName: table})
		if err != nil || backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled {
			t.Errorf("%s: %+v, %v", kind, backups, err)
		}
		if _, err := client.DeleteTable(t.Context(), &sdk.DeleteTableInput{TableName: table}); err == nil {
			t.Errorf("%s could be deleted", kind)
		}
	}
}

func TestDeleteTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	mustCreate(t, s, &meta.Session{ID: "s"})
	for range 2 { // the second time nothing is there
		if err := s.DeleteTables(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantSays(t, s.Check(t.Context()), "there is no table")
}
