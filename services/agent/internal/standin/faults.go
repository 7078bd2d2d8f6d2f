package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Rule makes requests or their answers go wrong. What the fields mean stands
// in tests/standin/faults.
type Rule struct {
	Operation           string
	First, Times, Every int
	Kind                string
	Status              int
	Body                string
	Delay               time.Duration
}

// The kinds of Rule.
const (
	Refuse = "refuse" // answered with Status and Body instead
	Lose   = "lose"   // never arrives
	Spoil  = "spoil"  // happens, and is answered with Status and Body
	Drop   = "drop"   // happens, and is not answered
	Cut    = "cut"    // happens, and half the answer arrives
	Slow   = "slow"   // happens, and is answered after Delay
	Late   = "late"   // happens after Delay, whoever still waits
)

// FaultsHeader of a request names the Faults that are meant for it.
const FaultsHeader = "X-Standin-Faults"

// Faults are the rules for all requests that carry a name in FaultsHeader, or
// for those without it if the name is empty.
type Faults struct{ url string }

// Faults are set at the server.
func (s *Server) Faults(name string) Faults {
	return Faults{s.Endpoint + "/_standin/faults/" + name}
}

// Set replaces the rules, and starts to count from 0.
func (f Faults) Set(ctx context.Context, rules ...Rule) error {
	body, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	return f.send(ctx, http.MethodPut, body, nil)
}

// Fired waits until nothing is late any more, and counts the faults since Set.
func (f Faults) Fired(ctx context.Context) (int, error) {
	var said struct{ Fired int }
	err := f.send(ctx, http.MethodGet, nil, &said)
	return said.Fired, err
}

func (f Faults) send(ctx context.Context, method string, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, f.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("set faults: %s", resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
