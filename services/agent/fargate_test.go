package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// ecs answers as the task metadata endpoint does, with the members that matter
// among others.
func ecs(t *testing.T, networks string) []string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v4/abc", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"DockerId": "abc-1", "Name": "agent", "Networks": %s}`, networks)
	})
	mux.HandleFunc("GET /v4/abc/task", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Cluster": "streamhouse", "AvailabilityZone": "eu-central-1b", "Containers": []}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return []string{"A=b", metadataVariable + "=" + server.URL + "/v4/abc"}
}

const awsvpc = `[{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.3.7"], "SubnetGatewayIpv4Address": "10.0.3.1/24"}]`

// On ECS, address and zone come from the task, where no setting gives them.
func TestPlace(t *testing.T) {
	environ := ecs(t, awsvpc)
	c := Config{Listeners: []Listener{
		{Name: "internal", Address: "0.0.0.0:7070"},
		{Name: "external", Address: ":7071", Advertise: "agent.example.com:443"},
		{Name: "local", Address: "127.0.0.1:7072"},
	}}
	want := slices.Clone(c.Listeners)
	want[0].Advertise = "10.0.3.7:7070"
	if err := c.place(t.Context(), environ); err != nil || c.Zone != "eu-central-1b" || !slices.Equal(c.Listeners, want) {
		t.Errorf("placed in %q with %+v, %v", c.Zone, c.Listeners, err)
	}
	c.Zone = "other"
	if err := c.place(t.Context(), environ); err != nil || c.Zone != "other" {
		t.Errorf("placed in %q, %v", c.Zone, err)
	}
	elsewhere := Config{Listeners: []Listener{{Name: "internal", Address: "0.0.0.0:7070"}}}
	if err := elsewhere.place(t.Context(), []string{"A=b"}); err != nil || elsewhere.Zone != "" || elsewhere.Listeners[0].Advertise != "" {
		t.Errorf("without ECS: %+v, %v", elsewhere, err)
	}
}

func TestPlaceFails(t *testing.T) {
	for name, environ := range map[string][]string{
		"no address":  ecs(t, `[]`),
		"not found":   {metadataVariable + "=" + strings.TrimPrefix(ecs(t, awsvpc)[1], metadataVariable+"=") + "/x"},
		"no endpoint": {metadataVariable + "=http://127.0.0.1:1"},
		"no URL":      {metadataVariable + "=:"},
	} {
		c := Config{Zone: "a", Listeners: []Listener{{Name: "internal", Address: "0.0.0.0:7070"}}}
		if err := c.place(t.Context(), environ); err == nil || !strings.Contains(err.Error(), "task metadata") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
