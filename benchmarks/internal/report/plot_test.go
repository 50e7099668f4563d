package report_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

var (
	inf, nan = math.Inf(1), math.NaN()
	long     = strings.Repeat("a title that goes on ", 20)
)

// plots are pictures of unusual data.
var plots = map[string]func() []byte{
	"bars":       func() []byte { return report.Bars("Requests", "requests/s", someBars) },
	"one bar":    func() []byte { return report.Bars("One", "ns", []report.Bar{{"only", 1320, true}}) },
	"no bars":    func() []byte { return report.Bars("None", "ns", nil) },
	"zero bars":  func() []byte { return report.Bars("Zeros", "ns", []report.Bar{{"a", 0, true}, {"b", 0, false}}) },
	"steep bars": func() []byte { return report.Bars("Steep", "ns", steepBars) },
	"bars of no value": func() []byte {
		return report.Bars("Odd", "", []report.Bar{{"a", nan, false}, {"b", inf, true}, {"c", -7, false}, {"d", 3, false}})
	},
	"extreme bars": func() []byte {
		return report.Bars("Far", "x", []report.Bar{{"a", 5e-324, false}, {"b", 1e-299, true}, {"c", math.MaxFloat64, false}})
	},
	"long bars":   func() []byte { return report.Bars(long, "requests/s", []report.Bar{{long, 5, true}, {"b", 7, false}}) },
	"odd letters": func() []byte { return report.Bars(odd, odd, []report.Bar{{odd, 5, true}, {"b\xff\x00", 7, false}}) },
	"lines":       func() []byte { return report.Lines("Time by tokens", "tokens", "µs", someLines) },
	"one point": func() []byte {
		return report.Lines("One", "x", "y", []report.Series{{"only", []report.Point{{3, 4}}, true}})
	},
	"no lines":       func() []byte { return report.Lines("None", "x", "y", nil) },
	"a line of none": func() []byte { return report.Lines("None", "x", "y", []report.Series{{"empty", nil, false}}) },
	"zero lines": func() []byte {
		return report.Lines("Zeros", "x", "y", []report.Series{{"zero", []report.Point{{0, 0}, {0, 0}}, true}})
	},
	"lines of no value": func() []byte {
		return report.Lines("Odd", "x", "y", []report.Series{{"a", []report.Point{{1, nan}, {inf, 1}, {2, -3}, {3, 5}}, true}})
	},
	"extreme lines": func() []byte {
		return report.Lines("Far", "x", "y", []report.Series{{"a", []report.Point{{1e-299, 5e-324}, {math.MaxFloat64, 1e-299}, {1, math.MaxFloat64}}, true}})
	},
	"many lines": func() []byte { return report.Lines(long, long, long, manyLines()) },
	"odd names": func() []byte {
		return report.Lines(odd, odd, odd, []report.Series{{odd, []report.Point{{1, 2}}, true}})
	},
}

const odd = `<script>&"']]> Grüße 日本` + "\x01"

var someBars = []report.Bar{{"without", 27579, false}, {"with <us>", 22103, true}, {"zero", 0, false}, {"last", 12000, false}}

var steepBars = []report.Bar{{"a map", 10, false}, {"accesstoken", 1320, true}, {"another", 71_900, false}}

var someLines = []report.Series{
	{"accesstoken", []report.Point{{1, 1.2}, {1000, 1.4}, {100_000, 2}}, true},
	{"another", []report.Point{{1, 48}, {100_000, 50}}, false},
}

func manyLines() (series []report.Series) {
	for n := range 12 {
		points := []report.Point{{1, float64(n)}, {50, float64(12 - n)}}
		series = append(series, report.Series{Name: fmt.Sprintf("library %d", n), Points: points, Ours: n < 2})
	}
	return append(series, report.Series{Name: long})
}

// An element is an element of the drawing: its attributes and its content.
type element struct {
	name       string
	attributes map[string]string
	text       string
}

func (e element) number(t *testing.T, attribute string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(e.attributes[attribute], 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		t.Fatalf("%s of %+v: got %v, %v; want a number", attribute, e, value, err)
	}
	return value
}

// elements reads an image, and fails if it is not XML.
func elements(t *testing.T, image []byte) (all []element) {
	t.Helper()
	var open []int
	for decoder := xml.NewDecoder(bytes.NewReader(image)); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("the image is no XML: %v\n%s", err, image)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attributes: map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			open = append(open, len(all))
			all = append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
	if len(all) < 3 || all[0].name != "svg" || all[1].name != "title" || all[2].name != "desc" || all[1].text == "" || all[2].text == "" {
		t.Fatalf("got %+v; want an svg that begins with its title and description", all)
	}
	return all
}

func named(all []element, name string) (found []element) {
	for _, e := range all {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// A box is the area of something that is drawn.
type box struct {
	left, top, right, bottom float64
	text                     string
}

// boxOf assumes letters as wide as in a wide font.
func boxOf(t *testing.T, e element) box {
	t.Helper()
	x, y, wide := e.number(t, "x"), e.number(t, "y"), 7.3*float64(utf8.RuneCountInString(e.text))
	if e.attributes["font-weight"] == "bold" {
		wide *= 1.1
	}
	switch e.attributes["text-anchor"] {
	case "middle":
		x -= wide / 2
	case "end":
		x -= wide
	}
	return box{x, y - 10, x + wide, y + 3, e.text}
}

func (b box) meets(other box) bool {
	return b.left < other.right && other.left < b.right && b.top < other.bottom && other.top < b.bottom
}

func TestPlotsStayWithinTheImageAndTextsApart(t *testing.T) {
	for name, plot := range plots {
		t.Run(name, func(t *testing.T) {
			image := plot()
			if !bytes.Equal(image, plot()) {
				t.Error("the same figures gave two images; want one")
			}
			all := elements(t, image)
			wide, high := all[0].number(t, "width"), all[0].number(t, "height")
			var boxes []box
			for _, e := range named(all, "text") {
				boxes = append(boxes, boxOf(t, e))
			}
			for n, b := range boxes {
				if b.left < 0 || b.right > wide || b.top < 0 || b.bottom > high {
					t.Errorf("%+v is outside of %v × %v", b, wide, high)
				}
				for _, other := range boxes[:n] {
					if b.meets(other) {
						t.Errorf("%+v overlaps %+v", b, other)
					}
				}
			}
			for _, p := range places(t, all) {
				if p.X < 0 || p.X > wide || p.Y < 0 || p.Y > high {
					t.Errorf("%v is outside of %v × %v", p, wide, high)
				}
			}
		})
	}
}

// places returns the corners of an element.
func places(t *testing.T, all []element) (found []report.Point) {
	for _, e := range all {
		switch e.name {
		case "rect":
			x, y := e.number(t, "x"), e.number(t, "y")
			found = append(found, report.Point{X: x, Y: y}, report.Point{X: x + e.number(t, "width"), Y: y + e.number(t, "height")})
		case "line":
			found = append(found, report.Point{X: e.number(t, "x1"), Y: e.number(t, "y1")}, report.Point{X: e.number(t, "x2"), Y: e.number(t, "y2")})
		case "circle":
			found = append(found, report.Point{X: e.number(t, "cx"), Y: e.number(t, "cy")})
		}
	}
	return found
}

func texts(all []element) (found []string) {
	for _, e := range named(all, "text") {
		found = append(found, e.text)
	}
	return found
}

func TestBars(t *testing.T) {
	tests := []struct {
		name   string
		image  []byte
		texts  []string
		longer []int // the bars that there are, the shortest first
	}{
		{"from zero", report.Bars("Requests", "requests/s", someBars),
			[]string{"Requests", "0", "5,000", "25,000", "requests/s", "with <us>", "22,103", "zero"}, []int{2, 1, 0}},
		{"a hundred times as much and more", report.Bars("Steep", "ns", steepBars),
			[]string{"1 ns", "10 ns", "1 µs", "10 µs", "time, logarithmic", "1.32 µs", "71.9 µs"}, []int{0, 1, 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := elements(t, test.image)
			for _, want := range test.texts {
				if got := texts(all); !slices.Contains(got, want) {
					t.Errorf("got %q; want %q among them", got, want)
				}
			}
			bars := named(all, "rect")
			if len(bars) != len(test.longer) {
				t.Fatalf("got %d bars; want %d", len(bars), len(test.longer))
			}
			least := 1.0 // pixels, so that it is seen
			for _, n := range test.longer {
				if got := bars[n].number(t, "width"); got <= least {
					t.Errorf("bar %d is %v wide; want more than %v", n, got, least)
				}
				least = bars[n].number(t, "width")
			}
			if bars[1].attributes["fill"] == bars[0].attributes["fill"] {
				t.Error("our bar looks like the others; want another colour")
			}
		})
	}
}

func TestBarsSayTheirValue(t *testing.T) {
	tests := []struct {
		unit  string
		value float64
		want  string
	}{
		{"x", 0, "0"}, {"x", 0.000123456, "0.000123"}, {"x", 1.2345, "1.23"}, {"x", 99.94, "99.9"}, {"x", 99.96, "100"},
		{"x", 999.5, "1,000"}, {"x", 41_234.4, "41,234"}, {"x", -41_234, "-41,234"}, {"x", 1e20, "1e+20"}, {"x", nan, "NaN"},
		{"ns", 0, "0"}, {"ns", 12.345, "12.3 ns"}, {"ns", 999.4, "999 ns"}, {"ns", 999.6, "1 µs"}, {"ns", 1320, "1.32 µs"},
		{"ns", 999_600, "1 ms"}, {"ns", 2_500_000, "2.5 ms"}, {"ns", 75e9, "75 s"},
	}
	for _, test := range tests {
		all := texts(elements(t, report.Bars("Value", test.unit, []report.Bar{{"a", test.value, false}})))
		if got := all[slices.Index(all, "a")+1]; got != test.want {
			t.Errorf("%v %s: got %q; want %q", test.value, test.unit, got, test.want)
		}
	}
}

// Ticks are round values, and neither too few nor too many.
func TestTicks(t *testing.T) {
	tests := []struct {
		least, greatest float64
		want            string
	}{
		{1, 1, "0 0.2 0.4 0.6 0.8 1"},
		{0.1, 0.3, "0 0.05 0.1 0.15 0.2 0.25 0.3"},
		{7, 7, "0 2 4 6"},
		{12, 12, "0 2 4 6 8 10 12"},
		{1000, 27_579, "0 5,000 10,000 15,000 20,000 25,000"},
		{1, 100, "0 20 40 60 80 100"},
		{2, 201, "1 10 100"},
		{1, 1000, "0.1 1 10 100 1,000"},
		{2, 2e9, "1 100 10,000 1,000,000 100,000,000"},
	}
	for _, test := range tests {
		all := texts(elements(t, report.Bars("Ticks", "", []report.Bar{{"least", test.least, false}, {"greatest", test.greatest, false}})))
		if got := strings.Join(all[1:slices.Index(all, "least")], " "); got != test.want {
			t.Errorf("%v to %v: got %q; want %q", test.least, test.greatest, got, test.want)
		}
	}
}

// If the axis begins at zero, lengths are proportional to the values.
func TestBarsAreInProportion(t *testing.T) {
	bars := named(elements(t, report.Bars("Two", "x", []report.Bar{{"a", 10, false}, {"b", 40, false}})), "rect")
	if short, long := bars[0].number(t, "width"), bars[1].number(t, "width"); math.Abs(long/short-4) > 0.01 {
		t.Errorf("got %v and %v; want one four times the other", short, long)
	}
}

func TestTheShortestBarIsSeen(t *testing.T) {
	for _, rows := range [][]report.Bar{{{"a", 10.001, false}, {"b", 1e6, false}}, {{"a", 5e-324, false}, {"b", 1, false}}} {
		bars := named(elements(t, report.Bars("Two", "x", rows)), "rect")
		if got := bars[0].number(t, "width"); len(bars) != 2 || got != 2 {
			t.Errorf("%+v: got %d bars, the first %v wide; want 2, and 2 pixels", rows, len(bars), got)
		}
	}
}

func TestPointsOfNoValueAreLeftOut(t *testing.T) {
	if got := len(named(elements(t, plots["lines of no value"]()), "circle")); got != 2 {
		t.Errorf("got %d points; want the 2 that are finite", got)
	}
}

func TestLines(t *testing.T) {
	all := elements(t, report.Lines("Time by tokens", "tokens", "µs", someLines))
	for _, want := range []string{"accesstoken", "another", "tokens, logarithmic", "µs", "1", "100,000", "0", "50"} {
		if got := texts(all); !slices.Contains(got, want) {
			t.Errorf("got %q; want %q among them", got, want)
		}
	}
	dots := named(all, "circle")
	if len(dots) != 5 {
		t.Fatalf("got %d points; want 5", len(dots))
	}
	for n, point := range [][2]float64{{0, 0}, {1, 3. / 5}, {2, 1}} { // on a logarithmic axis
		from, to := dots[0].number(t, "cx"), dots[2].number(t, "cx")
		if got := (dots[n].number(t, "cx") - from) / (to - from); math.Abs(got-point[1]) > 0.01 {
			t.Errorf("point %d is at %.3f of the axis; want %.3f", n, got, point[1])
		}
	}
	if above, below := dots[4].number(t, "cy"), dots[0].number(t, "cy"); above >= below {
		t.Errorf("50 is at %v, 1.2 at %v; want the greater value above", above, below)
	}
}

// Lines differ in colour or dashes, up to a number of lines that is unreadable anyway.
func TestLinesCanBeToldApart(t *testing.T) {
	seen := map[string]int{}
	for n, e := range named(elements(t, report.Lines("Many", "x", "y", manyLines()[:12])), "polyline") {
		look := e.attributes["stroke"] + " " + e.attributes["stroke-dasharray"]
		if before, ok := seen[look]; ok {
			t.Errorf("lines %d and %d both are %q", before, n, look)
		}
		seen[look] = n
	}
	if len(seen) != 12 {
		t.Errorf("got %d lines; want 12", len(seen))
	}
}

// The background is transparent, so every colour needs contrast to a light page and to
// a dark one (WCAG 2.2, 1.4.11: 3 to 1; for text somewhat more).
func TestColoursStandOutFromLightAndDark(t *testing.T) {
	all := append(elements(t, report.Bars("Bars", "x", someBars)), elements(t, report.Lines("Many", "x", "y", manyLines()))...)
	for _, e := range all {
		for _, attribute := range []string{"fill", "stroke"} {
			colour, ok := e.attributes[attribute]
			if !ok || colour == "none" {
				continue
			}
			want := 3.0
			if e.name == "svg" { // the colour of all text
				want = 4.1
			}
			for _, page := range []string{"#ffffff", "#0d1117"} {
				if got := contrast(t, colour, page); got < want {
					t.Errorf("%s %s on %s: got a contrast of %.2f; want %v", e.name, colour, page, got, want)
				}
			}
		}
	}
}

// contrast is defined in WCAG 2.2.
func contrast(t *testing.T, one, other string) float64 {
	a, b := luminance(t, one), luminance(t, other)
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

func luminance(t *testing.T, colour string) (sum float64) {
	t.Helper()
	for n, weight := range []float64{0.2126, 0.7152, 0.0722} {
		value, err := strconv.ParseUint(colour[1+2*n:3+2*n], 16, 8)
		if err != nil || len(colour) != 7 {
			t.Fatalf("got the colour %q; want #rrggbb", colour)
		}
		part := float64(value) / 255
		if part <= 0.04045 {
			sum += weight * part / 12.92
			continue
		}
		sum += weight * math.Pow((part+0.055)/1.055, 2.4)
	}
	return sum
}

func TestPicturesAreToldInWords(t *testing.T) {
	tests := map[string]string{
		string(report.Bars("Steep", "ns", steepBars)):                         "A bar chart. time, logarithmic: a map 10 ns; accesstoken 1.32 µs; another 71.9 µs.",
		string(report.Lines("Time by tokens", "tokens", "µs", someLines[1:])): "A line chart. µs by tokens, logarithmic: another 48 at 1, 50 at 100,000.",
	}
	for image, want := range tests {
		if got := elements(t, []byte(image))[2].text; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
