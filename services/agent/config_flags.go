package agent

import (
	"errors"
	"slices"

	"github.com/spf13/pflag"
)

// Register adds a flag for every setting to fs, with what c holds as its
// default. Parsing fs writes to c; Load comes after that.
func (c *Config) Register(fs *pflag.FlagSet) {
	name := c.Name // the host's name is no default to print
	*c = c.WithDefaults()
	fs.StringVar(&c.Name, "name", name, "`name` of this agent in logs and metadata (default the host's name)")
	fs.StringVar(&c.Zone, "zone", c.Zone, "availability `zone` that this agent runs in")
	c.registerListeners(fs)
	c.registerStore(fs)
	c.registerFlush(fs)
	c.registerBackground(fs)
	c.registerLimits(fs)
	c.registerTimes(fs)
	fs.StringVar(&c.Cluster, "cluster", c.Cluster, "`name` of the cluster that metrics are reported under")
	fs.StringVar(&c.HTTPListen, "http-listen", c.HTTPListen, "`host:port` for /metrics, which Prometheus reads, and /healthz, in plain HTTP (default nowhere)")
	fs.BoolVar(&c.Metrics.CloudWatch, "metrics-cloudwatch", c.Metrics.CloudWatch, "write CloudWatch's embedded metric format to standard output, a line a minute")
	fs.Var((*levelValue)(&c.Log.Level), "log-level", "lowest `level` that is logged: debug, info, warn or error")
	fs.StringVar(&c.Log.Format, "log-format", c.Log.Format, "`format` of the log on standard error: text or json")
	fs.StringVar(&c.File, "config", c.File, "YAML `file` of settings: a line \"name: value\" for each flag, without its dashes")
	fs.StringVar(&c.ReadyFile, "ready-file", c.ReadyFile, "`file` to write once the agent serves: JSON with the addresses that it took")
}

func (c *Config) registerListeners(fs *pflag.FlagSet) {
	l := &listenerFlags{to: &c.Listeners, listen: slices.Clone(c.Listeners)}
	fs.Var(listenValue{l}, "listen", "`name=host:port` to serve on, or several; port 0 takes a free one")
	fs.Var(advertiseValue{l}, "advertise", "`name=host:port` by which clients reach a listener (default its host, and the port that it took)")
	fs.BoolVar(&c.Insecure, "insecure", c.Insecure, "allow plaintext on addresses that other machines can reach")
	fs.StringVar(&c.TLS.CertFile, "tls-cert-file", c.TLS.CertFile, "PEM `file` of the server's certificate, and of those between it and its authority")
	fs.StringVar(&c.TLS.KeyFile, "tls-key-file", c.TLS.KeyFile, "PEM `file` of the certificate's private key")
	fs.StringVar(&c.TLS.ClientCAFile, "tls-client-ca-file", c.TLS.ClientCAFile,
		"PEM `file` of the authorities whose clients are let in; others are not, then")
}

func (c *Config) registerStore(fs *pflag.FlagSet) {
	s := &c.Store
	fs.StringVar(&s.Kind, "store", s.Kind, "`kind` of store: files; aws; memory, which forgets everything with the process; or remote, a store server")
	fs.StringVar(&s.Dir, "store-dir", s.Dir, "`folder` of --store files")
	fs.StringVar(&s.AWS.Bucket, "store-bucket", s.AWS.Bucket, "S3 `bucket` of --store aws")
	fs.StringVar(&s.AWS.BucketPrefix, "store-bucket-prefix", s.AWS.BucketPrefix, "`prefix` of the keys of all objects in the bucket")
	fs.StringVar(&s.AWS.TablePrefix, "store-table-prefix", s.AWS.TablePrefix, "`prefix` of the names of the DynamoDB tables of --store aws")
	fs.StringVar(&s.AWS.EndpointURL, "store-endpoint-url", s.AWS.EndpointURL, "`url` in place of AWS's own endpoints (default what AWS_ENDPOINT_URL says)")
	fs.StringVar(&s.Address, "store-address", s.Address, "`host:port` of the store server of --store remote")
	fs.StringVar(&s.PutLatency, "store-put-latency", s.PutLatency, "added to every write of an object: `p50/p99`, as in 60ms/200ms")
	fs.StringVar(&s.CommitLatency, "store-commit-latency", s.CommitLatency, "added to every write of a row: `p50/p99`, as in 4ms/10ms")
	fs.Var(&listValue{list: &s.Faults}, "store-fault", "`rule` for requests that fail, as in op=put,every=7,kind=err-after")
	fs.Uint64Var(&s.FaultSeed, "store-fault-seed", s.FaultSeed, "`number` that decides latencies and what failed requests leave behind")
	fs.Var((*sizeValue)(&s.MemoryKeepBytes), "store-memory-keep-bytes", "`size` beyond which --store memory forgets the oldest objects; 0 keeps all")
	hide(fs, "store-put-latency", "store-commit-latency", "store-fault", "store-fault-seed", "store-memory-keep-bytes")
}

func (c *Config) registerFlush(fs *pflag.FlagSet) {
	f, b := &c.Flush, &c.Buffers
	fs.Var((*sizeValue)(&f.Bytes), "flush-bytes", "`size` at which a segment is flushed at once")
	fs.DurationVar(&f.Age, "flush-age", f.Age, "`duration` that a batch waits at most for others, while flushes are under way")
	fs.Var((*ceilingValue)(&f.MaxPerSecond), "flush-max-per-second", "ceiling for flushes of less than --flush-bytes; 0 is none")
	fs.IntVar(&f.Concurrency, "flush-concurrency", f.Concurrency, "`number` of segments that are written at a time")
	fs.Var((*budgetValue)(&f.HedgeBudget), "flush-hedge-budget", "`share` of segments that may be written twice when the first try is slow; 0 is none, and --store files has none")
	fs.Var((*sizeValue)(&b.Bytes), "buffer-bytes", "`size` of all that is not committed yet; beyond it, producers have to wait")
	fs.Var((*sizeValue)(&b.CacheBytes), "cache-bytes", "`size` of the cache for readers")
}

func (c *Config) registerBackground(fs *pflag.FlagSet) {
	m, k := &c.Compaction, &c.Cleanup
	fs.Var((*sizeValue)(&m.Bytes), "compaction-bytes", "`size` that merged segments are meant to have; a partition of which so much waits is merged at once")
	fs.DurationVar(&m.Age, "compaction-age", m.Age, "`duration` that a record waits at most to be merged; a takeover reads what was written since")
	fs.Var((*sizeValue)(&m.MemoryBytes), "compaction-memory-bytes", "`size` of what is merged at a time")
	fs.Var((*sizeValue)(&m.BytesPerSecond), "compaction-bytes-per-second", "`size` of what is read to be merged in a second, unless too much waits")
	fs.DurationVar(&k.Interval, "cleanup-interval", k.Interval, "`duration` between two looks for what can be removed")
	fs.DurationVar(&k.Grace, "cleanup-grace", k.Grace, "`duration` that what can be removed stays for readers that are under way")
}

func (c *Config) registerLimits(fs *pflag.FlagSet) {
	l := &c.Limits
	fs.Var((*sizeValue)(&l.MaxBatchBytes), "max-batch-bytes", "`size` that one batch may have")
	fs.IntVar(&l.MaxPartitions, "max-partitions", l.MaxPartitions, "`number` of partitions that one topic may have")
	fs.IntVar(&l.MaxProducerStates, "max-producer-states", l.MaxProducerStates, "`number` of producers, counted in each partition, whose retries are recognised")
}

func (c *Config) registerTimes(fs *pflag.FlagSet) {
	fs.DurationVar(&c.Session.Heartbeat, "session-heartbeat", c.Session.Heartbeat, "interval (`duration`) at which the lease is renewed")
	fs.DurationVar(&c.Session.Lease, "session-lease", c.Session.Lease, "`duration` after which a silent agent's partitions may be taken over")
	fs.DurationVar(&c.AckTimeout, "ack-timeout", c.AckTimeout, "`duration` after which a producer is told that its batch's outcome is unknown")
	fs.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "`duration` that a shutdown may take")
}

// hide leaves flags out of the help: they are for tests and benchmarks.
func hide(fs *pflag.FlagSet, names ...string) {
	var err error
	for _, name := range names {
		err = errors.Join(err, fs.MarkHidden(name))
	}
	if err != nil {
		panic(err) // a name above is misspelt
	}
}
