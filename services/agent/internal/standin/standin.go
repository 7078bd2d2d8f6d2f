// Package standin starts the server of tests/standin, which stands in for AWS,
// for tests of backends. The server is a module of its own: what it is made of
// is no dependency of the agent.
package standin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Server is a running stand-in.
type Server struct {
	// Endpoint and TLSEndpoint are URLs for AWS_ENDPOINT_URL. A client of the
	// second has to trust Certificate, which is PEM.
	Endpoint    string `json:"endpoint"`
	TLSEndpoint string `json:"tls_endpoint"`
	Certificate string `json:"certificate"`

	cmd *exec.Cmd
	in  io.Closer
	dir string
}

// Credentials that the server takes, and its region.
const (
	AccessKey = "test"
	SecretKey = "test"
	Region    = "us-east-1"
)

// Run builds and starts a server, calls tests with it, and ends it: for
// TestMain. It returns the exit code of the test program. Whatever prevents the
// server from running fails the tests; they are never skipped.
func Run(tests func(*Server) int) int {
	s, err := start()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "no stand-in for AWS:", err)
		return 1
	}
	code := tests(s)
	if err := s.stop(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "the stand-in for AWS broke:", err)
		return max(code, 1)
	}
	return code
}

func start() (s *Server, err error) {
	s = &Server{}
	if s.dir, err = os.MkdirTemp("", "standin-"); err != nil {
		return nil, err
	}
	program, err := s.build()
	if err == nil {
		err = s.launch(program)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// build takes what Go has cached, if nothing has changed. Outside of the
// workspace, so that the server is the same as in its image.
func (s *Server) build() (program string, err error) {
	program = filepath.Join(s.dir, "standin")
	cmd := exec.Command("go", "build", "-o", program, ".") //nolint:noctx // bounded by the test's own timeout
	if cmd.Dir, err = source(); err != nil {
		return "", err
	}
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build it in %s: %w\n%s", cmd.Dir, err, said)
	}
	return program, nil
}

// source finds the server's module above the test's folder.
func source() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for above := here; ; above = filepath.Dir(above) {
		dir := filepath.Join(above, "tests", "standin")
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if above == filepath.Dir(above) {
			return "", fmt.Errorf("there is no tests/standin above %s: run the tests in a checkout of the repository", here)
		}
	}
}

// launch starts the program, which ends when this process does: the pipe to it
// is closed then.
func (s *Server) launch(program string) error {
	s.cmd = exec.Command(program, "-attached", "-listen", "127.0.0.1:0", "-listen-tls", "127.0.0.1:0", "-dir", filepath.Join(s.dir, "data")) //nolint:noctx // stop ends it
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.in = in
	if err := s.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		_ = s.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("it does not say where it listens: %w", err), s.cmd.Wait())
	}
	return nil
}

func (s *Server) stop() error {
	return errors.Join(s.in.Close(), s.cmd.Wait(), os.RemoveAll(s.dir))
}
