package murmur2

import (
	"math/rand/v2"
	"testing"
)

// reference is the algorithm as it was published, byte by byte.
func reference(key []byte) uint32 {
	const m = 0x5bd1e995
	h := 0x9747b28c ^ uint32(len(key))
	i := 0
	for ; i+4 <= len(key); i += 4 {
		k := uint32(key[i]) | uint32(key[i+1])<<8 | uint32(key[i+2])<<16 | uint32(key[i+3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h *= m
		h ^= k
	}
	if rest := len(key) - i; rest > 0 {
		for j := rest - 1; j >= 0; j-- {
			h ^= uint32(key[i+j]) << (8 * j)
		}
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

func TestSumIsTheReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 100 {
		key := make([]byte, n)
		for i := range key {
			key[i] = byte(rng.Uint32())
		}
		if got, want := Sum(key), reference(key); got != want {
			t.Fatalf("%x: got %#x, want %#x", key, got, want)
		}
	}
}

// Values that the Kafka clients agree on, as signed numbers. Hole 25: a hash
// of our own would put keys elsewhere than every other client does.
func TestSumIsWhatOtherClientsCompute(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"abc":                        479470107,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	} {
		if got := int32(Sum([]byte(key))); got != want {
			t.Errorf("%q: got %d, want %d", key, got, want)
		}
	}
}

func TestPartitionIgnoresTheSign(t *testing.T) {
	if got, want := Partition([]byte("21"), 10), int(uint32(-973932308&0x7fffffff)%10); got != want {
		t.Fatalf("got %d, want %d", got, want)
	}
	if got := Partition([]byte("abc"), 10); got != 7 {
		t.Fatalf("got %d, want 7", got)
	}
}

func TestSumDoesNotAllocate(t *testing.T) {
	key := []byte("user-1234567")
	if n := testing.AllocsPerRun(100, func() { Sum(key) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
