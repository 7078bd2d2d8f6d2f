package dynamodb_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamhouse/streamhouse/tests/standin/dynamodb"
)

// send makes one request as a client of AWS would, and returns the answer's
// status and body.
func send(h http.Handler, operation, body string) (int, string) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer, _ := io.ReadAll(w.Body)
	return w.Code, string(answer)
}

func must(t *testing.T, h http.Handler, operation, body string) string {
	t.Helper()
	status, answer := send(h, operation, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", operation, body, status, answer)
	}
	return answer
}

// newTable has the hash key h, a string, and the range key r.
func newTable(t *testing.T) http.Handler {
	t.Helper()
	h := dynamodb.New()
	must(t, h, "CreateTable", `{"TableName":"tab","BillingMode":"PAY_PER_REQUEST",
		"KeySchema":[{"AttributeName":"h","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],
		"AttributeDefinitions":[{"AttributeName":"h","AttributeType":"S"},{"AttributeName":"r","AttributeType":"N"}]}`)
	if _, answer := send(h, "GetItem", `{"TableName":"tab","Key":{"h":{"S":"a"},"r":{"N":"1"}}}`); !strings.Contains(answer, "ResourceNotFoundException") {
		t.Errorf("a table that is being created answers %s", answer)
	}
	for range 2 { // the first answer says that it is being created
		must(t, h, "DescribeTable", `{"TableName":"tab"}`)
	}
	return h
}

// Everything that is not understood, or that DynamoDB refuses, is refused.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newTable(t)
	long := strings.Repeat("x", 400<<10)
	for _, c := range []struct{ operation, body, want string }{
		{"UpdateItem", `{}`, "UnknownOperationException"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ReturnValues":"ALL_OLD"}`, "ReturnValues"},
		{"PutItem", `{"TableName":"none","Item":{"h":{"S":"a"},"r":{"N":"1"}}}`, "ResourceNotFoundException"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"}}}`, "Missing the key r in the item"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"S":"1"}}}`, "Type mismatch for key r expected: N actual: S"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":""},"r":{"N":"1"}}}`, "empty string value. Key: h"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"x"}}}`, "cannot be converted to a numeric value: x"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"123456789012345678901234567890123456789"}}}`, "more than 38 significant digits"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"},"v":{"SS":["a"]}}}`, "SerializationException"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"},"v":{}}}`, "AttributeValue is empty"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"},"v":{"S":"` + long + `"}}}`, "Item size has exceeded the maximum allowed size"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"attribute_exists(h)"}`, "Invalid ConditionExpression"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"#v = :v","ExpressionAttributeNames":{"#v":"v"}}`, "is not defined; attribute value: :v"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ExpressionAttributeNames":{"#v":"v"}}`, "unused in expressions: keys: {#v}"},
		{"PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"attribute_exists(#h)","ExpressionAttributeNames":{"#h":"h"}}`, "ConditionalCheckFailedException"},
		{"GetItem", `{"TableName":"tab","Key":{"h":{"S":"a"}}}`, "does not match the schema"},
		{"DeleteItem", `{"TableName":"tab","Key":{"h":{"S":"a"},"r":{"N":"1"},"x":{"N":"1"}}}`, "does not match the schema"},
		{"Query", `{"TableName":"tab","KeyConditionExpression":"#r >= :r","ExpressionAttributeNames":{"#r":"r"},"ExpressionAttributeValues":{":r":{"N":"1"}}}`, "missed key schema element: h"},
		{"CreateTable", `{"TableName":"tab","BillingMode":"PAY_PER_REQUEST"}`, "ResourceInUseException"},
	} {
		if status, answer := send(h, c.operation, c.body); status != http.StatusBadRequest || !strings.Contains(answer, c.want) {
			t.Errorf("%s %.120s\n got %d %s\nwant %q", c.operation, c.body, status, answer, c.want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); !strings.Contains(w.Body.String(), "MissingAuthenticationToken") {
		t.Errorf("an unsigned request is answered with %s", w.Body)
	}
}

// Of many conditional writes one succeeds; a loser is shown what stands.
func TestAtomic(t *testing.T) {
	t.Parallel()
	h := newTable(t)
	var won atomic.Int64
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			status, answer := send(h, "PutItem", fmt.Sprintf(`{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"},"n":{"N":"%d"}},
				"ConditionExpression":"attribute_not_exists(#h)","ExpressionAttributeNames":{"#h":"h"},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`, n))
			if status == http.StatusOK {
				won.Add(1)
			} else if !strings.Contains(answer, `"Item":{"h":{"S":"a"}`) {
				t.Errorf("a loser got %s", answer)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d writes won", won.Load())
	}
}

// Pages end at 1 MB or at the limit, in the order of numbers, and go on from
// where they ended, even behind a row that is gone.
func TestPages(t *testing.T) {
	t.Parallel()
	h := newTable(t)
	for _, n := range []int{10, 9, 1, 2} {
		must(t, h, "PutItem", fmt.Sprintf(`{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"%d"},"v":{"S":"%s"}}}`, n, strings.Repeat("x", 390<<10)))
	}
	const query = `{"TableName":"tab","KeyConditionExpression":"#h = :h","ExpressionAttributeNames":{"#h":"h"},"ExpressionAttributeValues":{":h":{"S":"a"}}%s}`
	type row struct{ R struct{ N string } }
	var page struct {
		Items            []row
		LastEvaluatedKey json.RawMessage
	}
	read := func(more string) (got string) {
		page.Items, page.LastEvaluatedKey = nil, nil
		if err := json.Unmarshal([]byte(must(t, h, "Query", fmt.Sprintf(query, more))), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			got += r.R.N + " "
		}
		return got
	}
	if got := read(""); got != "1 2 9 " || page.LastEvaluatedKey == nil {
		t.Errorf("the first page is %q", got)
	}
	must(t, h, "DeleteItem", `{"TableName":"tab","Key":{"h":{"S":"a"},"r":{"N":"9"}}}`)
	if got := read(`,"ExclusiveStartKey":` + string(page.LastEvaluatedKey)); got != "10 " || page.LastEvaluatedKey != nil {
		t.Errorf("the second page is %q", got)
	}
	if got := read(`,"Limit":1`); got != "1 " || page.LastEvaluatedKey == nil {
		t.Errorf("a page of one is %q", got)
	}
}

// Terraform protects a table, and takes that away before it deletes it.
func TestProtection(t *testing.T) {
	t.Parallel()
	h := newTable(t)
	for _, protected := range []string{"true", "false"} {
		must(t, h, "UpdateTable", `{"TableName":"tab","DeletionProtectionEnabled":`+protected+`}`)
		if answer := must(t, h, "DescribeTable", `{"TableName":"tab"}`); !strings.Contains(answer, `"DeletionProtectionEnabled":`+protected) {
			t.Errorf("after it was set to %s: %s", protected, answer)
		}
		_, answer := send(h, "DeleteTable", `{"TableName":"tab"}`)
		if refused := strings.Contains(answer, "protected against deletion"); refused != (protected == "true") {
			t.Errorf("protected %s, deleted: %s", protected, answer)
		}
	}
	if _, answer := send(newTable(t), "UpdateTable", `{"TableName":"tab"}`); !strings.Contains(answer, "ValidationException") {
		t.Errorf("an update of nothing: %s", answer)
	}
	if answer := must(t, newTable(t), "ListTagsOfResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab"}`); answer != `{"Tags":[]}` {
		t.Errorf("tags of a table without: %s", answer)
	}
}
