// Package faults has stories in which stores fail: every operation once, some
// all the time, or at random, while agents drain, die and are taken over. Real
// producers are told what became of their records, and then the log is read
// back: it must agree with every word.
package faults
