// Package producertest is a cluster of agents inside a test's process, for
// tests of programs that send with package producer: real gRPC over a network
// in memory, without an object store, ports or files.
//
//	cluster := producertest.New(t, producertest.Topic("orders", 8))
//	p, err := producer.New(ctx, cluster.Target(), producer.WithDialOptions(cluster.Dialer()))
//	...
//	records := cluster.Records("orders", 3)
//
// The agents keep to the protocol as real ones do: they check batches,
// ownership and the sequences of producers, answer repeats with the first
// append's offset, and refuse with the reasons of package reason.
//
// # Faults
//
// [Cluster.Script] decides what becomes of every batch that comes in:
//
//	cluster.Script(func(a *producertest.Attempt) producertest.Reply {
//		if a.Partition == 3 && a.Try == 1 {
//			return producertest.LoseAnswer() // appended, and nobody hears of it
//		}
//		return producertest.Proceed()
//	})
//
// What happens to whole agents is a method of the cluster: [Cluster.Kill] and
// [Cluster.Start], [Cluster.Drain], [Cluster.Isolate] and [Cluster.Rejoin],
// [Cluster.Disconnect].
// Partitions change their owner with [Cluster.Move].
//
// # Virtual time
//
// A cluster works inside a bubble of testing/synctest: make it within the
// bubble, and hours of retries pass in no time. It is stopped when its test
// ends.
package producertest
