// Package mutation switches rules of the commit protocol off, one at a time, so
// that the simulation in tests/sim can show that it would notice. Programs are
// built without the tag "mutations": there a mutation is a constant false, and
// what stands behind it is not compiled.
package mutation

// Rule is a rule of the commit protocol, or a part of one.
type Rule string

// The rules that can be switched off, and what happens then.
const (
	// R1: a commit that finds its place taken goes to the next one.
	R1 Rule = "R1"
	// R3: a row that stands where a commit was to go is taken for our own.
	R3 Rule = "R3"
	// R4: the journal of a dead session is sealed while, not before, what it left
	// is read.
	R4 Rule = "R4"
	// R5: all rows of a session's journal count for each of its tenures.
	R5 Rule = "R5"
	// R6: a release does not wait for flushes.
	R6 Rule = "R6"
	// R6Resume: after a release whose outcome is unknown, the tenure goes on.
	R6Resume Rule = "R6Resume"
	// R7: a session that was sealed goes on.
	R7 Rule = "R7"
	// R8: a challenger does not ask whether its own heartbeats arrived.
	R8 Rule = "R8"
	// R11: a partition's row is replaced whatever its version is.
	R11 Rule = "R11"
	// R11Version: while a partition keeps its owner and epoch, its row is replaced
	// whatever its version is.
	R11Version Rule = "R11Version"
	// Unnamed: an index row counts although no checkpoint names its compaction.
	Unnamed Rule = "Unnamed"
	// TrimEarly: a journal row may go before a checkpoint covers it (R10).
	TrimEarly Rule = "TrimEarly"
	// RemoveByAge: an object that no row names is removed by its age, whether its
	// session is finished or not (R10).
	RemoveByAge Rule = "RemoveByAge"
	// SealByAge: a seal goes like any row (R10).
	SealByAge Rule = "SealByAge"
)
