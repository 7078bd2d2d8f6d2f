package agent

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// EnvPrefix begins the environment variable of every setting: --flush-bytes is
// STREAMHOUSE_FLUSH_BYTES.
const EnvPrefix = "STREAMHOUSE_"

// Settings that only the environment can give: a command line shows in the
// list of processes, a file is easily shared.
const (
	envCertPEM     = EnvPrefix + "TLS_CERT_PEM"
	envKeyPEM      = EnvPrefix + "TLS_KEY_PEM"
	envClientCAPEM = EnvPrefix + "TLS_CLIENT_CA_PEM"
)

// foreign are entries of an environment that have the prefix and are no
// settings: those of the project's other programs and tests, and those that
// Kubernetes adds for a service whose name begins with streamhouse.
var foreign = regexp.MustCompile(`^STREAMHOUSE_(SERVER|BENCH_\w+|TEST_\w+|` +
	`(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?))=` +
	`|^STREAMHOUSE_(\w+_)?PORT=(tcp|udp|sctp)://`)

// Load completes c, whose flags were registered with fs and parsed. What no
// flag gave is taken from environ, which has the form of os.Environ; what that
// does not give, from the file that --config names. An empty variable is as
// good as none. A variable with EnvPrefix or a line of the file that is no
// setting is an error, as is a value that cannot be read; all of them are
// returned, joined.
func (c *Config) Load(fs *pflag.FlagSet, environ []string) error {
	l := loader{fs: fs, known: settings()}
	l.environment(environ, map[string]*string{
		envCertPEM: &c.TLS.CertPEM, envKeyPEM: &c.TLS.KeyPEM, envClientCAPEM: &c.TLS.ClientCAPEM,
	})
	if c.File != "" {
		l.file(c.File)
	}
	c.Name = c.WithDefaults().Name
	return errors.Join(l.errs...)
}

// settings are the names of all flags, without those that others added.
func settings() []string {
	var names []string
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(Config).Register(fs)
	fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// loader sets flags that were not set before, from one source after the other.
type loader struct {
	fs    *pflag.FlagSet
	known []string
	errs  []error
}

func (l *loader) fail(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

func (l *loader) environment(environ []string, texts map[string]*string) {
	flags := map[string]string{}
	for _, name := range l.known {
		flags[envName(name)] = name
	}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		flag, to := flags[name], texts[name]
		switch {
		case !strings.HasPrefix(name, EnvPrefix) || value == "" || foreign.MatchString(entry):
		case to != nil:
			*to = value
		case flag != "":
			l.set("environment variable "+name, flag, value)
		default:
			all := slices.Concat(slices.Collect(maps.Keys(flags)), slices.Collect(maps.Keys(texts)))
			l.fail("environment variable %s is no setting%s", name, suggest(EnvPrefix, name, all))
		}
	}
}

// envName is the environment variable of a flag.
func envName(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// set gives a flag its values unless it was set before.
func (l *loader) set(source, flag string, values ...string) {
	if l.fs.Changed(flag) {
		return
	}
	for _, value := range values {
		if err := l.fs.Set(flag, value); err != nil {
			l.fail("%s: %w", source, err)
		}
	}
}

func (l *loader) file(name string) {
	f, err := os.Open(name)
	if err != nil {
		l.fail("read the settings that --config names: %w", err)
		return
	}
	defer f.Close()
	var lines map[string]yaml.Node
	decoder := yaml.NewDecoder(f)
	if err := decoder.Decode(&lines); err != nil && !errors.Is(err, io.EOF) {
		l.fail("read settings from %s: %w", name, err)
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		l.fail("read settings from %s: there is more than one YAML document: join them", name)
	}
	for _, flag := range slices.Sorted(maps.Keys(lines)) {
		node := lines[flag]
		l.line(fmt.Sprintf("%s:%d", name, node.Line), flag, &node)
	}
}

func (l *loader) line(source, flag string, node *yaml.Node) {
	values, ok := scalars(node)
	switch {
	case flag == "config":
		l.fail("%s: a file of settings cannot name another: leave config out", source)
	case !slices.Contains(l.known, flag):
		l.fail("%s: %q is no setting%s", source, flag, suggest("", flag, l.known))
	case !ok:
		l.fail("%s: %s has no value that a flag could take: give one, or a list of them", source, flag)
	default:
		l.set(source, flag, values...)
	}
}

// scalars are the values of a node that is a scalar or a list of scalars.
func scalars(node *yaml.Node) (values []string, ok bool) {
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for _, n := range nodes {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			return nil, false
		}
		values = append(values, n.Value)
	}
	return values, len(values) > 0
}
