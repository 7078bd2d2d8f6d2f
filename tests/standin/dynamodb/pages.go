package dynamodb

import "math/big"

type query struct {
	TableName                 string
	ConsistentRead            bool
	KeyConditionExpression    string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]value
	ExclusiveStartKey         item
	Limit                     int
	ReturnConsumedCapacity    string
}

func (s *Server) query(in *query) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	e, err := parse("KeyConditionExpression", in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	from, err := t.keyCondition(e)
	if err != nil {
		return nil, err
	}
	p, err := newPage(t, in.Limit, in.ConsistentRead)
	if err != nil {
		return nil, err
	}
	n, ok := t.find(from.hash)
	if !ok {
		return p.answer(in.ReturnConsumedCapacity)
	}
	rows := t.sets[n].rows
	m, _ := t.sets[n].find(from.rng)
	if in.ExclusiveStartKey != nil {
		start, err := t.exactPlace(in.ExclusiveStartKey)
		if err != nil || start.hash != from.hash || start.rng.Cmp(from.rng) < 0 {
			return nil, invalid("The provided starting key is outside query boundaries based on provided conditions")
		}
		m = t.sets[n].after(start.rng)
	}
	p.fill(rows[m:])
	return p.answer(in.ReturnConsumedCapacity)
}

// keyCondition understands hash = x, and hash = x AND range >= y.
func (t *table) keyCondition(e *expression) (place, error) {
	from := place{rng: new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 200))} // before all
	if len(e.terms) == 0 || e.terms[0].op != "=" || e.terms[0].name != t.hash.name {
		return from, invalid("Query condition missed key schema element: %s", t.hash.name)
	}
	bounds := item{t.hash.name: e.terms[0].value}
	switch {
	case len(e.terms) == 1:
	case len(e.terms) == 2 && e.terms[1].op == ">=" && e.terms[1].name == t.rng.name:
		bounds[t.rng.name] = e.terms[1].value
	default:
		return from, invalid("Query key condition not supported")
	}
	for _, a := range []attribute{t.hash, t.rng} {
		if v, ok := bounds[a.name]; ok && v.kind() != a.kind {
			return from, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
		}
	}
	if err := checkKey(t.hash, bounds); err != nil {
		return from, err
	}
	var err error
	if t.hash.kind == "S" {
		from.hash = *bounds[t.hash.name].S
	} else {
		from.hash = *bounds[t.hash.name].N
	}
	if v, ok := bounds[t.rng.name]; ok {
		from.rng, err = number(*v.N)
	}
	return from, err
}

// after is the index of the first row behind a range key.
func (s *set) after(rng *big.Int) int {
	m, ok := s.find(rng)
	if ok {
		m++
	}
	return m
}

type scan struct {
	TableName              string
	ConsistentRead         bool
	ExclusiveStartKey      item
	Limit                  int
	ReturnConsumedCapacity string
}

func (s *Server) scan(in *scan) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	p, err := newPage(t, in.Limit, in.ConsistentRead)
	if err != nil {
		return nil, err
	}
	n, m := 0, 0
	if in.ExclusiveStartKey != nil {
		start, err := t.exactPlace(in.ExclusiveStartKey)
		if err != nil {
			return nil, invalid("The provided starting key is invalid: %v", err)
		}
		var ok bool
		if n, ok = t.find(start.hash); ok {
			m = t.sets[n].after(start.rng)
		}
	}
	for ; n < len(t.sets) && !p.full; n, m = n+1, 0 {
		p.fill(t.sets[n].rows[m:])
	}
	return p.answer(in.ReturnConsumedCapacity)
}

// page gathers up to 1 MB of items, or up to a limit.
type page struct {
	table      *table
	consistent bool
	limit      int
	items      []item
	size       int
	full       bool
}

func newPage(t *table, limit int, consistent bool) (*page, error) {
	if limit < 0 {
		return nil, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", limit)
	}
	return &page{table: t, consistent: consistent, limit: limit, items: []item{}}, nil
}

// fill takes rows until the page is full. The one that passes 1 MB is the
// page's last.
func (p *page) fill(rows []row) {
	for _, r := range rows {
		if p.full {
			return
		}
		p.items = append(p.items, r.item)
		p.size += r.item.size()
		p.full = p.size >= maxPage || p.limit > 0 && len(p.items) == p.limit
	}
}

// answer names the key from which to go on whenever the page is full, even if
// nothing follows, as DynamoDB may.
func (p *page) answer(capacity string) (any, error) {
	out := map[string]any{"Items": p.items, "Count": len(p.items), "ScannedCount": len(p.items)}
	if p.full {
		out["LastEvaluatedKey"] = p.table.key(p.items[len(p.items)-1])
	}
	return withCapacity(out, capacity, p.table, readUnits(p.size, p.consistent))
}
