package credentials

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"testing"
	"testing/synctest"
)

// Agents that know each other by one authority let each other in, with the
// certificate that they have now; a stranger's is not trusted.
func TestPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, strangers := newAuthority(t, "authority"), newAuthority(t, "strangers")
		server := newServer(t, newFolder(t, ca.issue("agent"), ca.pem).source, &bytes.Buffer{})
		client := func(source Source) *tls.Config {
			config, err := Client(source, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return config
		}
		wantServer(t, server, client(newFolder(t, ca.issue("other"), ca.pem).source), "agent")
		for _, source := range []Source{
			newFolder(t, strangers.issue("other"), ca.pem).source,
			newFolder(t, ca.issue("other"), strangers.pem).source,
		} {
			config := client(source)
			config.ServerName = "agent"
			if name, err := handshake(t, server, config); err == nil {
				t.Errorf("met %q", name)
			}
		}
	})
}
