package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
)

// load is one row of the table, measured for both clients.
type load struct {
	name    string
	size    int
	share   int // of the records that are asked for, one in so many
	waiters int
	goal    result // StreamHouse's; 0: none
}

// The goals are the project's own.
var loads = []load{
	{name: "100 bytes, callbacks", size: 100, share: 1, goal: result{CPU: 0.25, Allocs: 0.02}},
	{name: "1 KiB, callbacks", size: 1024, share: 5, goal: result{CPU: 1.3}},
	{name: "100 bytes, 20,000 goroutines that wait", size: 100, share: 2, waiters: 20_000, goal: result{Allocs: 1}},
}

func compare(ctx context.Context, records, rounds int, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "load\tclient\tCPU s/M\tallocs/record\trecords/s\tpeak MiB\tgoals")
	for _, l := range loads {
		medians, err := l.measure(ctx, records/l.share, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		for _, client := range clients {
			r := medians[client]
			verdict := ""
			if client == streamHouse {
				verdict = l.verdict(r, medians[franz])
			}
			fmt.Fprintf(w, "%s\t%s\t%.3f\t%.4f\t%.0f\t%.0f\t%s\n", l.name, client, r.CPU, r.Allocs, r.PerSec, r.PeakMiB, verdict)
		}
	}
	return w.Flush()
}

// measure measures both clients in turn, round by round, so that whatever else
// the machine does meets both, and returns the run with the median CPU time of
// each. Each run has a fresh server and a fresh client.
func (l *load) measure(ctx context.Context, records, rounds int) (map[string]result, error) {
	all := map[string][]result{}
	for range rounds {
		for _, client := range clients {
			r, err := once(ctx, job{Client: client, Records: records, Size: l.size, Waiters: l.waiters})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", client, err)
			}
			all[client] = append(all[client], r)
		}
	}
	medians := map[string]result{}
	for client, results := range all {
		slices.SortFunc(results, func(a, b result) int { return cmp.Compare(a.CPU, b.CPU) })
		medians[client] = results[len(results)/2]
	}
	return medians, nil
}

// verdict compares with the goals, and with the other client.
func (l *load) verdict(r, other result) string {
	var parts []string
	check := func(what string, got, limit float64) {
		if limit == 0 {
			return
		}
		word := "met"
		if got > limit {
			word = "MISSED"
		}
		parts = append(parts, fmt.Sprintf("%s <= %g %s", what, limit, word))
	}
	check("CPU", r.CPU, l.goal.CPU)
	check("allocs", r.Allocs, l.goal.Allocs)
	word := "less"
	if r.CPU >= other.CPU {
		word = "NOT LESS"
	}
	return strings.Join(append(parts, fmt.Sprintf("%s CPU than %s (%.2f of it)", word, franz, r.CPU/other.CPU)), ", ")
}

// once runs a server and a client.
func once(ctx context.Context, j job) (r result, err error) {
	server, addr, err := startServer(ctx, j.Client)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	j.Addr = addr
	text, err := json.Marshal(j)
	if err != nil {
		return r, err
	}
	cmd, err := self(ctx, "client", string(text))
	if err != nil {
		return r, err
	}
	said, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("run client: %w", err)
	}
	return r, json.Unmarshal(said, &r)
}

// self is this program in a role.
func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// child is a server that ends when its standard input does.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func startServer(ctx context.Context, kind string) (*child, string, error) {
	cmd, err := self(ctx, "server", kind)
	if err != nil {
		return nil, "", err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start server: %w", err)
	}
	c := &child{cmd, stdin}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("read server's address: %w", err), c.stop())
	}
	return c, strings.TrimSpace(addr), nil
}

func (c *child) stop() error { return errors.Join(c.stdin.Close(), c.cmd.Wait()) }
