package terraform

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	pushed     = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/streamhouse-agent"
)

// fakes stand for the programs that the scripts call. They write down how they
// are called; a repository has what was pushed to it.
var fakes = map[string]string{
	"terraform": `case $* in
  *"state list") echo module.stack ;;
  *"output -raw repository_url") printf ` + repository + ` ;;
  *"output -raw repository_name") printf streamhouse-agent ;;
  *"output -raw bucket") printf events-1 ;;
  *"output -json data_is_protected") echo false ;;
  *"output -raw "*) printf text ;;
esac`,
	"aws": `case $* in
  "ecr batch-get-image"*) if grep -q ' push ' "$CALLS"; then echo ` + pushed + `; else echo None; fi ;;
  "ecr get-login-password"*) echo password ;;
esac`,
	"docker": `[ "$1" != login ] || cat >/dev/null`,
	"task":   ``,
}

// script is a copy of infra with fakes in PATH.
type script struct {
	t    *testing.T
	root string
}

func newScript(t *testing.T) *script {
	t.Helper()
	s := &script{t: t, root: t.TempDir()}
	if err := os.CopyFS(filepath.Join(s.root, "infra"), os.DirFS("../../infra")); err != nil {
		t.Fatal(err)
	}
	for name, text := range fakes {
		text = "#!/bin/sh\necho \"" + name + " $*\" >>\"$CALLS\"\n" + text + "\n"
		if err := os.WriteFile(filepath.Join(s.root, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.calls()
	return s
}

// run returns an error if the script fails.
func (s *script) run(name string, env ...string) error {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.root, "infra", name), "-auto-approve")
	cmd.Env = append(os.Environ(), "PATH="+s.root+":"+os.Getenv("PATH"), "CALLS="+filepath.Join(s.root, "calls"), "TASK="+filepath.Join(s.root, "task"), "IMAGE_VERSION=v1")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return err
}

// calls returns what was called that changes something.
func (s *script) calls() []string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.root, "calls"))
	if os.IsNotExist(err) {
		err = os.WriteFile(filepath.Join(s.root, "calls"), nil, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for call := range strings.Lines(string(b)) {
		if !slices.ContainsFunc([]string{" init ", " output ", " state list", "aws "}, func(reads string) bool { return strings.Contains(call, reads) }) {
			all = append(all, strings.TrimSpace(call))
		}
	}
	return all
}

// The repository is made before the image is pushed, and the stack is applied with
// the digest that it then has. Nothing is built that is there.
func TestDeploy(t *testing.T) {
	s := newScript(t)
	registry, apply := "terraform -chdir=infra/terraform/registry apply -auto-approve", "terraform -chdir=infra/terraform apply -auto-approve"
	want := []string{
		registry, "task image IMAGE_VERSION=v1",
		"docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-central-1.amazonaws.com",
		"docker tag streamhouse-agent:v1-amd64 " + repository + ":v1-amd64",
		"docker push --quiet " + repository + ":v1-amd64",
		apply,
	}
	if err := s.run("deploy", "ARCHITECTURE=amd64"); err != nil {
		t.Fatal(err)
	}
	if got := s.calls(); !slices.Equal(got, want) {
		t.Errorf("called were\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	settings := fmt.Sprintf("image        = %q\narchitecture = %q\n", repository+"@"+pushed, "amd64")
	if got := string(read(t, filepath.Join(s.root, "infra/terraform/image.auto.tfvars"))); got != settings {
		t.Errorf("the stack is applied with\n%s\nand not\n%s", got, settings)
	}
	if err := s.run("deploy", "ARCHITECTURE=amd64"); err != nil {
		t.Fatal(err)
	}
	if got := s.calls(); !slices.Equal(got, append(want, registry, apply)) {
		t.Errorf("when the image is there, called are\n%s", strings.Join(got, "\n"))
	}
}

func TestDeployRefuses(t *testing.T) {
	s := newScript(t)
	if err := s.run("deploy", "ARCHITECTURE=x86"); err == nil || !strings.Contains(err.Error(), "ARCHITECTURE is arm64 or amd64") {
		t.Errorf("another processor: %v", err)
	}
	if err := s.run("deploy", "IMAGE_VERSION=v1-dirty"); err == nil || !strings.Contains(err.Error(), "commit them") {
		t.Errorf("changes that are in no commit: %v", err)
	}
	if got := s.calls(); len(got) > 0 {
		t.Errorf("called were %v", got)
	}
}

// Told twice, task destroy does it. TestDestroyRefuses has what it refuses.
func TestDestroy(t *testing.T) {
	s := newScript(t)
	if err := s.run("destroy", "LOSE_DATA=events-1"); err != nil {
		t.Fatal(err)
	}
	if got := s.calls(); !slices.Equal(got, []string{"terraform destroy -var protect_data=false -auto-approve"}) {
		t.Errorf("called were %v", got)
	}
}
