package meta

import (
	"context"

	"github.com/streamhouse/streamhouse/services/agent/internal/format"
)

// InFormat returns the store s for a writer that writes rows in the format that
// it has agreed on with the other agents.
func InFormat(s Store, agreed *format.Agreed) Store { return &formatted{Store: s, agreed: agreed} }

type formatted struct {
	Store
	agreed *format.Agreed
}

// Create implements Store.
func (f *formatted) Create(ctx context.Context, row Row) error {
	return f.write(ctx, row, f.Store.Create)
}

// Swap implements Store.
func (f *formatted) Swap(ctx context.Context, row Row) error { return f.write(ctx, row, f.Store.Swap) }

func (f *formatted) write(ctx context.Context, row Row, write func(context.Context, Row) error) error {
	before := row.Head().Format
	row.Head().Format = f.agreed.Version()
	err := write(ctx, row)
	if err != nil {
		row.Head().Format = before
	}
	return err
}
