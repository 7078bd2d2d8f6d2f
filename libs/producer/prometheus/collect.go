package producerprom

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// What is read from producers when Prometheus asks.
var (
	bufferedRecords  = gauge("buffered_records", "Records taken and not resolved.")
	bufferedBytes    = gauge("buffered_bytes", "Encoded size of the records taken and not resolved, before compression.")
	bufferMaxRecords = gauge("buffer_max_records", "The limit of buffered_records.")
	bufferMaxBytes   = gauge("buffer_max_bytes", "The limit of buffered_bytes.")
	bufferWaiting    = gauge("buffer_waiting", "Records that wait for room in the buffer.")
	topics           = gauge("topics", "Topics that are sent to.")
	inFlightBatches  = gauge("in_flight_batches", "Batches sent and not answered.", "agent")
	inFlightBytes    = gauge("in_flight_bytes", "Size of the batches sent and not answered, as sent.", "agent")
	streams          = gauge("streams", "Open streams to the agent.", "agent")
	connections      = gauge("connections", "Connections to the agent, by state.", "agent", "state")
	breakerState     = gauge("breaker_state", "The agent's circuit breaker: 0 closed, 1 half-open, 2 open.", "agent")
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
}

// Describe is the prometheus.Collector's.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.events {
		c.Describe(to)
	}
	for _, d := range []*prometheus.Desc{
		bufferedRecords, bufferedBytes, bufferMaxRecords, bufferMaxBytes, bufferWaiting,
		topics, inFlightBatches, inFlightBytes, streams, connections, breakerState,
	} {
		to <- d
	}
}

// Collect is the prometheus.Collector's.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.events {
		c.Collect(to)
	}
	send := func(d *prometheus.Desc, v int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	total, agents := m.sum()
	send(bufferedRecords, total.BufferedRecords)
	send(bufferedBytes, total.BufferedBytes)
	send(bufferMaxRecords, total.MaxBufferedRecords)
	send(bufferMaxBytes, total.MaxBufferedBytes)
	send(bufferWaiting, total.Waiting)
	send(topics, total.Topics)
	for _, a := range agents {
		send(inFlightBatches, a.InFlightBatches, a.Address)
		send(inFlightBytes, a.InFlightBytes, a.Address)
		send(streams, a.Streams, a.Address)
		send(breakerState, int(a.Breaker), a.Address)
	}
	for address, c := range m.sumConnections() {
		send(connections, c.InUse, address, "in_use")
		send(connections, c.Healthy-c.InUse, address, "idle")
		send(connections, c.Retired, address, "retired")
		send(connections, c.Connecting, address, "connecting")
	}
}

func (m *Metrics) all() []*producer.Producer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.producers))
}

// sum adds the producers up. A breaker counts as open if any of them has it
// open.
func (m *Metrics) sum() (total producer.Stats, agents map[string]producer.AgentState) {
	agents = map[string]producer.AgentState{}
	for _, p := range m.all() {
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
	for _, p := range m.all() {
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
