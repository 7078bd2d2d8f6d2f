//go:build terraform

package terraform

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// task destroy deletes nothing unless it was told twice.
func TestDestroyRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../infra")); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "terraform/terraform.tfstate")
	for _, test := range []struct{ name, protected, told, want string }{
		{"protected", "true", "events-1", "first run: terraform -chdir=infra/terraform apply -var protect_data=false"},
		{"not told", "false", "", "run: task destroy LOSE_DATA=events-1"},
		{"told of another", "false", "events-2", "run: task destroy LOSE_DATA=events-1"},
		{"no cluster", "", "events-1", "the state has no cluster"},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := `{"version":4,"serial":1,"lineage":"test","resources":[{"mode":"managed","type":"aws_vpc","name":"this",
				"provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"schema_version":1,"attributes":{"id":"vpc-0"}}]}],
				"outputs":{"bucket":{"value":"events-1","type":"string"},"table_prefix":{"value":"events","type":"string"},
				"data_is_protected":{"value":` + test.protected + `,"type":"bool"}}}`
			if test.protected == "" {
				content = `{"version":4,"serial":1,"lineage":"test","outputs":{},"resources":[]}`
			}
			if err := os.WriteFile(state, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "destroy"), "-auto-approve")
			cmd.Env = append(os.Environ(), "LOSE_DATA="+test.told)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v\n%s\nshould have ended with: %s", err, out, test.want)
			}
		})
	}
}
