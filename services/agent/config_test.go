package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load does what Main does with its settings. A file is written where one is
// given; its name is agent.yaml in what errors say.
func load(t *testing.T, args, environ []string, file string) (Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		if err := os.WriteFile("agent.yaml", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", "agent.yaml"}, args...)
	}
	var c Config
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Register(fs)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if err := c.Load(fs, environ); err != nil {
		return c, err
	}
	return c, c.Validate()
}

func mustLoad(t *testing.T, args, environ []string, file string) Config {
	t.Helper()
	c, err := load(t, args, environ, file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Nothing given is as good as the defaults of the struct, so that an agent
// that is started from Go and one that is started from a shell are the same.
func TestNothingGiven(t *testing.T) {
	got, want := mustLoad(t, nil, nil, ""), Config{}.WithDefaults()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Flush.MaxPerSecond != 10 || got.Buffers.Bytes != 256<<20 || got.Listeners[0].Address != "127.0.0.1:7070" {
		t.Errorf("defaults are %+v", got)
	}
}

func TestPrecedence(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		environ []string
		file    string
		want    string // of the zone
	}{
		{"default", nil, nil, "", ""},
		{"file", nil, nil, "zone: from-file", "from-file"},
		{"environment before file", nil, []string{"STREAMHOUSE_ZONE=from-env"}, "zone: from-file", "from-env"},
		{"flag before all", []string{"--zone=flag"}, []string{"STREAMHOUSE_ZONE=from-env"}, "zone: from-file", "flag"},
		{"empty flag counts", []string{"--zone="}, []string{"STREAMHOUSE_ZONE=from-env"}, "zone: from-file", ""},
		{"empty variable does not", nil, []string{"STREAMHOUSE_ZONE="}, "zone: from-file", "from-file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := mustLoad(t, test.args, test.environ, test.file).Zone; got != test.want {
				t.Errorf("zone is %q, want %q", got, test.want)
			}
		})
	}
}

// A list of a weaker source is replaced, not added to.
func TestPrecedenceOfLists(t *testing.T) {
	c := mustLoad(t, []string{"--listen=one=127.0.0.1:1", "--listen=two=127.0.0.1:2"},
		[]string{"STREAMHOUSE_LISTEN=three=127.0.0.1:3"}, "listen: [four=127.0.0.1:4]")
	if len(c.Listeners) != 2 || c.Listeners[0].Name != "one" || c.Listeners[1].Address != "127.0.0.1:2" {
		t.Errorf("listeners are %+v", c.Listeners)
	}
}

func TestFile(t *testing.T) {
	c := mustLoad(t, nil, nil, `
# sizes, durations, numbers, truths and lists
flush-bytes: 1MiB
buffer-bytes: 33554432
flush-age: 20ms
flush-max-per-second: 0
insecure: true
log-level: debug
listen:
  - internal=127.0.0.1:7000
  - external=0.0.0.0:7001
advertise: external=agent.example.com:443
store-fault: ["op=put,kind=err-after", "op=get,kind=err-before"]
`)
	if c.Flush.Bytes != 1<<20 || c.Buffers.Bytes != 32<<20 || c.Flush.Age != 20*time.Millisecond ||
		c.Flush.MaxPerSecond != NoCeiling || !c.Insecure || c.Log.Level >= 0 || len(c.Store.Faults) != 2 {
		t.Errorf("got %+v", c)
	}
	want := []Listener{
		{Name: "internal", Address: "127.0.0.1:7000"},
		{Name: "external", Address: "0.0.0.0:7001", Advertise: "agent.example.com:443"},
	}
	if !reflect.DeepEqual(c.Listeners, want) {
		t.Errorf("listeners are %+v", c.Listeners)
	}
}

// A setting that is written down and not obeyed is worse than none: all that
// cannot be used is an error, which names the place and what was meant.
func TestUnusableSettings(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		file    string
		want    []string
	}{
		{
			"unknown variable",
			[]string{"STREAMHOUSE_FLUSH_BYTE=1"},
			"",
			[]string{"environment variable STREAMHOUSE_FLUSH_BYTE is no setting: did you mean STREAMHOUSE_FLUSH_BYTES?"},
		},
		{"misspelt text", []string{"STREAMHOUSE_TLS_CERTPEM=x"}, "", []string{"did you mean STREAMHOUSE_TLS_CERT_PEM?"}},
		{"nothing like it", []string{"STREAMHOUSE_X=1"}, "", []string{"docs/configuration.md lists all"}},
		{"bad variable", []string{"STREAMHOUSE_FLUSH_AGE=fast"}, "", []string{"environment variable STREAMHOUSE_FLUSH_AGE: ", `"fast"`}},
		{"unknown line", nil, "zone: a\nflush_bytes: 1", []string{`agent.yaml:2: "flush_bytes" is no setting: did you mean flush-bytes?`}},
		{"bad line", nil, "\nflush-bytes: many", []string{"agent.yaml:2: ", `"many" is no size: give one as 4MiB`}},
		{"no value", nil, "zone:", []string{"agent.yaml:1: zone has no value"}},
		{"a map", nil, "flush: {bytes: 1}", []string{`"flush" is no setting`}},
		{"a map as value", nil, "zone: {a: b}", []string{"zone has no value that a flag could take"}},
		{"twice", nil, "zone: a\nzone: b", []string{"already defined at line 1"}},
		{"two documents", nil, "zone: a\n---\nzone: b", []string{"more than one YAML document"}},
		{"no map", nil, "- zone", []string{"read settings from agent.yaml"}},
		{"another file", nil, "config: other.yaml", []string{"cannot name another"}},
		{"all at once", []string{"STREAMHOUSE_A=1", "STREAMHOUSE_B=1"}, "c: 1", []string{"STREAMHOUSE_A", "STREAMHOUSE_B", `"c"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, nil, test.environ, test.file)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %q in it", err, want)
				}
			}
		})
	}
	_, err := load(t, []string{"--config", filepath.Join("no", "file.yaml")}, nil, "")
	if err == nil || !strings.Contains(err.Error(), "read the settings that --config names: open no") {
		t.Errorf("a file that is missing gave %v", err)
	}
}

// Other programs and Kubernetes set variables with our prefix; that must not
// keep an agent from starting.
func TestForeignVariables(t *testing.T) {
	mustLoad(t, nil, []string{
		"PATH=/bin", "STREAMHOUSE_SERVER=127.0.0.1:7070", "STREAMHOUSE_TEST_CHILD=agent", "STREAMHOUSE_BENCH_AGENT=1",
		"STREAMHOUSE_SERVICE_HOST=10.0.0.1", "STREAMHOUSE_SERVICE_PORT=7070", "STREAMHOUSE_SERVICE_PORT_GRPC=7070",
		"STREAMHOUSE_PORT=tcp://10.0.0.1:7070", "STREAMHOUSE_PORT_7070_TCP=tcp://10.0.0.1:7070",
		"STREAMHOUSE_PORT_7070_TCP_PROTO=tcp", "STREAMHOUSE_PORT_7070_TCP_PORT=7070", "STREAMHOUSE_PORT_7070_TCP_ADDR=10.0.0.1",
		"STREAMHOUSE_AGENT_SERVICE_HOST=10.0.0.1", "STREAMHOUSE_AGENT_PORT=tcp://10.0.0.1:7070",
	}, "")
	if _, err := load(t, nil, []string{"STREAMHOUSE_PORT=7070"}, ""); err == nil {
		t.Error("a person's STREAMHOUSE_PORT was passed over in silence")
	}
}

// The environment can hold the certificate itself, as task definitions of ECS
// do with secrets.
func TestTextsFromEnvironment(t *testing.T) {
	c := mustLoad(t, []string{"--listen=0.0.0.0:1", "--advertise=agent.example.com:1"},
		[]string{"STREAMHOUSE_TLS_CERT_PEM=cert", "STREAMHOUSE_TLS_KEY_PEM=key", "STREAMHOUSE_TLS_CLIENT_CA_PEM=ca"}, "")
	if c.TLS != (TLSConfig{CertPEM: "cert", KeyPEM: "key", ClientCAPEM: "ca"}) {
		t.Errorf("got %+v", c.TLS)
	}
}

// A command that embeds the agent may bring its own defaults and its own flags.
func TestRegisterAmongOthers(t *testing.T) {
	c := Config{Name: "demo", Zone: "here"}
	c.Store.Dir = "elsewhere"
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.String("output", "text", "of the command")
	c.Register(fs)
	if err := fs.Parse([]string{"--zone=there", "--output=json"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(fs, []string{"STREAMHOUSE_OUTPUT=json"}); err == nil {
		t.Error("another's flag became a setting")
	}
	if c.Name != "demo" || c.Zone != "there" || c.Store.Dir != "elsewhere" {
		t.Errorf("got %+v", c)
	}
}
