package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// healthCommand, as the first argument, asks whether the agent with the same
// settings lives: for containers without a shell.
const healthCommand = "health"

const healthPath = "/healthz"

// healthTimeout bounds the question; ECS and Docker ask every few seconds.
const healthTimeout = 3 * time.Second

// health asks the agent of this machine. That it is alive says nothing of S3 or
// DynamoDB: to restart an agent does not mend them.
func (p *process) health(ctx context.Context, args []string) int {
	var cfg Config
	err := p.load(&cfg, p.flags(&cfg), args)
	if err == nil {
		err = alive(ctx, cfg.HTTPListen)
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "streamhouse-agent: %v\n", err)
		return exitError
	}
	return exitClean
}

func alive(ctx context.Context, listen string) error {
	if listen == "" {
		return errors.New("the agent answers no health checks: set --http-listen, for the agent and for this command")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("read --http-listen: %w", err)
	}
	if everywhere(host) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+healthPath, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the agent: it answers %s", resp.Status)
	}
	return nil
}
