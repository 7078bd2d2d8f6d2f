package memory_test

import (
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta/metatest"
)

func TestRows(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(*testing.T) meta.Store { return memory.NewRows() })
}
