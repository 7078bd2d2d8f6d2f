package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// dice draw everything that a seed decides.
type dice struct{ *rand.Rand }

// newDice returns dice of their own for each purpose: what one part of a world
// draws must not change what another does.
func newDice(seed uint64, purpose ...uint64) dice {
	stream := uint64(0x9e3779b97f4a7c15)
	for _, p := range purpose {
		stream = (stream ^ p) * 0xbf58476d1ce4e5b9
		stream ^= stream >> 31
	}
	return dice{rand.New(rand.NewPCG(seed, stream))}
}

func (d dice) chance(percent float64) bool { return d.Float64()*100 < percent }

// between draws a duration, each order of magnitude as likely as the others.
func (d dice) between(low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Exp(d.Float64()*math.Log(float64(high)/float64(low))))
}

// evenly draws a duration, each as likely as the others.
func (d dice) evenly(low, high time.Duration) time.Duration {
	return low + time.Duration(d.Float64()*float64(high-low))
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }
