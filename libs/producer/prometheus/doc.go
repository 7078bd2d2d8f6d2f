// Package producerprom shows what StreamHouse producers do as Prometheus
// metrics.
//
//	metrics := producerprom.New()
//	prometheus.MustRegister(metrics)
//	p, err := producer.New(ctx, target, producer.WithHooks(metrics))
//
// One Metrics serves any number of producers, and adds them up. To tell them
// apart, or to give names a prefix, make one for each and register it with
// prometheus.WrapRegistererWith.
//
// # Metrics
//
// All names begin with streamhouse_producer_. Durations are in seconds, sizes
// in bytes. Labels are bounded: no metric has partitions for labels, only
// counters have topics, and only gauges have agents, which disappear with them.
//
//	name                       type       labels           what
//	records_total              counter    topic, outcome   records resolved
//	record_bytes_total         counter    topic, outcome   their encoded size, before compression
//	batches_total              counter    topic, outcome   batches resolved
//	failed_records_total       counter    reason           records whose batch failed
//	sent_bytes_total           counter    topic            batches as they were sent, repeats included
//	retries_total              counter    reason           batches that were sent again
//	throttles_total            counter    reason           answers that asked to wait
//	hedges_total               counter                     streams given up for a late answer, and sent again
//	breaker_changes_total      counter    state            circuit breakers that went into the state
//	connects_total             counter    reason           attempts to reach an agent; OK if it worked
//	disconnects_total          counter    reason           streams that ended; OK if on purpose
//	request_duration_seconds   histogram  result           from sending a batch to the agent's answer
//	delivery_duration_seconds  histogram  outcome          from a batch's first record to its outcome
//	connect_duration_seconds   histogram  result           attempts to reach an agent
//	buffer_wait_seconds        histogram  result           waits of records that found the buffer full
//	batch_records              histogram                   records per batch
//	batch_bytes                histogram                   size per batch, before compression
//	batch_sent_bytes           histogram                   size per batch, as sent
//	buffered_records           gauge                       taken and not resolved
//	buffered_bytes             gauge                       their encoded size, before compression
//	buffer_max_records         gauge                       the limit of buffered_records
//	buffer_max_bytes           gauge                       the limit of buffered_bytes
//	buffer_waiting             gauge                       records that wait for room in the buffer
//	topics                     gauge                       topics that are sent to
//	in_flight_batches          gauge      agent            sent and not answered
//	in_flight_bytes            gauge      agent            their size, as sent
//	streams                    gauge      agent            open streams
//	connections                gauge      agent, state     connections, by state
//	breaker_state              gauge      agent            0 closed, 1 half-open, 2 open
//
// The label outcome is done, not_done or unknown, as producer.Outcome; result
// is ok or error; reason is what producer.ReasonOf returns, such as NOT_OWNER or
// UNAVAILABLE; state is a breaker's (closed, half-open or open) or a connection's
// (idle, in_use, retired or connecting), as producer.AgentStats explains them.
// Histograms have classic buckets, and native ones for servers that ask for
// them.
package producerprom
