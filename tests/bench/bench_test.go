package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The processes that the test starts are the test program again.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == "server" || os.Args[1] == "client") {
		main()
		return
	}
	m.Run() // its result is the exit code
}

// Each load runs with both clients, and every record is acknowledged.
func TestCompare(t *testing.T) {
	var out bytes.Buffer
	if err := compare(t.Context(), 50_000, 1, &out); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 1+2*len(loads) {
		t.Errorf("the table has %d lines:\n%s", lines, &out)
	}
}
