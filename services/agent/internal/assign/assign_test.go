package assign

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

// cluster makes n members, round robin over zones.
func cluster(r *rand.Rand, n, zones int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i] = Member{ID: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()), Zone: fmt.Sprint("zone-", i%max(1, zones))}
	}
	return members
}

func total(topics []Topic) (n int) {
	for _, t := range topics {
		n += int(t.Partitions)
	}
	return n
}

// check holds what Owners promises of every result.
func check(t *testing.T, members []Member, topics []Topic, owners map[flush.ID]string) {
	t.Helper()
	n := total(topics)
	if len(owners) != n {
		t.Fatalf("%d of %d partitions have an owner", len(owners), n)
	}
	held := map[string]int{}
	for _, m := range members {
		held[m.ID] = 0
	}
	for id, owner := range owners {
		if _, known := held[owner]; !known {
			t.Fatalf("%v belongs to %q, which is no member", id, owner)
		}
		held[owner]++
	}
	mean := float64(n) / float64(len(members))
	for id, h := range held {
		if float64(h) > 1.25*mean && float64(h) >= mean+1 {
			t.Errorf("%s holds %d of %d partitions; the mean is %.2f", id, h, n, mean)
		}
	}
}

func moved(a, b map[flush.ID]string) (n int) {
	for id, owner := range a {
		if b[id] != owner {
			n++
		}
	}
	return n
}

func FuzzOwners(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(3), uint16(256), uint8(1))
	f.Add(uint64(2), uint8(1), uint8(0), uint16(1), uint8(1))
	f.Add(uint64(3), uint8(7), uint8(2), uint16(10), uint8(5))
	f.Add(uint64(4), uint8(200), uint8(3), uint16(100), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, n, zones uint8, partitions uint16, count uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		members := cluster(r, 1+int(n)%64, int(zones))
		var topics []Topic
		for i := range 1 + uint32(count)%4 {
			topics = append(topics, Topic{ID: 1 + i, Partitions: 1 + uint32(partitions)%1000})
		}
		owners := Owners(members, topics)
		check(t, members, topics, owners)
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		r.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
		if again := Owners(members, topics); !maps.Equal(again, owners) {
			t.Error("another order of the arguments has another result")
		}
	})
}

// A member that joins or leaves moves little more than its share.
func TestFewMoves(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10, 50} {
		for _, partitions := range []uint32{256, 1000} {
			worst, sum := 0.0, 0.0
			const rounds = 20
			for seed := range uint64(rounds) {
				r := rand.New(rand.NewPCG(seed, uint64(n)))
				members, topics := cluster(r, n+1, 3), []Topic{{ID: 1, Partitions: partitions}}
				with, without := Owners(members, topics), Owners(members[:n], topics)
				factor := float64(moved(without, with)) / (float64(partitions) / float64(n+1))
				worst, sum = max(worst, factor), sum+factor
			}
			if worst > 3 || sum/rounds > 1.7 {
				t.Errorf("%d members, %d partitions: %.2f times the share of one moves, %.2f in the worst case", n, partitions, sum/rounds, worst)
			}
		}
	}
}

// The partitions of one topic are spread over the zones, so that the loss of
// one takes no more than its part.
func TestZones(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		members := cluster(r, 6, 3)
		zones := map[string]string{}
		for _, m := range members {
			zones[m.ID] = m.Zone
		}
		topics := []Topic{{ID: 1, Partitions: 12}, {ID: 2, Partitions: 60}, {ID: 9, Partitions: 300}}
		inZone := map[string]map[uint32]int{}
		for id, owner := range Owners(members, topics) {
			if inZone[zones[owner]] == nil {
				inZone[zones[owner]] = map[uint32]int{}
			}
			inZone[zones[owner]][id.Topic]++
		}
		for zone, counts := range inZone {
			for _, topic := range topics {
				if share := float64(topic.Partitions) / 3; float64(counts[topic.ID]) > 1.25*share {
					t.Errorf("seed %d: %s holds %d of the %d partitions of topic %d", seed, zone, counts[topic.ID], topic.Partitions, topic.ID)
				}
			}
		}
	}
}

// Agents compute this at every change of members: it must be quick at the limit
// of partitions.
func TestLarge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	members, topics := cluster(r, 100, 3), []Topic{{ID: 1, Partitions: 10_000}}
	began := time.Now()
	check(t, members, topics, Owners(members, topics))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("10,000 partitions on 100 members took %s", took)
	}
}

func TestNobody(t *testing.T) {
	if owners := Owners(nil, []Topic{{ID: 1, Partitions: 3}}); len(owners) != 0 {
		t.Errorf("owners without members: %v", owners)
	}
	if owners := Owners([]Member{{ID: "a"}}, nil); len(owners) != 0 {
		t.Errorf("owners without partitions: %v", owners)
	}
}

// Challengers are ordered the same everywhere, and not the same for everyone
// who dies.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	members := cluster(r, 5, 1)
	first := map[string]int{}
	for i := range 500 {
		dead := fmt.Sprint("session ", i)
		order := Order(dead, members)
		slices.Reverse(members)
		if again := Order(dead, members); !slices.Equal(again, order) {
			t.Fatal("another order of the members has another result")
		}
		first[order[0]]++
	}
	for id, n := range first {
		if n < 50 || n > 200 {
			t.Errorf("%s is first %d times of 500", id, n)
		}
	}
}

func BenchmarkOwners(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	members, topics := cluster(r, 10, 3), []Topic{{ID: 1, Partitions: 10_000}}
	for b.Loop() {
		Owners(members, topics)
	}
}
