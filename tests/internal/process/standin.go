package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Standin is a running server of tests/standin, in place of AWS.
type Standin struct {
	// Endpoint is a URL for AWS_ENDPOINT_URL.
	Endpoint string `json:"endpoint"`
}

// buildStandin builds the server when the first test asks for it; in its own
// module, so that it is the one that goes into the image.
var buildStandin = sync.OnceValues(func() (program string, err error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	if _, err := build(); err != nil { // makes the folder
		return "", err
	}
	program = filepath.Join(built.dir, "standin")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir, cmd.Env = filepath.Join(root, "tests", "standin"), append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &buildError{err, out}
	}
	return program, nil
})

type buildError struct {
	error
	said []byte
}

func (e *buildError) Error() string {
	return "build standin: " + e.error.Error() + "\n" + string(e.said)
}

// StartStandin starts a server of the test's own. The end of the test ends it.
func StartStandin(t *testing.T) *Standin {
	t.Helper()
	program, err := buildStandin()
	if err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	p, err := start(program, []string{"-listen", "127.0.0.1:0", "-dir", filepath.Join(t.TempDir(), "standin")}, nil, nil, in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = out.Close() // so that nobody waits to write there
		p.kill()
	})
	go func() { // ends with the process
		<-p.ended
		_ = in.Close()
	}()
	s := &Standin{}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, s) != nil {
		t.Fatalf("the stand-in does not say where it listens: %q, %v\n%s", line, err, p.stderr)
	}
	return s
}

// Rule makes requests or their answers go wrong; what it means stands in
// tests/standin/faults.
type Rule struct {
	Operation, Kind     string
	First, Times, Every int
	Status              int
	Body                string
	Delay               int64 // nanoseconds
}

// SetFaults replaces the rules for all requests, and starts to count from 0.
func (s *Standin) SetFaults(t *testing.T, rules ...Rule) {
	t.Helper()
	body, err := json.Marshal(append([]Rule{}, rules...))
	if err != nil {
		t.Fatal(err)
	}
	s.control(t, http.MethodPut, body)
}

// Faults waits until nothing is late any more, and counts those since
// SetFaults.
func (s *Standin) Faults(t *testing.T) int {
	t.Helper()
	var said struct{ Fired int }
	if err := json.Unmarshal(s.control(t, http.MethodGet, nil), &said); err != nil {
		t.Fatal(err)
	}
	return said.Fired
}

func (s *Standin) control(t *testing.T, method string, body []byte) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint+"/_standin/faults/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("set faults: %s, %v: %s", resp.Status, err, said)
	}
	return said
}
