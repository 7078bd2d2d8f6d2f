// Package holes keeps the holes of an earlier attempt at this system closed. It
// lost, doubled and swapped records in the ways that are numbered here; each
// has a test in this package, over the real agent and the real producer, that
// names it and fails when the fix is taken out, and most have closer ones
// beside the code.
package holes
