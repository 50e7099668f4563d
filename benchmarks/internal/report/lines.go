package report

import (
	"fmt"
	"math"
	"strings"
)

// A Series is one line of Lines.
type Series struct {
	Name   string
	Points []Point
	Ours   bool // highlight the line
}

// A Point is one measurement.
type Point struct{ X, Y float64 }

const (
	plotHeight = 280.0
	sample     = 28.0 // length in pixels of the line in the legend
)

var dashes = []string{"6 4", "2 4", "10 4", "10 4 2 4"}

// Lines draws a line for each series as an SVG image. The labels of the axes should
// name their units. If the greatest value of an axis is more than a hundred times its
// least one above zero, the axis is logarithmic. Its label then says so. Points that
// are not finite are left out.
func Lines(title, xLabel, yLabel string, series []Series) []byte {
	d := heading(title)
	looks := looksOf(series)
	d.legend(series, looks)
	xs, ys := coordinates(series)
	d.Height += line + 4 // of the y axis' label
	top, bottom := d.Height, d.Height+plotHeight
	y := newScale(ys, bottom, top)
	left := margin + widest(written(y.ticks())) + 6
	x := newScale(xs, left, width-3*margin)
	d.axes(x, y, xLabel, yLabel)
	var said []string
	for n, one := range series {
		look := looks[n]
		for _, p := range finite(one.Points) {
			look.Points = append(look.Points, Point{x.at(p.X), y.at(p.Y)})
		}
		d.Curves = append(d.Curves, look)
		said = append(said, describe(one))
	}
	d.Description = fmt.Sprintf("A line chart. %s by %s: %s.", y.label(yLabel), x.label(xLabel), strings.Join(said, "; "))
	d.Height = bottom + 2*line + margin
	return d.svg()
}

// looksOf gives each series a colour and dashes, because some readers cannot
// distinguish the colours. If there are many series, both repeat.
func looksOf(series []Series) []curve {
	looks, ours, others := make([]curve, len(series)), 0, 0
	for n, one := range series {
		if one.Ours {
			looks[n] = curve{Colour: accent, Width: 3}
			if ours > 0 {
				looks[n].Dashes = dashes[(ours-1)%len(dashes)]
			}
			ours++
			continue
		}
		looks[n] = curve{Colour: palette[others%len(palette)], Width: 2, Dashes: dashes[others%len(dashes)]}
		others++
	}
	return looks
}

// legend writes the names of the lines, with as many in a row as fit.
func (d *drawing) legend(series []Series, looks []curve) {
	if len(series) == 0 {
		return
	}
	x := margin
	d.Height += line
	for n, one := range series {
		name := shortened(one.Name, width-4*margin-sample)
		taken := sample + 6 + boldWidth(name) + 2*margin
		if x > margin && x+taken > width {
			x = margin
			d.Height += line
		}
		y := d.Height - 8
		d.Rules = append(d.Rules, rule{x, y - 1, x + sample, y - 1, looks[n].Colour, looks[n].Dashes, looks[n].Width, 1})
		d.write(text{X: x + sample + 6, Y: y + 4, Bold: one.Ours, Text: name})
		x += taken
	}
	d.Height += margin / 2
}

func (d *drawing) axes(x, y scale, xLabel, yLabel string) {
	top, bottom := y.to, y.from
	d.write(text{X: margin, Y: top - 14, Text: shortened(y.label(yLabel), width-2*margin)})
	for _, tick := range y.ticks() {
		d.grid(x.from, y.at(tick), x.to, y.at(tick))
		d.write(text{X: x.from - 6, Y: y.at(tick) + fontSize*0.35, Anchor: "end", Text: number(tick)})
	}
	for _, tick := range x.ticks() {
		d.grid(x.at(tick), top, x.at(tick), bottom+4)
		d.write(text{X: x.at(tick), Y: bottom + line, Anchor: "middle", Text: number(tick)})
	}
	d.write(text{X: (x.from + x.to) / 2, Y: bottom + 2*line, Anchor: "middle", Text: shortened(x.label(xLabel), x.to-x.from)})
}

func coordinates(series []Series) (xs, ys []float64) {
	for _, one := range series {
		for _, p := range finite(one.Points) {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	return xs, ys
}

func finite(points []Point) (kept []Point) {
	for _, p := range points {
		if sum := p.X + p.Y; !math.IsNaN(sum) && !math.IsInf(sum, 0) {
			kept = append(kept, p)
		}
	}
	return kept
}

func written(values []float64) (texts []string) {
	for _, value := range values {
		texts = append(texts, number(value))
	}
	return texts
}

func describe(one Series) string {
	var said []string
	for _, p := range finite(one.Points) {
		said = append(said, number(p.Y)+" at "+number(p.X))
	}
	return one.Name + " " + strings.Join(said, ", ")
}
