// Package producerotel shows what StreamHouse producers do with OpenTelemetry:
// as metrics, and as a span for every record, whose trace goes on in the
// record's headers.
//
//	metrics, err := producerotel.NewMetrics(nil)
//	...
//	p, err := producer.New(ctx, target, producer.WithHooks(metrics, producerotel.NewTracer(nil, nil)))
//
// Each works without the other. The package needs OpenTelemetry's API alone; the
// application chooses the SDK. Without one, nothing is recorded.
//
// # Traces
//
// [Tracer] makes a span "send <topic>" of kind producer for every record, a
// child of the span in Send's or SendAsync's context. The span ends when it is
// known what became of the record, and its context is injected into the record's
// headers, as traceparent and tracestate with propagation.TraceContext, so that
// consumers can link to it. Following OpenTelemetry's conventions for messaging
// it is a span per record and not per batch: batches are the library's affair,
// and a record has a trace of its own. It costs some allocations per record,
// which [Metrics] alone does not. With a tracer that records nothing, the
// caller's trace is still carried.
//
// # Metrics
//
// The first two are those of OpenTelemetry's conventions for messaging clients,
// with messaging.system "streamhouse" and messaging.operation.name "send". The
// names of the others begin with streamhouse.producer. Attributes are bounded:
// partitions are never among them, and agents only with what is observed, which
// disappears with them.
//
//	name                                 instrument     unit      attributes             what
//	messaging.client.sent.messages       counter        {message} topic, error           records resolved
//	messaging.client.operation.duration  histogram      s         topic, error           from sending a batch to the agent's answer
//	delivery.duration                    histogram      s         outcome                from a batch's first record to its outcome
//	batch.records                        histogram      {record}                         records per batch
//	batch.size                           histogram      By                               size per batch, before compression
//	batch.sent.size                      histogram      By                               size per batch, as sent
//	records                              counter        {record}  topic, outcome         records resolved, by outcome
//	sent.bytes                           counter        By        topic                  batches as they were sent, repeats included
//	retries                              counter        {batch}   error                  batches that were sent again
//	throttles                            counter        {answer}  error                  answers that asked to wait
//	hedges                               counter        {stream}                         streams given up for a late answer, and sent again
//	breaker.changes                      counter        {change}  state                  circuit breakers that went into the state
//	connect.duration                     histogram      s         error                  attempts to reach an agent
//	disconnects                          counter        {stream}  error                  streams that ended
//	buffer.wait.duration                 histogram      s         error                  waits of records that found the buffer full
//	buffer.records                       updowncounter  {record}                         taken and not resolved
//	buffer.size                          updowncounter  By                               their encoded size, before compression
//	buffer.records.limit                 updowncounter  {record}                         the limit of buffer.records
//	buffer.size.limit                    updowncounter  By                               the limit of buffer.size
//	buffer.waiting                       updowncounter  {record}                         records that wait for room in the buffer
//	topics                               updowncounter  {topic}                          topics that are sent to
//	in_flight.batches                    updowncounter  {batch}   agent                  sent and not answered
//	in_flight.size                       updowncounter  By        agent                  their size, as sent
//	streams                              updowncounter  {stream}  agent                  open streams
//	connections                          updowncounter  {connection} agent, connection   connections, by state
//	breaker.state                        gauge          {state}   agent                  0 closed, 1 half-open, 2 open
//
// The attributes are messaging.destination.name (topic), error.type (error: what
// producer.ReasonOf returns; absent where nothing failed), server.address
// (agent), streamhouse.outcome (done, not_done or unknown),
// streamhouse.breaker.state (state: closed, half-open or open) and
// streamhouse.connection.state (connection: idle, in_use, retired or connecting,
// as producer.AgentStats explains them).
package producerotel
