package project_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A budget limits how often a word occurs in 10,000. A word that reads as translated
// has an upper limit, which should fall; a word that plain English needs has a lower
// one, which should rise.
type budget struct {
	name    string
	pattern *regexp.Regexp
	most    float64
	least   float64
}

// without takes these words away before the others are counted: "there is no" is
// plain English, "is no" as a rule is not.
var without = regexp.MustCompile(`(?i)\bthere is no\b`)

var (
	people  = regexp.MustCompile(`(?i)\b(nobody|somebody|whoever|anybody)\b`)
	isNone  = regexp.MustCompile(`(?i)\bis none\b`)
	isNo    = regexp.MustCompile(`(?i)\bis no\b`)
	said    = regexp.MustCompile(`(?i)\bsaid\b`)
	another = regexp.MustCompile(`(?i)\bis another\b`)
)

// TestProseKeepsItsBudget counts some words in each kind of text, and prints the values
// of today.
//
// How it counts: the comments are those of all Go files of all modules but tests and
// generated ones; a comment's words are what white space separates, and a phrase is
// also found across the end of a line. The texts are the string literals of the same
// files that have at least four words, which is to say errors, log lines and advice.
// The pages are all Markdown files except those in testdata, without code blocks, tables
// and the parts that our benchmarks write.
func TestProseKeepsItsBudget(t *testing.T) {
	isProse := func(name string) bool { return isGo(name) && !isTest(name) }
	var comments, texts []string
	for _, name := range files(t, isProse) {
		tree, _ := parse(t, name)
		if ast.IsGenerated(tree) {
			continue
		}
		comments = append(comments, commentsOf(tree)...)
		texts = append(texts, textsOf(tree)...)
	}
	t.Run("comments", func(t *testing.T) {
		spend(t, comments, []budget{
			{name: "nobody, somebody, whoever, anybody", pattern: people, most: 1},
			{name: "is none", pattern: isNone, most: 0},
			{name: "is no", pattern: isNo, most: 1},
			{name: "if", pattern: regexp.MustCompile(`(?i)\bif\b`), least: 60},
			{name: "should", pattern: regexp.MustCompile(`(?i)\bshould\b`), least: 10},
			{name: "for example", pattern: regexp.MustCompile(`(?i)\bfor example\b`), least: 2},
		})
	})
	t.Run("texts", func(t *testing.T) {
		spend(t, texts, []budget{
			{name: "nobody, somebody, whoever, anybody", pattern: people, most: 1},
			{name: "is none", pattern: isNone, most: 0},
			{name: "said", pattern: said, most: 1},
			{name: "is another", pattern: another, most: 0},
		})
	})
	t.Run("pages", func(t *testing.T) {
		spend(t, proseOfPages(t), []budget{
			{name: "nobody, somebody, whoever, anybody", pattern: people, most: 1},
			{name: "is none", pattern: isNone, most: 0},
			{name: "is no", pattern: isNo, most: 1},
			{name: "if", pattern: regexp.MustCompile(`(?i)\bif\b`), least: 60},
			{name: "should", pattern: regexp.MustCompile(`(?i)\bshould\b`), least: 10},
		})
	})
}

// spend counts, and compares with the budgets.
func spend(t *testing.T, prose []string, budgets []budget) {
	t.Helper()
	words := 0
	counts := make([]int, len(budgets))
	for _, passage := range prose {
		fields := strings.Fields(passage)
		words += len(fields)
		line := without.ReplaceAllString(strings.Join(fields, " "), "")
		for i, b := range budgets {
			counts[i] += len(b.pattern.FindAllString(line, -1))
		}
	}
	if words == 0 {
		t.Fatal("there are no words; want those of all modules")
	}
	t.Logf("%d words", words)
	for i, b := range budgets {
		rate := float64(counts[i]) / float64(words) * 10_000
		t.Logf("%-36s %6.1f in 10,000 words", b.name, rate)
		switch {
		case b.least > 0 && rate < b.least:
			t.Errorf("%s: got %.1f in 10,000 words; want at least %g", b.name, rate, b.least)
		case b.least == 0 && rate > b.most:
			t.Errorf("%s: got %.1f in 10,000 words; want at most %g", b.name, rate, b.most)
		}
	}
}

func commentsOf(tree *ast.File) (prose []string) {
	for _, group := range tree.Comments {
		prose = append(prose, group.Text())
	}
	return prose
}

func textsOf(tree *ast.File) (prose []string) {
	ast.Inspect(tree, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(literal.Value); err == nil && len(strings.Fields(text)) >= 4 {
			prose = append(prose, text)
		}
		return true
	})
	return prose
}

// proseOfPages leaves out what stands in code blocks and tables, and between the lines
// that mark a generated part, for example "<!-- begin: figures -->" and
// "<!-- end: figures -->".
func proseOfPages(t *testing.T) (prose []string) {
	t.Helper()
	isPage := func(name string) bool {
		return strings.HasSuffix(name, ".md") && !strings.Contains(name, "/testdata/")
	}
	for _, name := range files(t, isPage) {
		var lines []string
		inCode, isGenerated := false, false
		for line := range strings.Lines(content(t, strings.TrimPrefix(name, top))) {
			switch {
			case strings.HasPrefix(line, "<!-- begin: "):
				isGenerated = true
			case strings.HasPrefix(line, "<!-- end: "):
				isGenerated = false
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				inCode = !inCode
			case !inCode && !isGenerated && !strings.HasPrefix(line, "|"):
				lines = append(lines, line)
			}
		}
		prose = append(prose, strings.Join(lines, ""))
	}
	return prose
}
