package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// metadataVariable is where ECS tells each container the address of version 4
// of the task metadata endpoint.
const metadataVariable = "ECS_CONTAINER_METADATA_URI_V4"

const (
	// metadataTimeout bounds both questions: the endpoint is on the same host.
	metadataTimeout = 5 * time.Second
	// metadataSize is far more than the answers take.
	metadataSize = 1 << 20
)

// place fills in what only the platform knows, where no setting gave it: the
// zone, and the address by which others reach listeners on every interface.
func (c *Config) place(ctx context.Context, environ []string) error {
	endpoint := ""
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, metadataVariable+"="); ok {
			endpoint = value
		}
	}
	if endpoint == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	if c.Zone == "" {
		var task struct{ AvailabilityZone string }
		if err := metadata(ctx, endpoint+"/task", &task); err != nil {
			return err
		}
		c.Zone = task.AvailabilityZone
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		host, port, err := net.SplitHostPort(l.Address)
		if err != nil || l.Advertise != "" || !everywhere(host) {
			continue // Validate has its say
		}
		address, err := taskAddress(ctx, endpoint)
		if err != nil {
			return err
		}
		l.Advertise = net.JoinHostPort(address, port)
	}
	return nil
}

// taskAddress is that of the task's network interface.
func taskAddress(ctx context.Context, endpoint string) (string, error) {
	var container struct {
		Networks []struct{ IPv4Addresses, IPv6Addresses []string }
	}
	if err := metadata(ctx, endpoint, &container); err != nil {
		return "", err
	}
	for _, n := range container.Networks {
		for _, address := range append(n.IPv4Addresses, n.IPv6Addresses...) {
			return address, nil
		}
	}
	return "", errors.New("the task metadata endpoint names no address: set --advertise for each listener")
}

func metadata(ctx context.Context, url string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("read task metadata: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("read task metadata: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("read task metadata: %s answers %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, metadataSize)).Decode(to); err != nil {
		return fmt.Errorf("read task metadata: %w", err)
	}
	return nil
}
