package bench

import (
	"fmt"
	"io"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/histogram"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/rawtcp"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
)

// Result is what was measured; its JSON form is that of --output json. CPU
// seconds are per million acknowledged records.
type Result struct {
	RecordsPerSecond float64 `json:"records_per_second"`
	MiBPerSecond     float64 `json:"mib_per_second"`
	AckP50Ms         float64 `json:"ack_p50_ms"`
	AckP99Ms         float64 `json:"ack_p99_ms"`
	AckMaxMs         float64 `json:"ack_max_ms"`

	CPUSecondsPerMillion       float64 `json:"cpu_seconds_per_million"`
	ClientCPUSecondsPerMillion float64 `json:"client_cpu_seconds_per_million"`
	AgentCPUSecondsPerMillion  float64 `json:"agent_cpu_seconds_per_million"`
	ClientAllocsPerRecord      float64 `json:"client_allocs_per_record"`
	AgentAllocsPerRecord       float64 `json:"agent_allocs_per_record"`
	// AgentRSSMiB is the agent's peak since its start.
	AgentRSSMiB float64 `json:"agent_rss_mib"`

	RawTCPRecordsPerSecond     float64 `json:"raw_tcp_records_per_second"`
	RawTCPCPUSecondsPerMillion float64 `json:"raw_tcp_cpu_seconds_per_million"`

	// The stores' latencies, as the agent measured them since its start.
	PutP50Ms    float64 `json:"put_p50_ms"`
	PutP99Ms    float64 `json:"put_p99_ms"`
	CommitP50Ms float64 `json:"commit_p50_ms"`
	CommitP99Ms float64 `json:"commit_p99_ms"`

	// What was asked of the stores: PUTs and capacity units written for each
	// segment, and the price of all requests for each GiB of records.
	PutsPerSegment       float64 `json:"puts_per_segment"`
	WriteUnitsPerSegment float64 `json:"write_units_per_segment"`
	RequestCostPerGiB    float64 `json:"request_cost_usd_per_gib"`

	Records           uint64  `json:"records"`
	Seconds           float64 `json:"seconds"`
	SegmentsPerSecond float64 `json:"segments_per_second"`
	LatencySamples    uint64  `json:"latency_samples"`

	Settings Settings `json:"settings"`
}

// Settings are the options that shaped a result.
type Settings struct {
	RecordSize    int      `json:"record_size"`
	Batch         int      `json:"batch"`
	Partitions    int      `json:"partitions"`
	InFlight      int      `json:"in_flight"`
	Producers     int      `json:"producers"`
	Rate          int      `json:"rate"`
	Store         string   `json:"store"`
	PutLatency    string   `json:"put_latency"`
	CommitLatency string   `json:"commit_latency"`
	FlushRate     int      `json:"flush_rate"`
	Compression   string   `json:"compression"`
	WarmupSeconds float64  `json:"warmup_seconds"`
	AgentSettings []string `json:"agent_settings,omitempty"`
}

func (o *Options) settings() Settings {
	return Settings{
		RecordSize: o.RecordSize, Batch: o.Batch, Partitions: o.Partitions, InFlight: o.InFlight,
		Producers: o.Producers, Rate: o.Rate, Store: o.Store, PutLatency: o.PutLatency, CommitLatency: o.CommitLatency,
		FlushRate: o.FlushRate, Compression: o.Compression.String(), WarmupSeconds: o.Warmup.Seconds(), AgentSettings: o.AgentSettings,
	}
}

const million = 1e6

// summarize turns two readings into a result.
func (o *Options) summarize(before, after reading, latencies *histogram.Histogram, raw rawtcp.Result) (*Result, error) {
	records := after.acked - before.acked
	if records == 0 {
		return nil, fmt.Errorf("no record was acknowledged in %v: give it a longer --duration", o.Duration)
	}
	n, seconds := float64(records), after.at.Sub(before.at).Seconds()
	perMillion := func(cpuSeconds float64) float64 { return cpuSeconds / n * million }
	client := perMillion((after.clientCPU - before.clientCPU).Seconds())
	agent := perMillion(after.agent.GetCpuSeconds() - before.agent.GetCpuSeconds())
	recordsPerFrame := float64(o.rawFrame()) / float64(o.RecordSize)
	put, commit := after.agent.GetPutLatency(), after.agent.GetCommitLatency()
	segments := float64(after.agent.GetSegmentsCommitted() - before.agent.GetSegmentsCommitted())
	puts := float64(after.agent.GetStoreRequests()["put"] - before.agent.GetStoreRequests()["put"])
	return &Result{
		RecordsPerSecond: n / seconds,
		MiBPerSecond:     human.MiB(n*float64(o.RecordSize)) / seconds,
		AckP50Ms:         human.Millis(latencies.Quantile(0.5)),
		AckP99Ms:         human.Millis(latencies.Quantile(0.99)),
		AckMaxMs:         human.Millis(latencies.Max()),

		CPUSecondsPerMillion:       client + agent,
		ClientCPUSecondsPerMillion: client,
		AgentCPUSecondsPerMillion:  agent,
		ClientAllocsPerRecord:      float64(after.allocs-before.allocs) / n,
		AgentAllocsPerRecord:       float64(after.agent.GetHeapAllocations()-before.agent.GetHeapAllocations()) / n,
		AgentRSSMiB:                human.MiB(after.agent.GetPeakResidentBytes()),

		RawTCPRecordsPerSecond:     raw.FramesPerSecond * recordsPerFrame,
		RawTCPCPUSecondsPerMillion: raw.CPUPerFrame.Seconds() / recordsPerFrame * million,

		PutP50Ms: put.GetP50Ms(), PutP99Ms: put.GetP99Ms(),
		CommitP50Ms: commit.GetP50Ms(), CommitP99Ms: commit.GetP99Ms(),

		Records: records, Seconds: seconds, LatencySamples: latencies.Count(),
		SegmentsPerSecond:    segments / seconds,
		PutsPerSegment:       puts / max(1, segments),
		WriteUnitsPerSegment: (after.agent.GetWriteUnits() - before.agent.GetWriteUnits()) / max(1, segments),
		RequestCostPerGiB:    (after.agent.GetRequestCostUsd() - before.agent.GetRequestCostUsd()) / (n * float64(o.RecordSize) / (1 << 30)),
		Settings:             o.settings(),
	}, nil
}

// WriteText writes the result for people.
func (r *Result) WriteText(w io.Writer) error {
	rate := func(perSecond float64) string { return human.Rate(int64(perSecond), time.Second) }
	ms := func(p50, p99 float64) string { return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", p50, p99) }
	s := &r.Settings
	rows := [][]string{
		{
			"rate", rate(r.RecordsPerSecond) + " records/s, " + fmt.Sprintf("%.1f MiB/s", r.MiBPerSecond),
			fmt.Sprintf("%.2f of raw TCP, %s", r.RecordsPerSecond/r.RawTCPRecordsPerSecond, rate(r.RawTCPRecordsPerSecond)),
		},
		{
			"CPU", fmt.Sprintf("%.3f s per million records", r.CPUSecondsPerMillion),
			fmt.Sprintf("%.1f times raw TCP, %.3f s", r.CPUSecondsPerMillion/r.RawTCPCPUSecondsPerMillion, r.RawTCPCPUSecondsPerMillion),
		},
		{"", fmt.Sprintf("client %.3f s, agent %.3f s", r.ClientCPUSecondsPerMillion, r.AgentCPUSecondsPerMillion), ""},
		{"ack", ms(r.AckP50Ms, r.AckP99Ms), fmt.Sprintf("max %.2f ms", r.AckMaxMs)},
		{"PUT", ms(r.PutP50Ms, r.PutP99Ms), fmt.Sprintf("%.1f segments/s", r.SegmentsPerSecond)},
		{"commit", ms(r.CommitP50Ms, r.CommitP99Ms), ""},
		{"requests", fmt.Sprintf("%.2f PUTs, %.2f write units per segment", r.PutsPerSegment, r.WriteUnitsPerSegment), fmt.Sprintf("$%.4f per GiB", r.RequestCostPerGiB)},
		{"allocations", fmt.Sprintf("client %.4f, agent %.4f per record", r.ClientAllocsPerRecord, r.AgentAllocsPerRecord), ""},
		{"memory", fmt.Sprintf("agent %.0f MiB at its peak", r.AgentRSSMiB), ""},
	}
	_, err := fmt.Fprintf(w, "%s records of %d bytes in %.1f s: batches of %d, %d partitions, %d in flight, %s store\n\n",
		human.Count(r.Records), s.RecordSize, r.Seconds, s.Batch, s.Partitions, s.InFlight, s.Store)
	if err != nil {
		return err
	}
	return table.Write(w, []table.Column{{Title: "WHAT"}, {Title: "MEASURED"}, {Title: "COMPARE"}}, rows)
}
