package dynamodb

import (
	"hash/fnv"
	"math/big"
	"slices"
	"strings"
)

// Limits of DynamoDB.
const (
	maxItem    = 400 << 10
	maxPage    = 1 << 20
	maxHashKey = 2048
)

// attribute is a key attribute: its name, and its type, S or N.
type attribute struct{ name, kind string }

// table holds items by hash key, and under each sorted by range key.
type table struct {
	name      string
	hash      attribute
	rng       attribute // with an empty name where the table has none
	described bool      // a table becomes active when it was described once
	protected bool
	recovery  bool
	created   int64
	tags      []tag
	sets      []*set // sorted by hashed
}

// set is the items of one hash key, sorted by range key.
type set struct {
	hashed uint64 // orders a scan, which must not look sorted
	key    string
	rows   []row
}

type row struct {
	rng  *big.Int
	item item
}

func (t *table) has(name string) bool { return name == t.hash.name || name == t.rng.name }

// place is the key of an item.
type place struct {
	hash string
	rng  *big.Int // 0 in a table without range key
}

// place reads the key out of an item that has one.
func (t *table) place(i item) (place, error) {
	p := place{rng: new(big.Int)}
	if err := checkKey(t.hash, i); err != nil {
		return p, err
	}
	if t.hash.kind == "S" {
		p.hash = *i[t.hash.name].S
	} else {
		p.hash = *i[t.hash.name].N
	}
	if t.rng.name == "" {
		return p, nil
	}
	if err := checkKey(t.rng, i); err != nil {
		return p, err
	}
	var err error
	p.rng, err = number(*i[t.rng.name].N)
	return p, err
}

func checkKey(a attribute, i item) error {
	v, ok := i[a.name]
	switch {
	case !ok:
		return invalid("One or more parameter values were invalid: Missing the key %s in the item", a.name)
	case v.kind() != a.kind:
		return invalid("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", a.name, a.kind, v.kind())
	case a.kind == "S" && *v.S == "":
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", a.name)
	case a.kind == "S" && len(*v.S) > maxHashKey:
		return invalid("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes")
	}
	return nil
}

// exactPlace reads a key that stands for itself: it has the key's attributes
// and no others.
func (t *table) exactPlace(key item) (place, error) {
	if err := key.check(); err != nil {
		return place{}, err
	}
	want := 1
	if t.rng.name != "" {
		want = 2
	}
	if p, err := t.place(key); err == nil && len(key) == want {
		return p, nil
	} else if err != nil && strings.Contains(err.Error(), "empty string") {
		return p, err
	}
	return place{}, invalid("The provided key element does not match the schema")
}

// key is the key of an item alone.
func (t *table) key(i item) item {
	key := item{}
	for name, v := range i {
		if t.has(name) {
			key[name] = v
		}
	}
	return key
}

func newSet(hash string) *set {
	h := fnv.New64a()
	h.Write([]byte(hash))
	return &set{hashed: h.Sum64(), key: hash}
}

func (s *set) compare(o *set) int {
	switch {
	case s.hashed < o.hashed:
		return -1
	case s.hashed > o.hashed:
		return 1
	default:
		return strings.Compare(s.key, o.key)
	}
}

// find returns where the set of a hash key is, or would be.
func (t *table) find(hash string) (int, bool) {
	return slices.BinarySearchFunc(t.sets, newSet(hash), (*set).compare)
}

func (s *set) find(rng *big.Int) (int, bool) {
	return slices.BinarySearchFunc(s.rows, rng, func(r row, rng *big.Int) int { return r.rng.Cmp(rng) })
}

func (t *table) get(p place) item {
	if n, ok := t.find(p.hash); ok {
		if m, ok := t.sets[n].find(p.rng); ok {
			return t.sets[n].rows[m].item
		}
	}
	return nil
}

// put stores an item, which is never changed again: readers may hold it.
func (t *table) put(p place, i item) {
	n, ok := t.find(p.hash)
	if !ok {
		t.sets = slices.Insert(t.sets, n, newSet(p.hash))
	}
	s := t.sets[n]
	if m, ok := s.find(p.rng); ok {
		s.rows[m].item = i
	} else {
		s.rows = slices.Insert(s.rows, m, row{rng: p.rng, item: i})
	}
}

func (t *table) remove(p place) {
	n, ok := t.find(p.hash)
	if !ok {
		return
	}
	s := t.sets[n]
	if m, ok := s.find(p.rng); ok {
		s.rows = slices.Delete(s.rows, m, m+1)
	}
	if len(s.rows) == 0 {
		t.sets = slices.Delete(t.sets, n, n+1)
	}
}
