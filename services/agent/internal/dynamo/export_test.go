package dynamo

import "time"

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
