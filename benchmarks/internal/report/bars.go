package report

import (
	"slices"
	"strings"
)

// A Bar is one row of Bars.
type Bar struct {
	Label string
	Value float64
	Ours  bool // highlight the bar
}

const (
	rowHeight = 26.0
	barHeight = 16.0
	mostLabel = 330.0 // maximum width in pixels; a longer label is cut off
)

// Bars draws horizontal bars, in the order of the rows, as an SVG image. If the
// greatest value is more than a hundred times the least one above zero, the axis is
// logarithmic, and its label says so. If the unit is "ns", values are written in ns,
// µs, ms or s.
func Bars(title, unit string, rows []Bar) []byte {
	d := heading(title)
	values, labels, figures := columns(unit, rows)
	left := margin + min(widest(labels), mostLabel) + margin
	s := newScale(values, left, width-margin-widest(figures)-6)
	if s.logarithmic && slices.Contains(values, s.least) {
		s.least /= 10 // otherwise the shortest bar would have no length
	}
	top, bottom := d.Height, d.Height+rowHeight*float64(len(rows))
	for _, tick := range s.ticks() {
		d.grid(s.at(tick), top, s.at(tick), bottom+4)
		d.write(text{X: s.at(tick), Y: bottom + line, Anchor: "middle", Text: quantity(tick, unit)})
	}
	for n, row := range rows {
		middle := top + rowHeight*(float64(n)+0.5)
		d.row(row, figures[n], left, s.at(row.Value), middle)
	}
	if unit == "ns" {
		unit = "time"
	}
	d.write(text{X: (s.from + s.to) / 2, Y: bottom + 2*line, Anchor: "middle", Text: s.label(unit)})
	d.Height = bottom + 2*line + margin
	d.Description = "A bar chart. " + s.label(unit) + ": " + pairs(labels, figures) + "."
	return d.svg()
}

func columns(unit string, rows []Bar) (values []float64, labels, figures []string) {
	for _, row := range rows {
		values = append(values, row.Value)
		labels = append(labels, row.Label)
		figures = append(figures, quantity(row.Value, unit))
	}
	return values, labels, figures
}

func (d *drawing) row(b Bar, figure string, from, to, middle float64) {
	colour := ink
	if b.Ours {
		colour = accent
	}
	baseline := middle + fontSize*0.35
	d.write(text{X: from - margin, Y: baseline, Anchor: "end", Bold: b.Ours, Text: shortened(b.Label, mostLabel)})
	if b.Value > 0 {
		to = max(to, from+2) // keep even the shortest bar visible
		d.Bars = append(d.Bars, bar{from, middle - barHeight/2, to - from, barHeight, colour})
	}
	d.write(text{X: to + 6, Y: baseline, Bold: b.Ours, Text: figure})
}

func widest(texts []string) float64 {
	most := 0.0
	for _, t := range texts {
		most = max(most, boldWidth(t))
	}
	return most
}

func pairs(labels, figures []string) string {
	var said []string
	for n := range labels {
		said = append(said, labels[n]+" "+figures[n])
	}
	return strings.Join(said, "; ")
}
