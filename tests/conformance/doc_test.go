// Package conformance holds the agents of package producertest, which others
// test their programs against, to the real agent: the same requests get the
// same answers, and leave the same records.
package conformance
