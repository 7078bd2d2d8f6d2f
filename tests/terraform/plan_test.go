//go:build terraform

package terraform

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The plan of a new cluster has no hole, and each rule finds one that is made.
func TestPlan(t *testing.T) {
	plan, changes := newCLI(t).plan()
	if !changes {
		t.Fatal("a new cluster is nothing")
	}
	if n := fmt.Sprintf("\n%d resources with the defaults", len(changed(plan))); !strings.Contains(string(read(t, "../../docs/deploy.md")), n) {
		t.Errorf("docs/deploy.md does not say that there are%s", n)
	}
	s := planned(plan)
	for _, hole := range s.holes(false) {
		t.Error(hole)
	}
	breaks := []struct {
		what, kind, attribute string
		value                 any
		want                  string
	}{
		{"an open bucket", "aws_s3_bucket_public_access_block", "block_public_policy", false, "block_public_policy"},
		{"a bucket that goes", "aws_s3_bucket", "force_destroy", true, "deleted with its objects"},
		{"segments that expire", "aws_s3_bucket_lifecycle_configuration", "rule", []any{values{"expiration": []any{values{"days": 30}}}}, "deletes segments"},
		{"a table that goes", "aws_dynamodb_table", "deletion_protection_enabled", false, "can be deleted"},
		{"a table without a past", "aws_dynamodb_table", "point_in_time_recovery", []any{}, "point-in-time"},
		{"rows that expire", "aws_dynamodb_table", "ttl", []any{values{"enabled": true}}, "a clock"},
		{"a public subnet", "aws_subnet", "map_public_ip_on_launch", true, "public addresses"},
		{"everybody", "aws_vpc_security_group_ingress_rule", "cidr_ipv4", "0.0.0.0/0", "let in"},
		{"all ports", "aws_vpc_security_group_ingress_rule", "from_port", nil, "more than one port"},
		{"public tasks", "aws_ecs_service", "network_configuration", []any{values{"assign_public_ip": true}}, "public addresses"},
		{"a shell", "aws_ecs_service", "enable_execute_command", true, "run commands"},
		{"a proxy", "aws_ecs_service", "service_connect_configuration", []any{values{"enabled": true}}, "chooses the agent"},
		{"no encryption", "aws_s3_bucket_server_side_encryption_configuration", "rule", []any{}, "not encrypted"},
		{"logs for ever", "aws_cloudwatch_log_group", "retention_in_days", json.Number("0"), "kept for ever"},
		{"an open default group", "aws_default_security_group", "ingress", []any{values{"protocol": "-1"}}, "default group"},
	}
	for _, b := range breaks {
		if len(s[b.kind]) == 0 {
			t.Fatalf("%s: there is no %s", b.what, b.kind)
		}
		first := s[b.kind][0]
		was := first[b.attribute]
		first[b.attribute] = b.value
		if holes := strings.Join(s.holes(false), "\n"); !strings.Contains(holes, b.want) {
			t.Errorf("%s: no rule finds it; found: %q", b.what, holes)
		}
		first[b.attribute] = was
	}
}

// The rules for what is known only once the stack stands find what is wrong, too.
func TestPlanPolicies(t *testing.T) {
	const tasks = `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Condition":{"StringEquals":{"aws:SourceAccount":"1"}}}]}`
	whole := func() stack {
		role := func() values { return values{"assume_role_policy": tasks, "managed_policy_arns": []any{}} }
		return stack{
			"aws_s3_bucket_policy": {{"policy": `{"Statement":[{"Effect":"Deny","Action":"s3:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`}},
			"aws_iam_role":         {role(), role()},
			"aws_iam_role_policy": {
				{"name": "log", "policy": `{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`},
				{"name": "start", "policy": `{"Statement":[{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}]}`},
			},
		}
	}
	found := func(s stack) string {
		var h holes
		s.policies(&h)
		return strings.Join(h, "\n")
	}
	if holes := found(whole()); holes != "" {
		t.Errorf("nothing is wrong, and found is: %s", holes)
	}
	for _, b := range []struct{ what, kind, attribute, value, want string }{
		{"plain HTTP", "aws_s3_bucket_policy", "policy", `{"Statement":[]}`, "without TLS"},
		{"every action", "aws_iam_role_policy", "policy", `{"Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"arn:aws:s3:::b/*"}]}`, "allows s3:*"},
		{"every resource", "aws_iam_role_policy", "policy", `{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":["*"]}]}`, "on everything"},
		{"everybody", "aws_iam_role", "assume_role_policy", strings.Replace(tasks, `{"Service":"ecs-tasks.amazonaws.com"}`, `"*"`, 1), "may take a role"},
		{"other accounts", "aws_iam_role", "assume_role_policy", strings.Replace(tasks, "aws:SourceAccount", "aws:Other", 1), "other accounts"},
	} {
		s := whole()
		s[b.kind][0][b.attribute] = b.value
		if holes := found(s); !strings.Contains(holes, b.want) {
			t.Errorf("%s: no rule finds it; found: %q", b.what, holes)
		}
	}
}
