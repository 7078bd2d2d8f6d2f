package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// checkStates reads the states that partitions' rows name.
func (v *verifier) checkStates(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(v.states)) {
		b, err := v.objects.Get(ctx, key, 0, -1)
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return fmt.Errorf("read object %s: %w", key, err)
		}
		var footer *segment.Footer
		if err == nil {
			footer, err = verifyObject(b, sessionOf(key))
		}
		v.report.Bytes += int64(len(b))
		for _, p := range v.states[key] {
			if errors.Is(err, objstore.ErrNotFound) {
				if now, failed := v.again(ctx, p); failed != nil {
					return failed
				} else if p.gone || now.State != key {
					continue
				}
			}
			what := ""
			if err != nil {
				what = err.Error()
			} else {
				what = p.checkState(footer)
			}
			if what != "" {
				f := wrong("the object that the row names for the producers' states up to offset %d: %s", p.row.StateEnd, what).of(p, p.row.StateEnd)
				f.Key = key
				return &f
			}
			v.report.States++
		}
	}
	return nil
}

// checkState says what is wrong with the state that the row names.
func (p *partition) checkState(f *segment.Footer) string {
	i := slices.IndexFunc(f.Sections, func(s segment.Section) bool {
		return s.Topic == p.row.Topic && s.Partition == p.row.Partition
	})
	if i < 0 || f.Sections[i].State == nil {
		return "it holds none of this partition"
	}
	_, end, err := producers.Parse[struct{}](f.Sections[i].State, time.Time{})
	switch {
	case err != nil:
		return err.Error()
	case end != p.row.StateEnd:
		return fmt.Sprintf("it goes up to offset %d", end)
	default:
		return ""
	}
}
