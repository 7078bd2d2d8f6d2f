//go:build terraform

package terraform

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

// The whole life of a cluster: applied, found as it was wished, changed in
// place, refused to be destroyed, destroyed.
func TestApply(t *testing.T) {
	c := newCLI(t)
	c.plan()
	c.apply()

	plan, changes := c.plan()
	if changes {
		t.Errorf("what was just applied is to be changed: %v", changed(plan))
	}
	for _, hole := range planned(plan).holes(true) {
		t.Error(hole)
	}

	c.agents()

	if plan, changes = c.plan("-var=min_tasks=4"); !changes {
		t.Error("another size changes nothing")
	}
	for _, rc := range plan.ResourceChanges {
		if rc.Change.Actions.Replace() || rc.Change.Actions.Delete() {
			t.Errorf("another size replaces %s", rc.Address)
		}
		if kept := strings.HasPrefix(rc.Type, "aws_dynamodb") || strings.HasPrefix(rc.Type, "aws_s3"); kept && !rc.Change.Actions.NoOp() {
			t.Errorf("another size changes %s, which is the log", rc.Address)
		}
		if rc.Type == "aws_ecs_service" && fmt.Sprint(attribute(rc.Change.After, "desired_count")) != "3" {
			t.Error("another size sets the number of tasks, which is autoscaling's")
		}
	}
	c.apply()
	if plan, changes = c.plan("-var=min_tasks=4"); changes {
		t.Errorf("a change in place does not last: %v", changed(plan))
	}

	out, _, err := c.try("destroy", "-auto-approve", "-input=false", c.state(), "-target=module.streamhouse.module.storage.aws_dynamodb_table.rows")
	if err == nil || !strings.Contains(string(out), "protect") {
		t.Errorf("a protected log was destroyed: %v\n%s", err, out)
	}

	c.plan("-var=protect_data=false")
	c.apply()
	c.run("destroy", "-auto-approve", "-input=false", "-parallelism=30", c.state(), "-var=protect_data=false")
	c.nothingLeft()
	c.deployerMay()
}

func (c *cli) nothingLeft() {
	c.t.Helper()
	if left := strings.TrimSpace(string(c.run("state", "list", c.state()))); left != "" {
		c.t.Errorf("destroyed, and Terraform still knows of\n%s", left)
	}
	for _, q := range []struct{ service, target, body string }{
		{"s3", "", ""},
		{"dynamodb", "DynamoDB_20120810.ListTables", "{}"},
		{"ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", "{}"},
		{"logs", "Logs_20140328.DescribeLogGroups", "{}"},
		{"servicediscovery", "Route53AutoNaming_v20170314.ListNamespaces", "{}"},
		{"ec2", "", "Action=DescribeSecurityGroups&Version=2016-11-15"},
		{"iam", "", "Action=ListRoles&Version=2010-05-08"},
		{"monitoring", "", "Action=DescribeAlarms&Version=2010-08-01"},
	} {
		if answer := c.ask(q.service, q.target, q.body); strings.Contains(answer, "streamhouse") {
			c.t.Errorf("destroyed, and %s still has\n%s", q.service, answer)
		}
	}
}

// deployerMay holds the policy of the docs for whoever applies to what an apply
// and a destroy asked for.
func (c *cli) deployerMay() {
	c.t.Helper()
	asked := c.calls.of("test")
	if len(asked) < 50 {
		c.t.Errorf("Terraform asked for %v, which is too little", asked)
	}
	var allowed []string
	for _, st := range statements(string(read(c.t, root+"/deployer-policy.json"))) {
		allowed = append(allowed, st.Action...)
	}
	for _, action := range asked {
		if !slices.ContainsFunc(allowed, func(pattern string) bool {
			ok, err := path.Match(pattern, action)
			return ok && err == nil
		}) {
			c.t.Errorf("deployer-policy.json does not allow %s", action)
		}
	}
}

func changed(plan *tfjson.Plan) []string {
	var all []string
	for _, rc := range plan.ResourceChanges {
		if !slices.Contains([]bool{rc.Change.Actions.NoOp(), rc.Change.Actions.Read()}, true) {
			all = append(all, rc.Address)
		}
	}
	return all
}

func attribute(of any, name string) any {
	m, _ := of.(map[string]any)
	return m[name]
}
