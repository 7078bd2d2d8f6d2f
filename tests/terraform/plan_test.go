//go:build terraform

package terraform

import (
	"strings"
	"testing"
)

// The plan of a new cluster has no hole, and each rule finds one that is made.
func TestPlan(t *testing.T) {
	plan, changes := newCLI(t).plan()
	if !changes {
		t.Fatal("a new cluster is nothing")
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
