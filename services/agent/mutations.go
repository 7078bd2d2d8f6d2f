//go:build mutations

package agent

import "github.com/streamhouse/streamhouse/services/agent/internal/mutation"

// Mutate switches a rule of the commit protocol off in all agents of this
// process, for the simulation to notice; "" is none. It exists in builds with the
// tag "mutations" only.
func Mutate(rule string) { mutation.Switch(mutation.Rule(rule)) }
