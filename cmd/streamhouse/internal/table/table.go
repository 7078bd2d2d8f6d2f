// Package table lays text out in columns that fit a terminal.
package table

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Width is the most characters that a line of a table takes.
const Width = 100

// gap stands between two columns.
const gap = "  "

// Column is one column of a table.
type Column struct {
	Title string
	// Right aligns to the right, as numbers want it.
	Right bool
	// Flexible lets the column's cells be shortened, in their middle, when a
	// line would be wider than Width. At most one column may be.
	Flexible bool
}

// Write writes the titles and the rows. A row has one cell per column.
func Write(w io.Writer, columns []Column, rows [][]string) error {
	widths := measure(columns, rows)
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.Title
	}
	var b strings.Builder
	writeRow(&b, columns, widths, titles)
	for _, row := range rows {
		writeRow(&b, columns, widths, row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// measure is the width of each column, the flexible one cut to what is left.
func measure(columns []Column, rows [][]string) []int {
	widths := make([]int, len(columns))
	total, flexible := len(gap)*(len(columns)-1), -1
	for i, c := range columns {
		widths[i] = utf8.RuneCountInString(c.Title)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
		if c.Flexible {
			flexible = i
		}
	}
	if over := total - Width; over > 0 && flexible >= 0 {
		widths[flexible] = max(widths[flexible]-over, utf8.RuneCountInString(columns[flexible].Title))
	}
	return widths
}

func writeRow(b *strings.Builder, columns []Column, widths []int, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		if i > 0 {
			line.WriteString(gap)
		}
		cell = shorten(cell, widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if columns[i].Right {
			line.WriteString(pad + cell)
		} else {
			line.WriteString(cell + pad)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// shorten cuts the middle out of s: names often differ at both ends.
func shorten(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	head := (width - 1) / 2
	tail := width - 1 - head
	return string(runes[:head]) + "…" + string(runes[len(runes)-tail:])
}
