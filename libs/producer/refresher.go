package producer

import (
	"context"
	"math/rand/v2"
	"time"
)

// runRefresher describes all topics anew from time to time. What fails is
// noticed where it fails; this is for what goes well all the time and could go
// better: partitions were added, or an owner is in another zone now.
func (p *Producer) runRefresher(ctx context.Context) {
	for sleep(ctx, staggered(p.cfg.metadataMaxAge)) {
		for _, t := range p.topics.all(false) {
			if !t.gone.Load() {
				t.refresh()
			}
		}
	}
}

// staggered is up to a fifth less than age, so that producers that were started
// together do not ask together for ever.
func staggered(age time.Duration) time.Duration {
	return age - time.Duration(rand.Int64N(int64(age)/5+1))
}
