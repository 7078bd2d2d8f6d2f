package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// advise turns an error into one line that says what to do. Server is the
// agent that was talked to, if any.
func advise(err error, server string) string {
	e, text := reason.From(err), err.Error()
	var call interface {
		error
		GRPCStatus() *status.Status
	}
	called := errors.As(err, &call)
	if called {
		// What gRPC puts around a message says nothing to a person.
		e = reason.From(call)
		text = strings.Replace(text, call.Error(), e.Message, 1)
	}
	if e.Reason != "" {
		return sentence(text, hint(e))
	}
	if server == "" || !called && !errors.Is(err, context.DeadlineExceeded) {
		return oneLine(text)
	}
	switch e.Code {
	case codes.Unavailable:
		return unreachable(e.Message, server)
	case codes.Unauthenticated, codes.PermissionDenied:
		return sentence(text, "the agent does not accept this client: check --tls-cert and --tls-key")
	case codes.Unimplemented:
		return fmt.Sprintf("%s does not know this request: it is no StreamHouse agent, or an older one", server)
	case codes.DeadlineExceeded, codes.Unknown:
		return fmt.Sprintf("no answer from %s in time: look whether the agent is well, or raise --timeout", server)
	default:
		return oneLine(text)
	}
}

// hint is what a person does about a refusal; empty where its message says all.
func hint(e *reason.Error) string {
	switch e.Reason {
	case reason.UnknownTopic:
		return "`streamhouse topic list` shows those that exist"
	case reason.TopicExists:
		return "choose another name, or delete it first with `streamhouse topic delete`"
	case reason.NotOwner:
		if owner := e.Metadata[reason.MetaOwner]; owner != "" {
			return "another agent owns the partition: give --server " + owner
		}
		return "no agent owns the partition at this moment: try again"
	case reason.Draining:
		return "the agent is shutting down: start it again, or give another one by --server"
	case reason.Overloaded:
		return "the agent has more to write than its store takes: send less, or give it larger buffers"
	case reason.StorageUnavailable, reason.StorageFailed:
		return "the agent cannot use its store: its log says why"
	case reason.OffsetOutOfRange:
		return "use --from earliest, or an offset inside"
	default:
		return ""
	}
}

// unreachable tells the ways apart in which a connection is not made.
func unreachable(message, server string) string {
	switch {
	case strings.Contains(message, "does not look like a TLS handshake"):
		return fmt.Sprintf("the agent at %s speaks without TLS: leave the --tls flags out", server)
	case otherName(message):
		return sentence(message, "give --tls-server-name the name that the agent's certificate is for")
	case strings.Contains(message, "x509:"), strings.Contains(message, "tls:"):
		return sentence(message, "check --tls-ca, --tls-cert, --tls-key and the host name in --server")
	case strings.Contains(message, "no such host"), strings.Contains(message, "produced zero addresses"):
		return fmt.Sprintf("there is no host of the name in %s: check --server", server)
	case strings.Contains(message, "while dialing"):
		return fmt.Sprintf("no agent answers at %s: start one with `streamhouse agent`, or give --server", server)
	default:
		return fmt.Sprintf("%s broke the connection off (%s): it ended, wants TLS or another certificate (see the --tls flags), "+
			"or is no StreamHouse agent", server, oneLine(message))
	}
}

// otherName tells whether a certificate is not for the host that was called:
// agents advertise addresses, which few certificates hold.
func otherName(message string) bool {
	return slices.ContainsFunc([]string{
		"x509: certificate is valid for", "x509: certificate is not valid for any names", "x509: cannot validate certificate for",
	}, func(said string) bool { return strings.Contains(message, said) })
}

// sentence joins a message and a hint into one line.
func sentence(message, hint string) string {
	message = oneLine(message)
	if hint == "" {
		return message
	}
	return message + " (" + hint + ")"
}

// oneLine joins lines; errors.Join makes one of each error.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")), " ")
}
