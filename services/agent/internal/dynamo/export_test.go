package dynamo

import (
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Hurry makes a store give up and try again in milliseconds.
func Hurry(s *Store, row time.Duration) {
	s.times = times{
		row: row, page: row, total: 5 * time.Second,
		first: time.Millisecond, throttled: 2 * time.Millisecond, most: 10 * time.Millisecond,
	}
}

// SetTotal bounds all tries together.
func SetTotal(s *Store, total time.Duration) { s.times.total = total }

// Encode, SizeOf and Token are those of the package.
var (
	Encode = encode
	SizeOf = itemSize
)

// Token is the name of the attribute that rows do not have.
const Token = attrToken

// Keys are the keys of a kind's table, with their types, as docs/formats.md
// writes them.
func Keys(kind meta.Kind) (partition, sort string, err error) {
	s, err := schemaOf(kind)
	partition = fmt.Sprintf("`%s` (%s)", s.hash, s.hashType)
	if s.rng != "" {
		sort = fmt.Sprintf("`%s` (N)", s.rng)
	}
	return partition, sort, err
}
