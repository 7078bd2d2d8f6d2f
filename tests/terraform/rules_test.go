//go:build terraform

package terraform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// stack is what a plan wants there to be, by type.
type stack map[string][]values

type values = map[string]any

func planned(plan *tfjson.Plan) stack { return collect(plan.PlannedValues.RootModule) }

func collect(root *tfjson.StateModule) stack {
	s := stack{}
	var add func(m *tfjson.StateModule)
	add = func(m *tfjson.StateModule) {
		for _, r := range m.Resources {
			if r.Mode == tfjson.ManagedResourceMode {
				s[r.Type] = append(s[r.Type], r.AttributeValues)
			}
		}
		for _, child := range m.ChildModules {
			add(child)
		}
	}
	add(root)
	return s
}

// holes lists what is wrong with a stack's security. Before it was ever applied
// its ARNs are unknown, and so are its policies: known tells that they are there.
func (s stack) holes(known bool) []string {
	var h holes
	s.data(&h)
	s.network(&h)
	s.tasks(&h)
	if known {
		s.policies(&h)
	}
	return h
}

type holes []string

func (h *holes) unless(ok bool, format string, args ...any) {
	if !ok {
		*h = append(*h, fmt.Sprintf(format, args...))
	}
}

func (s stack) data(h *holes) {
	buckets := len(s["aws_s3_bucket"])
	h.unless(buckets == 1, "there are %d buckets", buckets)
	h.unless(len(s["aws_s3_bucket_public_access_block"]) == buckets, "public access to a bucket is not blocked")
	for _, b := range s["aws_s3_bucket_public_access_block"] {
		for _, what := range []string{"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"} {
			h.unless(b[what] == true, "the bucket's %s is off", what)
		}
	}
	h.unless(len(s["aws_s3_bucket_server_side_encryption_configuration"]) == buckets, "a bucket is not encrypted")
	for _, e := range s["aws_s3_bucket_server_side_encryption_configuration"] {
		h.unless(len(list(e["rule"])) == 1 && len(list(list(e["rule"])[0]["apply_server_side_encryption_by_default"])) == 1, "a bucket is not encrypted")
	}
	h.unless(len(s["aws_s3_bucket_policy"]) == buckets, "a bucket has no policy")
	for _, b := range s["aws_s3_bucket"] {
		h.unless(b["force_destroy"] == false, "the bucket can be deleted with its objects")
	}
	for _, l := range s["aws_s3_bucket_lifecycle_configuration"] {
		for _, rule := range list(l["rule"]) {
			h.unless(len(list(rule["expiration"])) == 0, "a lifecycle rule deletes segments")
		}
	}
	h.unless(len(s["aws_dynamodb_table"]) == 8, "there are %d tables", len(s["aws_dynamodb_table"]))
	for _, table := range s["aws_dynamodb_table"] {
		h.unless(table["deletion_protection_enabled"] == true, "table %v can be deleted", table["name"])
		h.unless(len(list(table["point_in_time_recovery"])) == 1 && list(table["point_in_time_recovery"])[0]["enabled"] == true,
			"table %v has no point-in-time recovery", table["name"])
		for _, ttl := range list(table["ttl"]) {
			h.unless(ttl["enabled"] != true, "a clock deletes rows of table %v", table["name"])
		}
	}
	h.unless(len(s["aws_cloudwatch_log_group"]) > 0, "there is no log group")
	for _, group := range s["aws_cloudwatch_log_group"] {
		days, _ := group["retention_in_days"].(json.Number).Int64()
		h.unless(days > 0, "logs of %v are kept for ever", group["name"])
	}
}

func (s stack) network(h *holes) {
	for _, public := range []string{
		"aws_internet_gateway", "aws_nat_gateway", "aws_eip", "aws_lb", "aws_security_group_rule",
		"aws_iam_user", "aws_iam_access_key", "aws_secretsmanager_secret_version", "tls_private_key",
	} {
		h.unless(len(s[public]) == 0, "the stack has an %s", public)
	}
	for _, subnet := range s["aws_subnet"] {
		h.unless(subnet["map_public_ip_on_launch"] == false, "subnet %v gives public addresses", subnet["cidr_block"])
	}
	own := map[any]bool{nil: true}
	for _, vpc := range s["aws_vpc"] {
		own[vpc["cidr_block"]] = true
	}
	h.unless(len(s["aws_vpc_security_group_ingress_rule"]) >= 3, "clients, agents or endpoints cannot be reached")
	for _, rule := range s["aws_vpc_security_group_ingress_rule"] {
		h.unless(own[rule["cidr_ipv4"]] && rule["cidr_ipv6"] == nil, "addresses of %v are let in", rule["cidr_ipv4"])
		h.unless(rule["ip_protocol"] == "tcp" && rule["from_port"] == rule["to_port"], "a rule lets more than one port in")
	}
	for _, group := range s["aws_default_security_group"] {
		h.unless(len(list(group["ingress"])) == 0, "the VPC's default group lets its members talk")
	}
}

func (s stack) tasks(h *holes) {
	h.unless(len(s["aws_ecs_service"]) == 1, "there is no service")
	for _, service := range s["aws_ecs_service"] {
		h.unless(list(service["network_configuration"])[0]["assign_public_ip"] == false, "tasks have public addresses")
		h.unless(service["enable_execute_command"] != true, "people can run commands in tasks")
		h.unless(len(list(service["load_balancer"]))+len(list(service["service_connect_configuration"])) == 0, "something between clients and tasks chooses the agent")
	}
	for _, r := range s["aws_ecr_repository"] {
		h.unless(r["image_tag_mutability"] == "IMMUTABLE", "an image's tag can be moved")
	}
	for _, task := range s["aws_ecs_task_definition"] {
		for _, c := range containers(task) {
			h.unless(c["readonlyRootFilesystem"] == true && c["user"] == "65532:65532" && c["privileged"] != true, "the agent runs with more rights than it needs")
			h.unless(strings.Contains(fmt.Sprint(c["image"]), "@sha256:"), "the image is not named by its digest")
			for _, e := range list(c["environment"]) {
				h.unless(!strings.Contains(fmt.Sprint(e["value"]), "PRIVATE KEY"), "%v holds a key", e["name"])
				h.unless(!strings.HasSuffix(fmt.Sprint(e["name"]), "_PEM"), "%v is not a secret", e["name"])
			}
		}
	}
}

// policies looks at what is known once the stack stands.
func (s stack) policies(h *holes) {
	for _, p := range s["aws_s3_bucket_policy"] {
		text := fmt.Sprint(p["policy"])
		h.unless(strings.Contains(text, `"aws:SecureTransport":"false"`) && strings.Contains(text, `"Deny"`), "the bucket takes requests without TLS")
	}
	h.unless(len(s["aws_iam_role_policy"]) == 2 && len(s["aws_iam_role"]) == 2, "there are other roles than those of task and execution")
	for _, p := range s["aws_iam_role_policy"] {
		for _, st := range statements(p["policy"]) {
			for _, action := range st.Action {
				h.unless(!strings.Contains(action, "*"), "policy %v allows %s", p["name"], action)
			}
			for _, resource := range st.Resource {
				h.unless(resource != "*" || slices.Equal(st.Action, []string{"ecr:GetAuthorizationToken"}), "policy %v allows %v on everything", p["name"], st.Action)
			}
		}
	}
	for _, role := range s["aws_iam_role"] {
		for _, st := range statements(role["assume_role_policy"]) {
			h.unless(fmt.Sprint(st.Principal) == "map[Service:ecs-tasks.amazonaws.com]", "%v may take a role", st.Principal)
			h.unless(st.Condition["StringEquals"]["aws:SourceAccount"] != nil, "tasks of other accounts may take a role")
		}
		h.unless(len(strings.Fields(strings.Trim(fmt.Sprint(role["managed_policy_arns"]), "[]<nil>"))) == 0, "a role has policies of AWS")
	}
}

type statement struct {
	Effect           string
	Action, Resource oneOrMore
	Principal        any
	Condition        map[string]map[string]any
}

// oneOrMore is a list that is written as a string when it has one element.
type oneOrMore []string

func (l *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

func statements(policy any) []statement {
	var p struct{ Statement []statement }
	if err := json.Unmarshal([]byte(fmt.Sprint(policy)), &p); err != nil {
		panic(fmt.Sprintf("%v in policy %v", err, policy))
	}
	return slices.DeleteFunc(p.Statement, func(s statement) bool { return s.Effect != "Allow" })
}

func containers(task values) []values {
	var all []values
	if err := json.Unmarshal([]byte(fmt.Sprint(task["container_definitions"])), &all); err != nil {
		return nil // not known yet
	}
	return all
}

func list(v any) []values {
	var all []values
	items, _ := v.([]any)
	for _, item := range items {
		if m, ok := item.(values); ok {
			all = append(all, m)
		}
	}
	return all
}
