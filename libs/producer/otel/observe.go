package producerotel

import (
	"context"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/metric"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// observed is what is read from producers when metrics are collected.
type observed struct {
	records, size, recordsLimit, sizeLimit, waiting, topics,
	inFlightBatches, inFlightSize, streams, connections metric.Int64ObservableUpDownCounter
	breaker metric.Int64ObservableGauge
}

func (in *instruments) observed() observed {
	sum := func(name, unit, what string) metric.Int64ObservableUpDownCounter {
		c, err := in.meter.Int64ObservableUpDownCounter(prefix+name, metric.WithUnit(unit), metric.WithDescription(what))
		in.note(err)
		return c
	}
	o := observed{
		records:         sum("buffer.records", "{record}", "Records taken and not resolved."),
		size:            sum("buffer.size", "By", "Encoded size of the records taken and not resolved, before compression."),
		recordsLimit:    sum("buffer.records.limit", "{record}", "The limit of buffer.records."),
		sizeLimit:       sum("buffer.size.limit", "By", "The limit of buffer.size."),
		waiting:         sum("buffer.waiting", "{record}", "Records that wait for room in the buffer."),
		topics:          sum("topics", "{topic}", "Topics that are sent to."),
		inFlightBatches: sum("in_flight.batches", "{batch}", "Batches sent and not answered."),
		inFlightSize:    sum("in_flight.size", "By", "Size of the batches sent and not answered, as sent."),
		streams:         sum("streams", "{stream}", "Open streams to the agent."),
		connections:     sum("connections", "{connection}", "Connections to the agent, by state."),
	}
	var err error
	o.breaker, err = in.meter.Int64ObservableGauge(prefix+"breaker.state", metric.WithUnit("{state}"),
		metric.WithDescription("The agent's circuit breaker: 0 closed, 1 half-open, 2 open."))
	in.note(err)
	return o
}

func (o *observed) all() []metric.Observable {
	return []metric.Observable{
		o.records, o.size, o.recordsLimit, o.sizeLimit, o.waiting, o.topics,
		o.inFlightBatches, o.inFlightSize, o.streams, o.connections, o.breaker,
	}
}

func (m *Metrics) observe(_ context.Context, to metric.Observer) error {
	o := &m.observed
	total, agents := m.sum()
	to.ObserveInt64(o.records, int64(total.BufferedRecords))
	to.ObserveInt64(o.size, int64(total.BufferedBytes))
	to.ObserveInt64(o.recordsLimit, int64(total.MaxBufferedRecords))
	to.ObserveInt64(o.sizeLimit, int64(total.MaxBufferedBytes))
	to.ObserveInt64(o.waiting, int64(total.Waiting))
	to.ObserveInt64(o.topics, int64(total.Topics))
	for _, a := range agents {
		agent := metric.WithAttributes(agentKey.String(a.Address))
		to.ObserveInt64(o.inFlightBatches, int64(a.InFlightBatches), agent)
		to.ObserveInt64(o.inFlightSize, int64(a.InFlightBytes), agent)
		to.ObserveInt64(o.streams, int64(a.Streams), agent)
		to.ObserveInt64(o.breaker, int64(a.Breaker), agent)
	}
	for address, c := range m.sumConnections() {
		observe := func(n int, state string) {
			to.ObserveInt64(o.connections, int64(n), metric.WithAttributes(agentKey.String(address), connectionKey.String(state)))
		}
		observe(c.InUse, "in_use")
		observe(c.Healthy-c.InUse, "idle")
		observe(c.Retired, "retired")
		observe(c.Connecting, "connecting")
	}
	return nil
}

func (m *Metrics) producers() []*producer.Producer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.mu.producers))
}

// sum adds the producers up. A breaker counts as open if any of them has it
// open.
func (m *Metrics) sum() (total producer.Stats, agents map[string]producer.AgentState) {
	agents = map[string]producer.AgentState{}
	for _, p := range m.producers() {
		s := p.Stats()
		total.BufferedRecords += s.BufferedRecords
		total.BufferedBytes += s.BufferedBytes
		total.MaxBufferedRecords += s.MaxBufferedRecords
		total.MaxBufferedBytes += s.MaxBufferedBytes
		total.Waiting += s.Waiting
		total.Topics += s.Topics
		for _, a := range s.Agents {
			sum := agents[a.Address]
			sum.Address = a.Address
			sum.Streams += a.Streams
			sum.InFlightBatches += a.InFlightBatches
			sum.InFlightBytes += a.InFlightBytes
			sum.Breaker = max(sum.Breaker, a.Breaker)
			agents[a.Address] = sum
		}
	}
	return total, agents
}

// sumConnections adds the producers' connections up, by agent.
func (m *Metrics) sumConnections() map[string]producer.AgentStats {
	agents := map[string]producer.AgentStats{}
	for _, p := range m.producers() {
		for address, c := range p.PoolStats().Agents {
			sum := agents[address]
			sum.Healthy += c.Healthy
			sum.InUse += c.InUse
			sum.Retired += c.Retired
			sum.Connecting += c.Connecting
			agents[address] = sum
		}
	}
	return agents
}
