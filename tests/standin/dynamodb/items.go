package dynamodb

// condition is what PutItem and DeleteItem share.
type condition struct {
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValuesOnConditionCheckFailure string
}

// check tells whether a write may go on over what is stored.
func (c condition) check(stored item) error {
	e, err := parse("ConditionExpression", c.ConditionExpression, c.ExpressionAttributeNames, c.ExpressionAttributeValues)
	if err != nil {
		return err
	}
	ok, err := e.holds(stored)
	if err != nil || ok {
		return err
	}
	switch c.ReturnValuesOnConditionCheckFailure {
	case "", "NONE":
		return conditionFailed(nil)
	case "ALL_OLD":
		return conditionFailed(stored)
	default:
		return invalid("ReturnValuesOnConditionCheckFailure can only be ALL_OLD or NONE")
	}
}

type putItem struct {
	TableName              string
	Item                   item
	ReturnConsumedCapacity string
	condition
}

func (s *Server) putItem(in *putItem) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	if err := in.Item.check(); err != nil {
		return nil, err
	}
	p, err := t.place(in.Item)
	if err != nil {
		return nil, err
	}
	if in.Item.size() > maxItem {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	stored := t.get(p)
	if err := in.check(stored); err != nil {
		return nil, err
	}
	t.put(p, in.Item)
	return withCapacity(nil, in.ReturnConsumedCapacity, t, writeUnits(max(in.Item.size(), stored.size())))
}

type deleteItem struct {
	TableName              string
	Key                    item
	ReturnConsumedCapacity string
	condition
}

func (s *Server) deleteItem(in *deleteItem) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	p, err := t.exactPlace(in.Key)
	if err != nil {
		return nil, err
	}
	stored := t.get(p)
	if err := in.check(stored); err != nil {
		return nil, err
	}
	t.remove(p)
	return withCapacity(nil, in.ReturnConsumedCapacity, t, writeUnits(stored.size()))
}

type getItem struct {
	TableName              string
	Key                    item
	ConsistentRead         bool
	ReturnConsumedCapacity string
}

func (s *Server) getItem(in *getItem) (any, error) {
	t, err := s.active(in.TableName)
	if err != nil {
		return nil, err
	}
	p, err := t.exactPlace(in.Key)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	stored := t.get(p)
	if stored != nil {
		out["Item"] = stored
	}
	return withCapacity(out, in.ReturnConsumedCapacity, t, readUnits(stored.size(), in.ConsistentRead))
}

// writeUnits is one for each KB begun, and at least one.
func writeUnits(size int) float64 { return float64(max(1, (size+1023)/1024)) }

// readUnits is one for each 4 KB begun, and at least one; half of that when
// the read need not be consistent.
func readUnits(size int, consistent bool) float64 {
	units := float64(max(1, (size+4095)/4096))
	if consistent {
		return units
	}
	return units / 2
}

func withCapacity(out map[string]any, asked string, t *table, units float64) (any, error) {
	if out == nil {
		out = map[string]any{}
	}
	switch asked {
	case "", "NONE":
		return out, nil
	case "TOTAL":
		out["ConsumedCapacity"] = map[string]any{"TableName": t.name, "CapacityUnits": units}
		return out, nil
	default:
		return nil, invalid("the stand-in does not report capacity as %q", asked)
	}
}
