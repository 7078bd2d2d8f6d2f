package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// Every one of these is a slip that people make. The message must name what is
// wrong and the exit code tell a script that nothing was tried.
func TestUsageErrors(t *testing.T) {
	tests := []struct{ command, want string }{
		{"nope", `no command "nope"`},
		{"produc", "did you mean produce?"},
		{"topic nope", `streamhouse topic has no command "nope"`},
		{"topic create", "the topic's name is missing"},
		{"topic create a b", `"b" is too much`},
		{"topic list a", `nothing to do with "a"`},
		{"topic create a --partitions x", "--partitions"},
		{"topic create a --retention forever", "168h or 30m, or 0 for ever"},
		{"topic create a --retention -1h", "168h or 30m, or 0 for ever"},
		{"topic update a", "give --partitions, --retention or --retention-bytes"},
		{"topic update a --retention-bytes much", "give one as 10GiB"},
		{"topic update", "the topic's name is missing"},
		{"topic list --nope", "unknown flag: --nope"},
		{"topic list --output xml", "use text or json"},
		{"topic list --timeout 0s", "--timeout is 0s"},
		{"topic list --tls-cert a.pem", "belong together"},
		{"consume", "the topic's name is missing"},
		{"consume t --from yesterday", "use earliest, latest, an offset"},
		{"consume t --from --1", "use earliest, latest, an offset"},
		{"consume t --since 0s", "it must be above 0"},
		{"consume t --since -1h", "it must be above 0"},
		{"consume t --since yesterday", "--since"},
		{"consume t --from-time yesterday", "write it as 2026-01-31T15:04:05Z"},
		{"consume t --from-time 2026-01-31", "write it as 2026-01-31T15:04:05Z"},
		{"consume t --since 1h --from earliest", "give one of them"},
		{"consume t --since 1h --from-time 2026-01-31T15:04:05Z", "give one of them"},
		{"consume t --format %x", "unknown escape"},
		{"consume t --count -1", "--count -1"},
		{"produce t --format xml", "use lines or json"},
		{"produce t --whole --format json", "leave out --format json"},
		{"produce t --whole --key-separator :", "leave out --key-separator"},
		{"produce t --format json --key-separator :", "leave out --key-separator"},
		{"produce t --keep-partitions", "leave out --keep-partitions"},
		{"produce t --format json --keep-partitions --partition 1", "not both"},
		{"produce t --partition -1", "partitions count from 0"},
		{"produce t --header nope", "write it as KEY=VALUE"},
		{"produce t --compression gzip", `no compression is called "gzip"`},
		{"demo --records 0", "--records is 0"},
		{"demo --record-size 15", "--record-size is 15: it must be from 16"},
		{"demo --partitions 0", "--partitions is 0"},
		{"demo now", `nothing to do with "now"`},
		{"bench --store s3", `--store "s3" is unknown`},
		{"bench --store-latency 5ms", "write it as PUT p50/p99"},
		{"bench --store-latency 5ms/4ms,1ms/2ms", "write it as PUT p50/p99"},
		{"bench --batch 1000000 --record-size 1000", "lower --batch"},
		{"bench --in-flight 129", "--in-flight is 129"},
		{"bench --dir /tmp", "--dir is for --store files"},
		{"agent --nope", "unknown flag: --nope"},
		{"agent now", `nothing to do with "now"`},
		{"version now", `nothing to do with "now"`},
	}
	for _, tt := range tests {
		r := runWith(t.Context(), strings.NewReader(""), strings.Fields(tt.command)...)
		if r.code != exitUsage || !strings.Contains(r.err, tt.want) || r.out != "" {
			t.Errorf("%s: exit code %d, %q, want %q", tt.command, r.code, r.err, tt.want)
		}
		if !strings.HasPrefix(r.err, "Error: ") || !strings.HasSuffix(r.err, "--help'.\n") || strings.Count(r.err, "\n") != 2 {
			t.Errorf("%s: %q must be one line and where to find help", tt.command, r.err)
		}
	}
}

func TestNoAgent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	want := "Error: no agent answers at " + addr + ": start one with `streamhouse agent`, or give --server\n"
	for _, command := range []string{"topic list", "topic create a", "topic delete a --yes", "produce a", "consume a"} {
		r := runWith(t.Context(), strings.NewReader("x\n"), append(strings.Fields(command), "--server", addr)...)
		if r.code != exitFailed || r.err != want {
			t.Errorf("%s: exit code %d, %q", command, r.code, r.err)
		}
	}
}

// A server that takes the connection and says nothing must not hold a command
// for longer than its timeout.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := runWith(t.Context(), strings.NewReader(""), "topic", "list", "--server", l.Addr().String(), "--timeout", "50ms")
	if r.code != exitFailed || !strings.Contains(r.err, "no answer from "+l.Addr().String()+" in time") {
		t.Errorf("exit code %d, %q", r.code, r.err)
	}
}

func TestRefusalsComeWithAdvice(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "t", "--partitions", "2")
	tests := []struct {
		command, want string
		code          int
	}{
		{"topic create t", "choose another name", exitFailed},
		{"topic create t!", "t!", exitFailed},
		{"topic create u --partitions 10001", "10000", exitFailed},
		{"topic create u --retention 1s", "give 60000 ms (a minute) or more", exitFailed},
		{"topic create u --retention 1ns", "give 60000 ms (a minute) or more", exitFailed},
		{"topic create u --retention-bytes 1KiB", "give 1048576 (1 MiB) or more", exitFailed},
		{"topic update t --partitions 1", "can only grow", exitFailed},
		{"topic update t --partitions 0", "can only grow", exitFailed},
		{"topic update t --partitions 10001", "10000", exitFailed},
		{"topic update nope --partitions 3", "`streamhouse topic list` shows", exitFailed},
		{"consume nope --since 1h", "`streamhouse topic list` shows", exitFailed},
		{"topic describe nope", "`streamhouse topic list` shows", exitFailed},
		{"topic delete nope --yes", "`streamhouse topic list` shows", exitFailed},
		{"produce nope", "`streamhouse topic list` shows", exitFailed},
		{"consume nope", "`streamhouse topic list` shows", exitFailed},
		{"produce t --partition 2", "has no partition 2: it has 2 partitions, from 0", exitUsage},
		{"consume t --partition 0,2", "has no partition 2: it has 2 partitions, from 0", exitUsage},
		{"topic list --tls", "speaks without TLS: leave the --tls flags out", exitFailed},
		{"topic list --tls-ca /nowhere", "read CA certificates: open /nowhere", exitFailed},
		{"produce t --file /nowhere", "open input: open /nowhere", exitFailed},
		{"produce t --batch-records 0", "Error: --batch-records is 0", exitUsage},
		{"produce t --linger 1m", "--linger (1m0s) must be below --timeout (30s)", exitUsage},
	}
	for _, tt := range tests {
		r := s.try("", strings.Fields(tt.command)...)
		if r.code != tt.code || !strings.Contains(r.err, tt.want) || r.out != "" {
			t.Errorf("%s: exit code %d, %q, want %q", tt.command, r.code, r.err, tt.want)
		}
		if strings.Contains(r.err, "rpc error") {
			t.Errorf("%s: %q shows gRPC's own words", tt.command, r.err)
		}
	}
}

// What wraps a refusal must not hide it, and the place it names must stay.
func TestAdviceOnWrappedErrors(t *testing.T) {
	owned := reason.New(reason.NotOwner, "not here").With(reason.MetaOwner, "10.0.0.9:7070")
	tests := []struct {
		err  error
		want string
	}{
		{fmt.Errorf("read t/3: %w", owned.GRPCStatus().Err()), "read t/3: not here (another agent owns the partition: give --server 10.0.0.9:7070)"},
		{fmt.Errorf("read t/3: %w", reason.New(reason.NotOwner, "not here")), "read t/3: not here (no agent owns the partition at this moment: try again)"},
		{status.Error(codes.Unimplemented, "unknown service"), "s:1 does not know this request: it is no StreamHouse agent, or an older one"},
		{status.Error(codes.PermissionDenied, "no"), "no (the agent does not accept this client: check --tls-cert and --tls-key)"},
		{status.Error(codes.Unavailable, "error reading server preface: EOF"), "s:1 broke the connection off (error reading server preface: EOF): it ended, wants TLS or another certificate (see the --tls flags), or is no StreamHouse agent"},
		{fmt.Errorf("a: %w", context.DeadlineExceeded), "no answer from s:1 in time: look whether the agent is well, or raise --timeout"},
		{errors.New("two\nlines"), "two; lines"},
		{reason.New(reason.InvalidArgument, "name is bad"), "name is bad"},
	}
	for _, tt := range tests {
		if got := advise(tt.err, "s:1"); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}
