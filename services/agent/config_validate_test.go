package agent

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestRefusedConfigs(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"listener without a name", func(c *Config) { c.Listeners[0].Name = "" }, `listener name "": use`},
		{"upper case", func(c *Config) { c.Listeners[0].Name = "Internal" }, `listener name "Internal": use`},
		{
			"two of one name", func(c *Config) { c.Listeners = append(c.Listeners, Listener{Name: "internal", Address: "127.0.0.1:1"}) },
			`two listeners named "internal"`,
		},
		{
			"two of one address", func(c *Config) { c.Listeners = append(c.Listeners, Listener{Name: "other", Address: "127.0.0.1:7070"}) },
			"two listeners have the address 127.0.0.1:7070",
		},
		{
			"advertised only", func(c *Config) { c.Listeners = append(c.Listeners, Listener{Name: "other", Advertise: "host:1"}) },
			"add --listen other=HOST:PORT",
		},
		{"no port", func(c *Config) { c.Listeners[0].Address = "127.0.0.1" }, `--listen of listener "internal" is "127.0.0.1": give HOST:PORT`},
		{"port by name", func(c *Config) { c.Listeners[0].Address = "127.0.0.1:http" }, "give HOST:PORT with a port from 0"},
		{"port too high", func(c *Config) { c.Listeners[0].Address = "127.0.0.1:65536" }, "give HOST:PORT with a port from 0"},
		{"advertised port 0", func(c *Config) { c.Listeners[0].Advertise = "host:0" }, `--advertise of listener "internal" is "host:0": give HOST:PORT with a port from 1`},
		{"advertised everywhere", func(c *Config) { c.Listeners[0].Advertise = "0.0.0.0:1" }, "has no address that clients can be told"},
		{"everywhere", func(c *Config) { c.Insecure, c.Listeners[0].Address = true, ":7070" }, "add --advertise internal=HOST:PORT"},
		{"everywhere, IPv6", func(c *Config) { c.Insecure, c.Listeners[0].Address = true, "[::]:7070" }, "add --advertise internal=HOST:PORT"},
		{"plaintext", func(c *Config) { c.Listeners[0].Address = "10.0.0.1:7070" }, "would speak plaintext on 10.0.0.1:7070"},
		{"plaintext by name", func(c *Config) { c.Listeners[0].Address = "host:7070" }, "give --tls-cert-file and --tls-key-file, or allow it with --insecure"},
		{"insecure TLS", func(c *Config) { c.Insecure, c.TLS = true, TLSConfig{CertFile: "c", KeyFile: "k"} }, "leave one of them out"},
		{"certificate without key", func(c *Config) { c.TLS.CertFile = "c" }, "give --tls-cert-file and --tls-key-file"},
		{"authority alone", func(c *Config) { c.TLS.ClientCAPEM = "ca" }, "give STREAMHOUSE_TLS_CERT_PEM and STREAMHOUSE_TLS_KEY_PEM"},
		{"files and texts", func(c *Config) { c.TLS = TLSConfig{CertFile: "c", KeyFile: "k", KeyPEM: "k"} }, "use one form only"},
		{"kind of store", func(c *Config) { c.Store.Kind = "s3" }, `--store is "s3": give files, aws, memory or remote`},
		{"no bucket", func(c *Config) { c.Store.Kind = StoreAWS }, "Terraform's output `bucket`"},
		{"bucket of no store", func(c *Config) { c.Store.AWS.Bucket = "b" }, `--store-bucket is for --store aws, and --store is "files"`},
		{"bucket prefix", func(c *Config) { c.Store = onAWS(AWSConfig{BucketPrefix: "/a"}) }, `--store-bucket-prefix is "/a"`},
		{"hidden bucket prefix", func(c *Config) { c.Store = onAWS(AWSConfig{BucketPrefix: "a/.b"}) }, `--store-bucket-prefix is "a/.b"`},
		{"table prefix", func(c *Config) { c.Store = onAWS(AWSConfig{TablePrefix: "a b"}) }, `--store-table-prefix is "a b"`},
		{"endpoint", func(c *Config) { c.Store = onAWS(AWSConfig{EndpointURL: "127.0.0.1:4566"}) }, "give a URL as http://127.0.0.1:4566"},
		{"no folder", func(c *Config) { c.Store.Dir = "" }, "give one with --store-dir"},
		{"files that are dropped", func(c *Config) { c.Store.MemoryKeepBytes = 1 }, "would let --store files lose data"},
		{"latency", func(c *Config) { c.Store.PutLatency = "fast" }, `--store-put-latency: parse the latency "fast"`},
		{"commit latency", func(c *Config) { c.Store.CommitLatency = "9ms/1ms" }, "--store-commit-latency: "},
		{"fault", func(c *Config) { c.Store.Faults = []string{"op=put"} }, `--store-fault: parse the rule "op=put": it has no kind`},
		{"flush beyond buffers", func(c *Config) { c.Flush.Bytes = 512 << 20 }, "--flush-bytes (512MiB) is more than --buffer-bytes (256MiB)"},
		{"batch beyond buffers", func(c *Config) { c.Flush.Bytes, c.Buffers.Bytes = 1<<20, 8<<20 }, "--max-batch-bytes (15MiB) is more than --buffer-bytes (8MiB)"},
		{"no cache", func(c *Config) { c.Buffers.CacheBytes = 1 }, "--cache-bytes is 1: give at least 1MiB"},
		{"no age", func(c *Config) { c.Flush.Age = 0 }, "--flush-age is 0s"},
		{"age beyond the answer", func(c *Config) { c.Flush.Age = time.Minute }, "--ack-timeout (30s) is not above --flush-age (1m0s)"},
		{"negative ceiling", func(c *Config) { c.Flush.MaxPerSecond = -2 }, "--flush-max-per-second is -2"},
		{"no number", func(c *Config) { c.Flush.MaxPerSecond = math.NaN() }, "--flush-max-per-second is NaN"},
		{"no writer", func(c *Config) { c.Flush.Concurrency = 0 }, "--flush-concurrency is 0: give 1 to 1024"},
		{"batch beyond the format", func(c *Config) { c.Limits.MaxBatchBytes = 16 << 20 }, "--max-batch-bytes is 16777216: give 57 to 15728640"},
		{"partitions", func(c *Config) { c.Limits.MaxPartitions = 10_001 }, "--max-partitions is 10001: give 1 to 10000"},
		{"producers", func(c *Config) { c.Limits.MaxProducerStates = -1 }, "--max-producer-states is -1"},
		{"heartbeat", func(c *Config) { c.Session.Heartbeat = 0 }, "--session-heartbeat is 0s"},
		{"short lease", func(c *Config) { c.Session.Lease = 5 * time.Second }, "--session-lease (5s) is shorter than 3 heartbeats"},
		{"drain", func(c *Config) { c.DrainTimeout = -1 }, "--drain-timeout is -1ns"},
		{"format", func(c *Config) { c.Log.Format = "xml" }, `--log-format is "xml": give text or json`},
		{"no name", func(c *Config) { c.Name = "" }, "give one with --name"},
		{"no listener", func(c *Config) { c.Listeners = nil }, "give one as --listen internal=127.0.0.1:7070"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Config{}.WithDefaults()
			test.change(&c)
			err := c.Validate()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v\nwant %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("one fault gave more than one sentence:\n%v", err)
			}
		})
	}
}

func TestAcceptedConfigs(t *testing.T) {
	tests := map[string]func(*Config){
		"nothing":           func(*Config) {},
		"localhost":         func(c *Config) { c.Listeners[0].Address = "localhost:0" },
		"IPv6":              func(c *Config) { c.Listeners[0].Address = "[::1]:7070" },
		"insecure":          func(c *Config) { c.Insecure, c.Listeners[0].Address = true, "10.0.0.1:7070" },
		"insecure loopback": func(c *Config) { c.Insecure = true },
		"two free ports": func(c *Config) {
			c.Listeners = []Listener{{Name: "a", Address: "127.0.0.1:0"}, {Name: "b", Address: "127.0.0.1:0"}}
		},
		"TLS everywhere": func(c *Config) {
			c.TLS = TLSConfig{CertFile: "c", KeyFile: "k", ClientCAFile: "a"}
			c.Listeners[0].Address, c.Listeners[0].Advertise = "0.0.0.0:7070", "host:7070"
		},
		"no ceiling": func(c *Config) { c.Flush.MaxPerSecond = NoCeiling },
		"memory": func(c *Config) {
			c.Store = StoreConfig{Kind: StoreMemory, MemoryKeepBytes: 1, PutLatency: "60ms/200ms"}
		},
		"aws":           func(c *Config) { c.Store = onAWS(AWSConfig{}) },
		"aws, prefixes": func(c *Config) { c.Store = onAWS(AWSConfig{BucketPrefix: "a/b-c/", TablePrefix: "a.b_c-"}) },
		"aws, endpoint": func(c *Config) { c.Store = onAWS(AWSConfig{EndpointURL: "http://localhost:4566"}) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			c := Config{}.WithDefaults()
			change(&c)
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
			if again := c.WithDefaults(); again.Flush != c.Flush {
				t.Errorf("a second WithDefaults changed %+v to %+v", c.Flush, again.Flush)
			}
		})
	}
}

// onAWS is a StoreConfig of aws, complete but for what it is given.
func onAWS(a AWSConfig) StoreConfig {
	a.Bucket = "bucket"
	return Config{Store: StoreConfig{Kind: StoreAWS, AWS: a}}.WithDefaults().Store
}

// One start tells about every fault.
func TestAllFaultsAtOnce(t *testing.T) {
	c := Config{}.WithDefaults()
	c.Store.Kind, c.Log.Format, c.Flush.Age = "s3", "xml", -1
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}

// Defaults must not be written into the caller's listeners.
func TestWithDefaultsCopies(t *testing.T) {
	c := Config{Listeners: []Listener{{Name: "a"}}}
	c.WithDefaults().Listeners[0].Name = "b"
	if c.Listeners[0].Name != "a" {
		t.Error("the slice is shared")
	}
}
