package agent

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

// Validate returns everything that is wrong with c, joined, each as a sentence
// that says what to do. It looks at c as it is: see WithDefaults.
func (c Config) Validate() error {
	var r rules
	r.check(c.Name != "", "the agent has no name and the host's cannot be read: give one with --name")
	r.listeners(c.Listeners)
	r.exposure(c)
	r.tls(c.TLS)
	r.store(c.Store)
	r.flush(c)
	r.limits(c.Limits)
	r.background(c.Compaction, c.Cleanup)
	r.check(c.Session.Heartbeat > 0, "--session-heartbeat is %s: give a duration above 0", c.Session.Heartbeat)
	r.check(c.Session.Lease >= leaseBeats*c.Session.Heartbeat,
		"--session-lease (%s) is shorter than %d heartbeats, so that one lost heartbeat could end it: raise it, or lower --session-heartbeat (%s)",
		c.Session.Lease, leaseBeats, c.Session.Heartbeat)
	r.check(c.DrainTimeout > 0, "--drain-timeout is %s: give a duration above 0", c.DrainTimeout)
	r.check(clusterName.MatchString(c.Cluster), "--cluster is %q: use up to 64 letters, digits, dots, dashes and underscores, and a letter first", c.Cluster)
	if c.HTTPListen != "" {
		_, _, err := net.SplitHostPort(c.HTTPListen)
		r.check(err == nil, "--http-listen is %q: give HOST:PORT, or leave it out", c.HTTPListen)
	}
	r.oneOf("--log-format", c.Log.Format, LogText, LogJSON)
	return errors.Join(r...)
}

var clusterName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]{0,63}$`)

// leaseBeats is how many heartbeats a lease must hold: one may be lost and
// another late.
const leaseBeats = 3

// rules collects the sentences of those that are broken.
type rules []error

func (r *rules) check(ok bool, format string, args ...any) {
	if !ok {
		*r = append(*r, fmt.Errorf(format, args...))
	}
}

func (r *rules) oneOf(flag, value string, known ...string) {
	last := len(known) - 1
	r.check(slices.Contains(known, value), "%s is %q: give %s or %s", flag, value, strings.Join(known[:last], ", "), known[last])
}

func (r *rules) between(flag string, value, low, high int64) {
	r.check(low <= value && value <= high, "%s is %d: give %d to %d", flag, value, low, high)
}

// listenerName also fits into metadata keys and environment variables.
var listenerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func (r *rules) listeners(listeners []Listener) {
	r.check(len(listeners) > 0, "there is no listener: give one as --listen internal=%s", DefaultListener.Address)
	names, addresses := map[string]bool{}, map[string]bool{}
	for _, l := range listeners {
		r.check(listenerName.MatchString(l.Name),
			"listener name %q: use up to 32 lower-case letters, digits and dashes, and a letter first", l.Name)
		r.check(!names[l.Name], "there are two listeners named %q: give each --listen its own name", l.Name)
		names[l.Name] = true
		if l.Address == "" {
			r.check(false, "listener %q is advertised but has no address: add --listen %s=HOST:PORT", l.Name, l.Name)
			continue
		}
		host, port := r.address(l.Name, "--listen", l.Address, 0)
		r.check(port == 0 || !addresses[l.Address], "two listeners have the address %s: give each its own", l.Address)
		addresses[l.Address] = true
		if l.Advertise != "" {
			host, _ = r.address(l.Name, "--advertise", l.Advertise, 1)
		}
		r.check(!everywhere(host), "listener %q has no address that clients can be told, since %q means every interface: add --advertise %s=HOST:PORT",
			l.Name, host, l.Name)
	}
}

// address splits host:port; on an error it returns a host that no other rule
// complains about.
func (r *rules) address(listener, flag, address string, lowest uint64) (host string, port uint64) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.ParseUint(text, 10, 16)
	}
	if err != nil || port < lowest {
		r.check(false, "%s of listener %q is %q: give HOST:PORT with a port from %d to 65535", flag, listener, address, lowest)
		return "localhost", 0
	}
	return host, port
}

// everywhere says whether host stands for all interfaces, to listen on.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// loopback says whether only this machine can reach host. A name other than
// localhost could mean anything.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// exposure keeps plaintext on this machine.
func (r *rules) exposure(c Config) {
	if c.TLS.enabled() {
		r.check(!c.Insecure, "--insecure asks for plaintext, but there is a TLS certificate: leave one of them out")
		return
	}
	for _, l := range c.Listeners {
		host, _, err := net.SplitHostPort(l.Address)
		r.check(c.Insecure || err != nil || loopback(host),
			"listener %q would speak plaintext on %s, which other machines can reach: "+
				"give --tls-cert-file and --tls-key-file, or allow it with --insecure", l.Name, l.Address)
	}
}

func (t TLSConfig) enabled() bool { return t != TLSConfig{} }

func (r *rules) tls(t TLSConfig) {
	files := t.CertFile != "" || t.KeyFile != "" || t.ClientCAFile != ""
	texts := t.CertPEM != "" || t.KeyPEM != "" || t.ClientCAPEM != ""
	switch {
	case files && texts:
		r.check(false, "TLS is given as files (--tls-cert-file and so on) and as texts (%s and so on): use one form only", envCertPEM)
	case files:
		r.pair(t.CertFile, t.KeyFile, "--tls-cert-file", "--tls-key-file")
	case texts:
		r.pair(t.CertPEM, t.KeyPEM, envCertPEM, envKeyPEM)
	}
}

func (r *rules) pair(cert, key, certName, keyName string) {
	r.check(cert != "" && key != "", "a TLS server needs its certificate and its key: give %s and %s", certName, keyName)
}

func (r *rules) store(s StoreConfig) {
	r.oneOf("--store", s.Kind, StoreFiles, StoreAWS, StoreMemory, StoreRemote)
	host, _, err := net.SplitHostPort(s.Address)
	r.check(s.Kind != StoreRemote || err == nil && loopback(host),
		"--store-address is %q: give HOST:PORT of this machine's loopback, for a store server has no security", s.Address)
	r.check(s.Kind != StoreFiles || s.Dir != "", "--store files needs a folder: give one with --store-dir")
	r.check(s.MemoryKeepBytes >= 0, "--store-memory-keep-bytes is %d: give a size, or 0 to keep all", s.MemoryKeepBytes)
	r.check(s.MemoryKeepBytes == 0 || s.Kind == StoreMemory, "--store-memory-keep-bytes would let --store files lose data: use --store memory, or leave it out")
	r.aws(s)
	for flag, text := range map[string]string{"--store-put-latency": s.PutLatency, "--store-commit-latency": s.CommitLatency} {
		if text != "" {
			_, err := faults.ParseLatency(text)
			r.check(err == nil, "%s: %w", flag, err)
		}
	}
	for _, text := range s.Faults {
		_, err := faults.ParseRule(text)
		r.check(err == nil, "--store-fault: %w", err)
	}
}

// bucketPrefix and tablePrefix are what keys of objects and names of tables may
// begin with.
var (
	bucketPrefix = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*/?$`)
	tablePrefix  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
)

func (r *rules) aws(s StoreConfig) {
	a := s.AWS
	if s.Kind != StoreAWS {
		r.check(a.Bucket == "", "--store-bucket is for --store aws, and --store is %q: give --store aws, or leave the bucket out", s.Kind)
		return
	}
	r.check(a.Bucket != "", "--store aws needs a bucket: give the one that Terraform's output `bucket` names with --store-bucket")
	r.check(a.BucketPrefix == "" || bucketPrefix.MatchString(a.BucketPrefix),
		"--store-bucket-prefix is %q: give letters, digits, dashes and underscores, with single slashes between names", a.BucketPrefix)
	r.check(tablePrefix.MatchString(a.TablePrefix),
		"--store-table-prefix is %q: give up to 128 letters, digits, dots, dashes and underscores", a.TablePrefix)
	if a.EndpointURL != "" {
		u, err := url.Parse(a.EndpointURL)
		r.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
			"--store-endpoint-url is %q: give a URL as http://127.0.0.1:4566", a.EndpointURL)
	}
}

func (r *rules) flush(c Config) {
	f, b := c.Flush, c.Buffers
	r.check(f.Bytes > 0, "--flush-bytes is %d: give a size above 0", f.Bytes)
	r.check(f.Bytes <= b.Bytes, "--flush-bytes (%s) is more than --buffer-bytes (%s), so that it would never be reached: lower it, or raise the buffers",
		formatSize(f.Bytes), formatSize(b.Bytes))
	r.check(c.Limits.MaxBatchBytes <= b.Bytes, "--max-batch-bytes (%s) is more than --buffer-bytes (%s), so that such a batch would never fit: lower it, or raise the buffers",
		formatSize(c.Limits.MaxBatchBytes), formatSize(b.Bytes))
	r.check(b.CacheBytes >= minCacheBytes, "--cache-bytes is %d: give at least %s", b.CacheBytes, formatSize(minCacheBytes))
	r.check(f.Age > 0, "--flush-age is %s: give a duration above 0", f.Age)
	r.check(f.Age < c.AckTimeout, "--ack-timeout (%s) is not above --flush-age (%s), so that batches would time out before they are flushed: raise it",
		c.AckTimeout, f.Age)
	r.check(f.MaxPerSecond == NoCeiling || f.MaxPerSecond > 0, "--flush-max-per-second is %v: give a number above 0, or 0 for no ceiling", f.MaxPerSecond)
	r.check(f.HedgeBudget == NoHedging || f.HedgeBudget > 0 && f.HedgeBudget <= 1,
		"--flush-hedge-budget is %v: give a share of the segments, up to 1, or 0 for no second tries", f.HedgeBudget)
	r.between("--flush-concurrency", int64(f.Concurrency), 1, 1024)
}

func (r *rules) background(m CompactionConfig, k CleanupConfig) {
	r.check(m.Bytes > 0, "--compaction-bytes is %d: give a size above 0", m.Bytes)
	r.check(m.Age >= 10*time.Millisecond, "--compaction-age is %s: give at least 10ms", m.Age)
	r.check(m.MemoryBytes > 0, "--compaction-memory-bytes is %d: give a size above 0", m.MemoryBytes)
	r.check(m.BytesPerSecond > 0, "--compaction-bytes-per-second is %d: give a size above 0", m.BytesPerSecond)
	r.check(k.Interval >= time.Millisecond, "--cleanup-interval is %s: give at least 1ms", k.Interval)
	r.check(k.Grace >= 0, "--cleanup-grace is %s: give a duration from 0 on", k.Grace)
}

func (r *rules) limits(l LimitConfig) {
	r.between("--max-batch-bytes", l.MaxBatchBytes, batch.HeaderSize+1, batch.MaxSize)
	r.between("--max-partitions", int64(l.MaxPartitions), 1, maxPartitions)
	r.check(l.MaxProducerStates > 0, "--max-producer-states is %d: give a number above 0", l.MaxProducerStates)
}
