package conformance

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// encode makes a batch of records whose contents follow from what they are
// made from.
func encode(codec batch.Codec, producer, sequence uint64, content, records int) []byte {
	var b batch.Builder
	for i := range records {
		r := batch.Record{Value: fmt.Appendf(nil, "content %d, record %d", content, i), Timestamp: 1_700_000_000_000 + int64(i)}
		if i%2 == 1 {
			r.Key, r.Value = []byte("key"), nil
			r.Headers = []batch.RecordHeader{{Key: "trace", Value: []byte{0, 0xff}}, {Key: "empty"}}
		}
		b.Append(&r)
	}
	b.Compress(codec)
	return b.Seal(producer, sequence)
}

func damaged(b []byte, at int) []byte {
	b[at%len(b)] ^= 0x40
	return b
}

// tooLarge has a valid checksum, and claims more than agents take.
func tooLarge() []byte {
	b := append(encode(batch.None, 5, 0, 0, 1), make([]byte, batch.MaxSize)...)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], batch.Update(0, b[batch.ChecksumFrom:]))
	return b
}

// compare sends the same to both and compares what comes back.
func compare(t *testing.T, both [2]*side, requests ...request) {
	t.Helper()
	want, got := both[0].send(requests...), both[1].send(requests...)
	for i, r := range requests {
		if got[i] != want[i] {
			t.Errorf("%s for partition %d: %s says %q, %s %q", r.what, r.partition, both[0].name, want[i], both[1].name, got[i])
		}
	}
}

func compareLogs(t *testing.T, both [2]*side) {
	t.Helper()
	for p := range partitions {
		want, got := both[0].records(p), both[1].records(p)
		if !slices.Equal(got, want) {
			t.Errorf("partition %d holds\n%s\nin the real agent, and\n%s\nin producertest", p, strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	}
}

// Each refusal of the contract that a stream can meet, by name.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := sides(t)
		b := func(producer, sequence uint64, content int) []byte {
			return encode(batch.None, producer, sequence, content, 2)
		}
		for _, r := range []request{
			{what: "first batch", data: b(1, 0, 0)},
			{what: "repeat", data: b(1, 0, 0)},
			{what: "other content under its sequence", data: b(1, 0, 1)},
			{what: "next batch", data: b(1, 1, 2)},
			{what: "gap", data: b(1, 3, 3)},
			{what: "unknown producer", data: b(2, 1, 4)},
			{what: "same producer elsewhere", partition: 1, data: b(1, 0, 0)},
			{what: "without a producer", data: b(0, 0, 5)},
			{what: "without a producer again", data: b(0, 0, 5)},
			{what: "without a producer, with a sequence", data: b(0, 7, 5)},
			{what: "compressed", data: encode(batch.Zstd, 3, 0, 0, 50)},
			{what: "nothing", data: nil},
			{what: "half a header", data: b(4, 0, 0)[:20]},
			{what: "no checksum", data: damaged(b(4, 0, 0), 70)},
			{what: "cut", data: b(4, 0, 0)[:80]},
			{what: "no batch", data: []byte(strings.Repeat("no batch", 20))},
			{what: "too large", data: tooLarge()},
			{what: "no such partition", partition: partitions, data: b(1, 0, 0)},
			{what: "no such topic", elsewhere: 1, data: b(1, 0, 0)},
			{what: "damaged, for no such topic", elsewhere: 1, data: damaged(b(1, 0, 0), 3)},
		} {
			compare(t, both, r)
		}
		compareLogs(t, both)
	})
}

// What an agent remembers of a producer has an end.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := sides(t)
		for seq := range uint64(130) {
			compare(t, both, request{what: fmt.Sprint("sequence ", seq), data: encode(batch.None, 9, seq, int(seq), 1)})
		}
		for seq := range uint64(131) {
			compare(t, both, request{what: fmt.Sprint("sequence ", seq, " again"), data: encode(batch.None, 9, seq, int(seq), 1)})
		}
	})
}

// Topics are described alike, but for who owns them.
func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := sides(t)
		compare(t, both, request{what: "a batch", partition: 1, data: encode(batch.None, 1, 0, 0, 4)})
		for _, name := range []string{topic, "nowhere", "", ".", "no where", strings.Repeat("x", 249), strings.Repeat("x", 250)} {
			var said [2]string
			for i, s := range both {
				d, err := s.describe(name)
				if err != nil {
					said[i] = verdict(err)
					continue
				}
				said[i] = fmt.Sprint(d.GetTopic().GetName(), d.GetTopic().GetPartitionCount())
				for _, p := range d.GetPartitions() {
					said[i] += fmt.Sprintf(" %d(owner %t, address %t, from %d to %d)", p.GetPartition(),
						p.GetOwner() != "", p.GetAddress() != "", p.GetStartOffset(), p.GetEndOffset())
				}
			}
			if said[0] != said[1] {
				t.Errorf("topic %.20q: %s says %q, %s %q", name, both[0].name, said[0], both[1].name, said[1])
			}
		}
	})
}

// Streams end alike: by a message above gRPC's limit, by a drain.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := sides(t)
		huge := request{what: "a message above the limit", data: make([]byte, wire.MaxMessageSize+1)}
		compare(t, both, huge)
		for _, s := range both {
			s.open()
		}
		compare(t, both, request{what: "a batch after it", data: encode(batch.None, 1, 0, 0, 1)})
		var ends [2]string
		for i, s := range both {
			s.stop()
			ends[i] = s.end()
		}
		if ends[0] != ends[1] {
			t.Errorf("a drain ends streams with %q and with %q", ends[0], ends[1])
		}
	})
}

// Random requests, several in flight at once: producers that begin, go on,
// repeat themselves, skip and collide, in every partition.
func TestRandomRequests(t *testing.T) {
	for seed := range uint64(20) {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				both := sides(t)
				rng := rand.New(rand.NewPCG(seed, 7))
				next := map[[2]uint64]uint64{} // by partition and producer
				for range 60 {
					var requests []request
					for range 1 + rng.IntN(12) {
						requests = append(requests, randomRequest(rng, next))
					}
					compare(t, both, requests...)
				}
				compareLogs(t, both)
			})
		})
		if !ok {
			t.Fatalf("seed %d: run it with -run 'TestRandomRequests/^%d$'", seed, seed)
		}
	}
}

func randomRequest(rng *rand.Rand, next map[[2]uint64]uint64) request {
	partition, producer := uint64(rng.IntN(partitions)), uint64(rng.IntN(4))
	sequence, content := next[[2]uint64{partition, producer}], 0
	switch rng.IntN(8) {
	case 0:
		sequence += uint64(rng.IntN(3)) // may skip
	case 1:
		content = 1
		sequence -= min(sequence, uint64(rng.IntN(4))) // may collide
	case 2:
		sequence -= min(sequence, uint64(rng.IntN(140)))
	default:
		next[[2]uint64{partition, producer}]++
	}
	data := encode(batch.Codec(sequence%4), producer, sequence, content, 1+int(sequence%5))
	if rng.IntN(30) == 0 {
		data = damaged(data, rng.IntN(1000))
	}
	return request{
		partition: uint32(partition), data: data,
		what: fmt.Sprintf("sequence %d of producer %d with content %d", sequence, producer, content),
	}
}
