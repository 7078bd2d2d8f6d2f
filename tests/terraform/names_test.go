package terraform

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The root hands every variable to the stack and every output back.
func TestRoot(t *testing.T) {
	top, stack := parse(t, root), parse(t, filepath.Join(root, "modules/stack"))
	for _, b := range top.blocks {
		if b.Type != "module" {
			continue
		}
		for name := range stack.variables {
			if b.text(name) != "var."+name {
				t.Errorf("the root does not pass var.%s to the stack", name)
			}
		}
	}
	for name, b := range stack.outputs {
		if top.outputs[name].Block == nil || top.outputs[name].text("value") != "module.stack."+name || top.outputs[name].text("description") != b.text("description") {
			t.Errorf("the root does not give the stack's output %s", name)
		}
	}
}

// No provider and no backend below the roots: the caller's are used.
func TestModulesAreModules(t *testing.T) {
	for _, m := range modules(t) {
		if !strings.HasPrefix(m.name, "modules/") {
			continue
		}
		for _, b := range m.blocks {
			if b.Type == "provider" {
				t.Errorf("%s has a provider of its own", m.name)
			}
			for _, inner := range b.Body.Blocks {
				if b.Type == "terraform" && inner.Type == "backend" {
					t.Errorf("%s has a backend", m.name)
				}
			}
		}
	}
}

// Each validation is hit by a test, so that its message is one that people get.
func TestRefusals(t *testing.T) {
	stack := parse(t, filepath.Join(root, "modules/stack"))
	for _, m := range modules(t) {
		hit := map[string]int{}
		for _, b := range blocks(t, filepath.Join(root, m.name, "tests/*.tftest.hcl")) {
			if b.Type == "run" {
				hit[b.text("expect_failures")]++
			}
		}
		for name, v := range m.variables {
			if _, its := stack.variables[name]; its && m.name == "." {
				continue // the root's are the stack's, all but one
			}
			n := 0
			for _, inner := range v.Body.Blocks {
				if inner.Type == "validation" {
					n++
				}
			}
			if hit["[var."+name+"]"] < n {
				t.Errorf("%s: variable %s has %d validations and %d tests that expect its refusal", m.name, name, n, hit["[var."+name+"]"])
			}
		}
	}
}

var (
	setting = regexp.MustCompile(`STREAMHOUSE_[A-Z_]+`)
	metric  = regexp.MustCompile(`(?:metric += |metric_name += |\[|namespace, )"([A-Z][A-Za-z]+(?:_[a-z_]+)?)"`)
)

// The agent knows each setting that the task definition gives it.
func TestSettings(t *testing.T) {
	docs := map[string]bool{}
	for _, name := range setting.FindAllString(string(read(t, "../../docs/configuration.md")), -1) {
		docs[name] = true
	}
	used := map[string]bool{}
	for _, name := range setting.FindAllString(string(read(t, filepath.Join(root, "modules/agent/task.tf"))), -1) {
		used[name] = true
		if !docs[name] {
			t.Errorf("docs/configuration.md has no %s, which the task definition sets", name)
		}
	}
	for _, name := range []string{
		"STREAMHOUSE_STORE", "STREAMHOUSE_STORE_BUCKET", "STREAMHOUSE_STORE_TABLE_PREFIX", "STREAMHOUSE_LISTEN", "STREAMHOUSE_CLUSTER",
		"STREAMHOUSE_METRICS_CLOUDWATCH", "STREAMHOUSE_DRAIN_TIMEOUT", "STREAMHOUSE_BUFFER_BYTES", "STREAMHOUSE_TLS_CERT_PEM", "STREAMHOUSE_TLS_KEY_PEM",
	} {
		if !used[name] {
			t.Errorf("the task definition does not set %s", name)
		}
	}
}

// emitted are CloudWatch's names in docs/metrics.md, which a test of the agent
// holds to what it emits. Names that end in a kind are there for each kind.
func emitted(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for line := range strings.Lines(string(read(t, "../../docs/metrics.md"))) {
		cells := strings.Split(line, " | ")
		if len(cells) < 5 || !strings.HasPrefix(line, "| `") {
			continue
		}
		prefix, _, kinds := strings.Cut(cells[2], "*kind*")
		switch {
		case !kinds:
			names[cells[2]] = true
		case prefix == "StoreRequests_":
			for _, kind := range []string{"put", "get", "list", "delete", "read", "write"} {
				names[prefix+kind] = true
			}
		case prefix == "StoreErrors_":
			for _, kind := range []string{"put", "commit", "read", "write"} {
				names[prefix+kind] = true
			}
		case prefix == "LeaseMoves_":
			for _, kind := range []string{"acquired", "taken_over", "handed_over"} {
				names[prefix+kind] = true
			}
		case prefix == "CapacityUnits_":
			names[prefix+"read"], names[prefix+"write"] = true, true
		default:
			t.Fatalf("which kinds has %s?", cells[2])
		}
	}
	return names
}

// Alarms, charts and targets stand on metrics that agents emit.
func TestMetrics(t *testing.T) {
	known := emitted(t)
	used := map[string]bool{}
	for _, name := range []string{"observability/alarms.tf", "observability/dashboard.tf", "autoscaling/main.tf"} {
		source := string(read(t, filepath.Join(root, "modules", name)))
		found := metric.FindAllStringSubmatch(source, -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", name)
		}
		for _, match := range found {
			used[match[1]] = true
			if !known[match[1]] {
				t.Errorf("%s: no agent emits %s", name, match[1])
			}
		}
	}
	for _, name := range []string{"PartitionsWithoutOwner", "StoreErrors_commit", "ThrottledRequests", "Leases", "LeaseMoves_taken_over", "AckLatency", "BufferUsed", "BytesIn", "RequestCost"} {
		if !used[name] {
			t.Errorf("nothing watches %s; watched are %v", name, slices.Sorted(maps.Keys(used)))
		}
	}
	source := string(read(t, filepath.Join(root, "modules/stack/cost.tf")))
	count := regexp.MustCompile(`metrics +=\s+(\d+)`).FindStringSubmatch(source)
	if len(count) != 2 || count[1] != strconv.Itoa(len(known)) {
		t.Errorf("the fixed cost counts %v metrics, and an agent emits %d", count, len(known))
	}
}

// IAM takes policies of 6,144 characters, without those between words.
func TestDeployerPolicySize(t *testing.T) {
	var b bytes.Buffer
	if err := json.Compact(&b, read(t, filepath.Join(root, "deployer-policy.json"))); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 6144 {
		t.Errorf("deployer-policy.json has %d characters: split it", b.Len())
	}
}
