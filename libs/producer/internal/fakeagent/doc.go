// Package fakeagent is a cluster of agents inside the test's process: real
// gRPC, by the generated code and the standard codec, over an in-memory
// network. The agents share logs that check sequences as real ones do, and a
// script that decides what becomes of every batch. It works inside synctest.
package fakeagent
