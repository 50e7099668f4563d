package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"
)

// Plots have a transparent background. The page around an image may be light or dark,
// so every colour is of medium brightness and has contrast to both.
const (
	ink    = "#747b83" // text and axes
	accent = "#2f7de1" // this library's bars and lines
)

var palette = []string{"#d0701b", "#2c9a5c", "#a06be0", "#d9534f", "#1894a8", "#cc4f96", "#8a8332"}

const (
	width    = 760.0
	fontSize = 13.0
	line     = 20.0 // from one line of text to the next
	margin   = 12.0
)

// A drawing has the elements of a plot of either kind.
type drawing struct {
	Title, Description string
	Height             float64
	Rules              []rule
	Bars               []bar
	Curves             []curve
	Texts              []text
}

type rule struct {
	X1, Y1, X2, Y2 float64
	Colour, Dashes string
	Width, Opacity float64
}

type bar struct {
	X, Y, Width, Height float64
	Colour              string
}

type curve struct {
	Points         []Point // in pixels
	Colour, Dashes string
	Width          float64
}

type text struct {
	X, Y   float64
	Anchor string // start, middle or end
	Bold   bool
	Text   string
}

var page = template.Must(template.New("svg").Funcs(template.FuncMap{"xml": escaped, "px": pixels, "w": func() float64 { return width }}).Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" width="{{px w}}" height="{{px .Height}}" viewBox="0 0 {{px w}} {{px .Height}}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="` + ink + `">
<title>{{xml .Title}}</title>
<desc>{{xml .Description}}</desc>
{{range .Rules}}<line x1="{{px .X1}}" y1="{{px .Y1}}" x2="{{px .X2}}" y2="{{px .Y2}}" stroke="{{.Colour}}" stroke-width="{{px .Width}}" opacity="{{.Opacity}}"{{with .Dashes}} stroke-dasharray="{{.}}"{{end}}/>
{{end}}{{range .Bars}}<rect x="{{px .X}}" y="{{px .Y}}" width="{{px .Width}}" height="{{px .Height}}" rx="2" fill="{{.Colour}}"/>
{{end}}{{range .Curves}}{{$curve := .}}<polyline points="{{range .Points}}{{px .X}},{{px .Y}} {{end}}" fill="none" stroke="{{.Colour}}" stroke-width="{{px .Width}}" stroke-linejoin="round"{{with .Dashes}} stroke-dasharray="{{.}}"{{end}}/>
{{range .Points}}<circle cx="{{px .X}}" cy="{{px .Y}}" r="3" fill="{{$curve.Colour}}"/>
{{end}}{{end}}{{range .Texts}}<text x="{{px .X}}" y="{{px .Y}}" text-anchor="{{.Anchor}}"{{if .Bold}} font-weight="bold"{{end}}>{{xml .Text}}</text>
{{end}}</svg>
`))

// svg returns the drawing as SVG. It panics if the template fails, which would be a bug
// in this package.
func (d *drawing) svg() []byte {
	var out bytes.Buffer
	if err := page.Execute(&out, d); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// heading returns a drawing with its title, on as many lines as the title needs.
func heading(title string) *drawing {
	d := &drawing{Title: title, Height: margin}
	words := strings.Fields(title)
	for len(words) > 0 {
		n := 1
		for n < len(words) && boldWidth(strings.Join(words[:n+1], " ")) <= width-2*margin {
			n++
		}
		d.Height += line
		d.write(text{X: margin, Y: d.Height - 4, Bold: true, Text: strings.Join(words[:n], " ")})
		words = words[n:]
	}
	d.Height += margin
	return d
}

// write adds text. If it has no Anchor, the text begins at X.
func (d *drawing) write(t text) {
	if t.Anchor == "" {
		t.Anchor = "start"
	}
	d.Texts = append(d.Texts, t)
}

// grid adds a line of the grid.
func (d *drawing) grid(x1, y1, x2, y2 float64) {
	d.Rules = append(d.Rules, rule{x1, y1, x2, y2, ink, "", 1, 0.3})
}

// textWidth returns an estimate of a text's width. The estimate should be too large
// rather than too small, because the viewer chooses the font.
func textWidth(s string) float64 { return 0.6 * fontSize * float64(utf8.RuneCountInString(s)) }

func boldWidth(s string) float64 { return 1.1 * textWidth(s) }

// shortened cuts a text off if it does not fit.
func shortened(s string, room float64) string {
	if boldWidth(s) <= room {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && boldWidth(string(runes)+"…") > room {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

func escaped(s string) (string, error) {
	var out strings.Builder
	err := xml.EscapeText(&out, []byte(s))
	return out.String(), err
}

func pixels(value float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0")
}

// A scale maps values to pixels. If the greatest value exceeds a hundred times the
// least one above zero, the scale is logarithmic and begins at a power of ten.
// Otherwise it begins at zero.
type scale struct {
	least, greatest float64
	from, to        float64 // pixels
	logarithmic     bool
}

const steep = 100

// newScale returns a scale for the values. It ignores values that are not finite
// numbers above zero.
func newScale(values []float64, from, to float64) scale {
	s := scale{from: from, to: to}
	for _, value := range values {
		if !(value > 0) || math.IsInf(value, 0) {
			continue
		}
		if s.least == 0 || value < s.least {
			s.least = value
		}
		s.greatest = max(s.greatest, value)
	}
	switch {
	case s.greatest == 0:
		s.greatest = 1
	case s.greatest > steep*s.least:
		s.logarithmic = true
		s.least = math.Pow10(int(math.Floor(math.Log10(s.least))))
		return s
	}
	s.least = 0
	return s
}

// at returns the position of a value. If the value is outside of the scale, it is the
// position of the nearer end.
func (s scale) at(value float64) float64 {
	if !(value > s.least) {
		return s.from
	}
	part := value / s.greatest
	if s.logarithmic {
		start := math.Log(s.least)
		part = (math.Log(value) - start) / (math.Log(s.greatest) - start)
	}
	return s.from + min(part, 1)*(s.to-s.from)
}

// ticks returns at most seven round values, of which the first is where the scale
// begins.
func (s scale) ticks() (values []float64) {
	const most = 6
	if s.logarithmic {
		low, high := math.Round(math.Log10(s.least)), math.Floor(math.Log10(s.greatest)+1e-9)
		step := max(1, math.Ceil((high-low)/most))
		for power := low; power <= high; power += step {
			values = append(values, math.Pow10(int(power)))
		}
		return values
	}
	step := math.Pow10(int(math.Floor(math.Log10(s.greatest))) - 1)
	for _, factor := range []float64{2, 2.5, 2, 2, 2.5, 2} { // 1, 2, 5, 10, 20, 50, 100
		if s.greatest/step <= most {
			break
		}
		step *= factor
	}
	for n := 0.0; n*step <= s.greatest*(1+1e-9); n++ {
		values = append(values, n*step)
	}
	return values
}

// label returns the label of an axis that shows what.
func (s scale) label(what string) string {
	if s.logarithmic {
		return what + ", logarithmic"
	}
	return what
}

// quantity writes a value. If the unit is "ns", it writes the value in ns, µs, ms or s.
// Other units are only in the axis' label.
func quantity(value float64, unit string) string {
	if unit != "ns" || value == 0 {
		return number(value)
	}
	switch {
	case value < 999.5:
		return number(value) + " ns"
	case value < 999.5e3:
		return number(value/1e3) + " µs"
	case value < 999.5e6:
		return number(value/1e6) + " ms"
	}
	return number(value/1e9) + " s"
}

// number writes a value with at most three significant digits, or as a whole number.
func number(value float64) string {
	switch size := math.Abs(value); {
	case size >= 1e15 || math.IsNaN(value):
		return strconv.FormatFloat(value, 'g', 3, 64)
	case size >= 99.95:
		return commas(fmt.Sprintf("%.0f", value))
	}
	return strconv.FormatFloat(rounded(value), 'g', -1, 64)
}

// rounded rounds to three significant digits.
func rounded(value float64) float64 {
	short, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 3, 64), 64)
	return short
}

func commas(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
