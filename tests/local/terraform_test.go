package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// storage is what Terraform makes of the folder storage, which calls the storage
// module that users apply.
type storage struct {
	t        *testing.T
	dir      string // of its state
	endpoint string
	applied  string // name of the cluster
	bucket   string
	prefix   string
}

// applyStorage makes a bucket and tables, protected as they are for users.
func applyStorage(t *testing.T, endpoint string) *storage {
	t.Helper()
	s := &storage{t: t, dir: t.TempDir(), endpoint: endpoint, applied: "local"}
	s.must(s.terraform("init", "-input=false"))
	s.must(s.terraform("apply", s.args("-var=protect_data=true", "-auto-approve", "-input=false")...))
	var out map[string]struct{ Value string }
	if err := json.Unmarshal(s.must(s.terraform("output", "-json", s.state())), &out); err != nil {
		t.Fatal(err)
	}
	s.bucket, s.prefix = out["bucket"].Value, out["table_prefix"].Value
	if !strings.HasPrefix(s.bucket, s.applied+"-") || s.prefix != s.applied {
		t.Fatalf("Terraform made the bucket %q and tables of %q", s.bucket, s.prefix)
	}
	return s
}

// unchanged fails the test where Terraform would change what stands there, after
// agents have used it.
func (s *storage) unchanged() {
	s.t.Helper()
	out, err := s.terraform("plan", s.args("-var=protect_data=true", "-detailed-exitcode", "-input=false")...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 {
		s.t.Errorf("what was applied is to be changed:\n%s", out)
	} else if err != nil {
		s.t.Errorf("%v\n%s", err, out)
	}
}

// destroy removes everything, as users do: only after taking the protection
// away.
func (s *storage) destroy() {
	s.t.Helper()
	out, err := s.terraform("destroy", s.args("-var=protect_data=true", "-auto-approve", "-input=false", "-target=module.storage.aws_dynamodb_table.rows")...)
	if err == nil || !strings.Contains(string(out), "protected against deletion") {
		s.t.Errorf("protected tables were destroyed: %v\n%s", err, out)
	}
	s.must(s.terraform("apply", s.args("-var=protect_data=false", "-auto-approve", "-input=false")...))
	s.must(s.terraform("destroy", s.args("-var=protect_data=false", "-auto-approve", "-input=false")...))
	if left := bytes.TrimSpace(s.must(s.terraform("state", "list", s.state()))); len(left) > 0 {
		s.t.Errorf("destroyed, and Terraform still knows of\n%s", left)
	}
}

func (s *storage) state() string { return "-state=" + filepath.Join(s.dir, "state") }

func (s *storage) args(more ...string) []string {
	return append([]string{s.state(), "-var=name=" + s.applied}, more...)
}

// terraform runs it as `task test-terraform` does, with the providers of the
// registry or of a folder that mirrors it.
func (s *storage) terraform(command string, args ...string) ([]byte, error) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join("..", "..", "..", ".ci", "terraform-env"), slices.Concat([]string{"terraform", command}, args)...)
	cmd.Dir = "storage"
	cmd.Env = append(os.Environ(), "TF_DATA_DIR="+s.dir, "TF_CLI_ARGS=-no-color", "AWS_ENDPOINT_URL="+s.endpoint)
	return run(cmd)
}

// tool runs the command line tool, from its source, against the endpoint.
func (s *storage) tool(args ...string) ([]byte, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "./cmd/streamhouse"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOWORK=", "AWS_ENDPOINT_URL="+s.endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
	return run(cmd)
}

func (s *storage) must(out []byte, err error) []byte {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// run returns what a command wrote to its output, and, if it failed, what it
// wrote anywhere.
func run(cmd *exec.Cmd) ([]byte, error) {
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		out = append(out, log.Bytes()...)
	}
	return out, err
}
