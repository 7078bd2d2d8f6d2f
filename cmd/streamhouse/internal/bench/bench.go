package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/child"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/histogram"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/rawtcp"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// SinkCommand is the subcommand that runs the raw TCP sink.
const SinkCommand = "raw-tcp-sink"

const (
	topicName = "bench"
	// payloadSize is what records are cut from: more than the processors'
	// caches, so that no copy is cheaper than it would be elsewhere.
	payloadSize = 16 << 20
	// The raw TCP rate is steady after a moment; it need not run as long.
	rawWarmup      = 300 * time.Millisecond
	rawLongest     = 2 * time.Second
	rawInFlight    = 16
	closeTimeout   = 2 * time.Minute
	requestTimeout = 30 * time.Second
)

// Run measures raw TCP, then an agent. Note is told what is going on.
func Run(ctx context.Context, o Options, note func(string)) (*Result, error) {
	result, err := run(ctx, o, note)
	if err != nil && ctx.Err() != nil {
		// A terminal interrupts the other processes, too. That they ended is
		// not what went wrong.
		return nil, context.Cause(ctx)
	}
	return result, err
}

func run(ctx context.Context, o Options, note func(string)) (*Result, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	payload := randomBytes(max(payloadSize, o.Batch*o.RecordSize))
	note("measuring raw TCP")
	raw, err := o.runRaw(ctx, payload)
	if err != nil {
		return nil, fmt.Errorf("measure raw TCP: %w", err)
	}
	note("starting an agent")
	agent, target, err := o.startAgent(ctx)
	if err != nil {
		return nil, err
	}
	result, err := o.runLoad(ctx, agent, target, payload, raw, note)
	return result, errors.Join(err, agent.stop())
}

// randomBytes differ from run to run and compress to nothing.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(b) // it always fills b
	return b
}

// runRaw measures frames of the size of a batch of records.
func (o *Options) runRaw(ctx context.Context, payload []byte) (rawtcp.Result, error) {
	sink, addr, err := child.Start(ctx, SinkCommand)
	if err != nil {
		return rawtcp.Result{}, err
	}
	result, err := rawtcp.Run(ctx, addr, rawtcp.Load{
		Payload: payload, FrameSize: o.rawFrame(), InFlight: rawInFlight,
		Warmup: rawWarmup, Duration: min(o.Duration, rawLongest),
	})
	return result, errors.Join(err, sink.Stop())
}

// rawFrame is the size of a batch of records, as far as a frame can be.
func (o *Options) rawFrame() int { return min(o.Batch*o.RecordSize, rawtcp.MaxFrameSize) }

// runLoad makes the topic, sends, measures, and waits for every answer.
func (o *Options) runLoad(ctx context.Context, a *agentProcess, target string, payload []byte, raw rawtcp.Result, note func(string)) (*Result, error) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	defer conn.Close()
	if err := o.createTopic(ctx, conn); err != nil {
		return nil, err
	}
	l := &load{o: o, agent: streamhousev1.NewAgentServiceClient(conn)}
	for range o.Producers {
		s, err := newSender(o, target, payload, &l.latencies, &l.measuring)
		if err != nil {
			return nil, errors.Join(err, l.close(ctx))
		}
		l.senders = append(l.senders, s)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unwatch := a.watch(cancel)
	defer unwatch()
	before, after, err := l.run(ctx, note)
	if err != nil {
		return nil, err
	}
	return o.summarize(before, after, &l.latencies, raw)
}

func (o *Options) createTopic(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := streamhousev1.NewTopicServiceClient(conn).CreateTopic(ctx, &streamhousev1.CreateTopicRequest{
		Name: topicName, PartitionCount: uint32(o.Partitions),
	})
	if err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return nil
}

// load is all senders and what is measured of them.
type load struct {
	o         *Options
	agent     streamhousev1.AgentServiceClient
	senders   []*sender
	latencies histogram.Histogram
	measuring atomic.Bool
}

// run sends until the measurement is over, and then waits for all answers.
func (l *load) run(ctx context.Context, note func(string)) (before, after reading, err error) {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for _, s := range l.senders {
		wg.Go(func() { s.run(sending) })
	}
	before, after, err = l.measure(ctx, note)
	stop()
	wg.Wait()
	if err != nil {
		// Nobody needs the rest, and a dead agent would never answer it.
		return before, after, errors.Join(err, l.close(sending))
	}
	return before, after, l.close(ctx)
}

func (l *load) measure(ctx context.Context, note func(string)) (before, after reading, err error) {
	note(fmt.Sprintf("warming up for %v", l.o.Warmup))
	if err := sleep(ctx, l.o.Warmup); err != nil {
		return before, after, err
	}
	note(fmt.Sprintf("measuring for %v", l.o.Duration))
	stopProfile, err := l.o.profile()
	if err != nil {
		return before, after, err
	}
	defer stopProfile()
	if before, err = read(ctx, l.agent, l.senders); err != nil {
		return before, after, err
	}
	l.measuring.Store(true)
	if err := sleep(ctx, l.o.Duration); err != nil {
		return before, after, err
	}
	l.measuring.Store(false)
	after, err = read(ctx, l.agent, l.senders)
	return before, after, err
}

func (l *load) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var all []error
	for _, s := range l.senders {
		all = append(all, s.close(ctx))
	}
	return errors.Join(all...)
}

// profile starts a profile of this process, if one is wanted.
func (o *Options) profile() (stop func(), err error) {
	if o.CPUProfile == "" {
		return func() {}, nil
	}
	f, err := os.Create(o.CPUProfile)
	if err != nil {
		return nil, fmt.Errorf("make profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("start profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short says so when it is opened
	}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
