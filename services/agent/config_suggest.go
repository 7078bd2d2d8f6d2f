package agent

import (
	"fmt"
	"strings"
)

// suggest ends a sentence about an unknown name with the known one that was
// probably meant, or with where they are all listed. Every name has the prefix.
func suggest(prefix, unknown string, known []string) string {
	unknown = strings.TrimPrefix(unknown, prefix)
	best, least := "", len(unknown)/2+1
	for _, name := range known {
		name = strings.TrimPrefix(name, prefix)
		if d := distance(unknown, name); d < least || d == least && name < best {
			best, least = name, d
		}
	}
	if best == "" {
		return ": docs/configuration.md lists all"
	}
	return fmt.Sprintf(": did you mean %s%s?", prefix, best)
}

// distance counts the letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the matrix whose cell i,j is distance(a[:i], b[:j])
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
