// Package producer sends records to StreamHouse, a durable, ordered log. A
// record is acknowledged when it is durable: its bytes are in the object store
// and the row that commits them is written.
//
//	p, err := producer.New(ctx, "localhost:7070", producer.WithTopic("orders"))
//	...
//	p.SendAsync(ctx, producer.Record{Key: key, Value: value}, func(ack producer.Ack, err error) { ... })
//	...
//	err = p.Close(ctx)
//
// # Data flow
//
//	Send, SendAsync       partition 0   partition 1   partition 2
//	 |  room in the buffer?     |             |             |
//	 |  partitioner             v             v             v
//	 +---------------------> [batch]       [batch]       [batch]   open: takes records
//	                            |             |             |      closed by count, bytes,
//	                       ...........compress...........          linger or Flush
//	                            |             |             |
//	                         queue         queue         queue     in order
//	                             \            |           /
//	                     link to agent A           link to agent B
//	                    one stream, batches       one stream, batches
//	                    of many partitions        of many partitions
//	                             |                        |
//	                          answers                  answers     in order per partition
//	                             \                       /
//	                        callbacks, by one goroutine
//
// The partitioner chooses a record's partition: by its key, as Kafka's clients
// do, or, without a key, one after the other as batches fill up, the one with
// the least backlog first ([ByKey]). Any agent answers for all topics; batches go
// straight to the agent that owns their partition, and after it when the
// partition moves. Partitions that are added are noticed within
// [WithMetadataMaxAge].
//
// When a batch is closed is the [BatchPolicy]'s matter; there are three presets.
// Those who send by themselves get the same batches from a [BatchManager].
//
// # Order and duplicates
//
// Records of one partition are appended in the order in which they were sent,
// across retries, reconnects and changes of owner, and each of them once:
// batches carry a producer id and a sequence number by which agents recognise
// a repeat. There is nothing to turn on. Callbacks of a partition come in the
// same order.
//
// So the records of a key are in order as long as the number of partitions stays
// as it is. When partitions are added, a key's records go to another one, as
// with Kafka's clients, from the moment at which a producer notices; each
// producer has its own. Records without a key go to the new partitions as well.
//
// # Errors
//
// Failures that time may mend are retried, within [WithDeliveryTimeout]. What
// fails in the end fails with an [*Error], and [OutcomeOf] says which of three
// things is known of the record:
//
//   - [Done]: it is in the log (the error is nil).
//   - [NotDone]: it is not, and never will be. To send it again is safe. If
//     [IsRetryable] says so it may succeed later: keep it, or push back on where
//     it came from. If not, the record or the configuration has to change first.
//   - [Unknown]: it may be in the log, or get there yet. To send it again may
//     double it, not to do so may lose it: the application decides. Where readers
//     know records by an id of their own, send it again. Where a double does
//     harm and a loss does not, leave it. Where both do, read the log's end and
//     look.
//
// Compare causes with errors.Is: the sentinels of this package, and the reasons
// of package reason, such as reason.UnknownTopic. Records sent without a
// callback are not forgotten: [Producer.Flush] and [Producer.Close] return the
// first failure. DESIGN.md lists what each fault looks like from here.
//
// To call an agent without a producer, such as with the unary Produce, use
// [RetryPolicy.Do] and IsRetryable, which follow the same table of errors.
//
// # Retries
//
// What is sent again, and how much of it:
//
//   - After failures of an agent (it is overloaded, or its storage fails):
//     [WithRetryPolicy], five times, and not more than [WithRetryBudget] lets
//     through, so that a producer never adds much to an agent's trouble.
//   - After a change of owner or a lost connection: at once, and then about every
//     second, as long as the delivery timeout lets it. That is no failure and
//     costs no retry.
//   - While an answer may still come, when a connection has fallen silent:
//     [WithHedging], at most one batch in fifty. This is what makes a dead
//     connection cost a second or two.
//
// # Agents and connections
//
// The target is only asked for topics; batches go to the addresses that agents
// advertise, those of their tasks. With [WithTLS], name the cluster with
// [WithServerName], for no certificate names a task.
//
// Connections come from a [ConnectionPool] of the producer's own: one to each
// agent that is sent to ([WithConnections] makes it more), and one for
// questions. They are closed after a minute without use, and nothing is kept of
// agents that are gone. [Producer.PoolStats] counts them. An agent that cannot be
// reached is left alone by a circuit breaker, [WithCircuitBreaker], and tried
// with one batch about every second; records for it wait, or go to the
// partition's new owner as soon as there is one.
//
// # Limits
//
// Memory is bounded by [WithMaxBufferedBytes] and [WithMaxBufferedRecords],
// over all partitions together: records count from Send to their callback.
// A partition holds at most twice what is free. So one whose agent is away
// gets to two thirds of the buffer, k of them to 2k parts in 2k+1, until their
// records run into the delivery timeout; those who send to them wait, or get
// [ErrBufferFull], and all other partitions go on in what is left. A partition
// that is the only one may fill the buffer. Besides what is buffered,
// compression and reuse of buffers take about as much again, and idle
// partitions nothing.
//
// # Watching a producer
//
// [WithHooks] tells of every batch, retry, connection and wait as it happens:
// hooks are small interfaces, such as [RetryHook], and cost next to nothing where
// none is registered. [Producer.Stats] tells what is buffered and in flight now.
// [WithLogger] logs what goes wrong, in a few lines however often it does.
// Two modules of their own make metrics of hooks and Stats: libs/producer/prometheus,
// and libs/producer/otel, which also carries traces in the records' headers.
//
// # Concurrency
//
// A Producer is safe for concurrent use, and one is enough for a process: more
// of them fill their batches more slowly and hold connections of their own.
// Options, events and errors are values that nobody changes. Partitioners and
// hooks are called by several goroutines at once, callbacks by one.
//
// # Tests
//
// Package producertest has agents that run inside a test, with faults by script
// and in virtual time.
//
// # Speed
//
// What costs CPU is batches and bytes, hardly records: if throughput matters,
// let batches grow to 1000 records ([WithBatchRecords]), and use SendAsync, for
// each Send waits for its batch. If latency matters, set [WithLinger] to 0.
//
// One producer takes several million small records per second and allocates
// nothing per record. What it costs in CPU seconds per million records, with a
// callback each and the network included, on a machine with two cores that it
// shares with the agent:
//
//	                       100 bytes   1 KiB
//	batches of 100           0.13      0.71
//	batches of 1000          0.11      0.59
//
// Codecs on batches of 1000 JSON log lines of 290 bytes, and on random bytes:
//
//	              JSON logs            random bytes
//	          ms per MiB   ratio        ms per MiB
//	s2           0.5        3.7            0.2
//	lz4          1.7        3.7            0.5
//	zstd         3.0        6.3            0.1
//
// Measure yours: go test -bench . in this package. docs/performance.md compares
// the presets of [BatchPolicy].
package producer
