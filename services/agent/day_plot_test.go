package agent

import (
	"fmt"
	"strings"
)

// plot draws each column over the time, as SVG.
func (d *day) plot() string {
	const width, height, left, top = 640, 70, 60, 24
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		width+left+20, len(columns)*(height+top+8)+20)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	end := d.samples[len(d.samples)-1].at
	for n, c := range columns {
		y := top + n*(height+top+8)
		var most int64 = 1
		for i := range d.samples {
			most = max(most, c.of(&d.samples[i]))
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", left, y-6, c.name)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%d</text>`+"\n", left-4, y+10, most)
		fmt.Fprintf(&b, `<path d="M%d %dv%dh%d" fill="none" stroke="#999"/>`+"\n", left, y, height, width)
		fmt.Fprintf(&b, `<polyline fill="none" stroke="#06c" points="`)
		for i := range d.samples {
			s := &d.samples[i]
			v := c.of(s)
			if v == 0 && c.name == heapColumn {
				continue // it was not measured
			}
			fmt.Fprintf(&b, "%.1f,%.1f ", left+float64(width)*float64(s.at)/float64(end), float64(y)+height*(1-float64(v)/float64(most)))
		}
		b.WriteString("\"/>\n")
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.0f h</text>`+"\n", left+width, len(columns)*(height+top+8)+12, end.Hours())
	return b.String() + "</svg>\n"
}
