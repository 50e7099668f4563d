package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
)

// A mutant is one change of one check.
type mutant struct {
	file     string // slash-separated, below the top folder
	function string // Func or Type.Method
	operator string
	check    string // source text that is changed
	ordinal  int    // from 1, among mutants that are otherwise the same

	number        int    // from 1, among all mutants that are tried together
	start, end    int    // byte offsets in the source around which the change is written
	before, after string // inserted there; $ stands for "this mutant is chosen"
}

// id names the mutant by what it changes, so that the id stays the same if the code
// is moved.
func (m mutant) id() string {
	id := fmt.Sprintf("%s %s %s: %s", m.file, m.function, m.operator, m.check)
	if m.ordinal > 1 {
		id += fmt.Sprintf(" #%d", m.ordinal)
	}
	return id
}

// find returns the mutants of one file in their order, and the names of its functions.
// The numbers of the mutants follow before.
func find(file string, source []byte, skip []string, before int) (found []mutant, functions []string, err error) {
	positions := token.NewFileSet()
	tree, err := parser.ParseFile(positions, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	f := finder{file: file, source: source, base: int(tree.FileStart), before: before, seen: map[string]int{}}
	for _, d := range tree.Decls {
		declared, ok := d.(*ast.FuncDecl)
		if !ok || declared.Body == nil {
			continue
		}
		f.function = nameOf(declared)
		functions = append(functions, f.function)
		if !slices.Contains(skip, f.function) {
			f.body(declared.Type, declared.Body)
		}
	}
	return f.found, functions, nil
}

func nameOf(declared *ast.FuncDecl) string {
	if declared.Recv == nil {
		return declared.Name.Name
	}
	receiver := declared.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	return receiver.(*ast.Ident).Name + "." + declared.Name.Name
}

// A finder walks over one file.
type finder struct {
	file     string
	source   []byte
	base     int
	before   int
	function string
	found    []mutant
	seen     map[string]int // how often an id was used, for the ordinals
}

func (f *finder) text(node ast.Node) string {
	return string(f.source[int(node.Pos())-f.base : int(node.End())-f.base])
}

// If a check spans several lines, it is written in one line, without its comments.
var (
	comment   = regexp.MustCompile(`[ \t]// .*`)
	lineBreak = regexp.MustCompile(`\s*\n\s*`)
)

// add adds a mutant of the check. The texts before and after are inserted around the
// check or, if around has nodes, around these nodes.
func (f *finder) add(operator, before string, check ast.Node, after string, around ...ast.Node) {
	first, last := check, check
	if len(around) > 0 {
		first, last = around[0], around[len(around)-1]
	}
	m := mutant{
		file: f.file, function: f.function, operator: operator,
		check:  lineBreak.ReplaceAllString(comment.ReplaceAllString(f.text(check), ""), " "),
		number: f.before + len(f.found) + 1,
		start:  int(first.Pos()) - f.base, end: int(last.End()) - f.base, before: before, after: after,
	}
	f.seen[m.id()]++
	m.ordinal = f.seen[m.id()]
	f.found = append(f.found, m)
}

func (f *finder) never(check ast.Node)    { f.add("never", "(!$ && (", check, "))") }
func (f *finder) always(check ast.Node)   { f.add("always", "($ || (", check, "))") }
func (f *finder) inverted(check ast.Node) { f.add("inverted", "((", check, ") != $)") }

// without removes a check from the operands of the operator.
func (f *finder) without(check ast.Node, operator token.Token) {
	if operator == token.LOR {
		f.add("removed", "(!$ && (", check, "))")
		return
	}
	f.add("removed", "($ || (", check, "))")
}

// A part is a function or a function literal, to which return statements belong.
type part struct {
	*finder
	results []ast.Expr               // the types of its results
	covered map[*ast.ReturnStmt]bool // returns whose error is not mutated: each is the only statement under a condition that is
}

func (f *finder) body(signature *ast.FuncType, body *ast.BlockStmt) {
	part{f, resultTypes(signature), map[*ast.ReturnStmt]bool{}}.walk(body)
}

func (p part) walk(node ast.Node) {
	ast.Inspect(node, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncLit:
			p.body(n.Type, n.Body)
			return false
		case *ast.ForStmt: // not its condition: an endless loop shows nothing about the tests
			p.walk(n.Body)
			return false
		case *ast.IfStmt:
			p.condition(n.Cond, n.Body.List)
		case *ast.SwitchStmt:
			p.clauses(n.Body, n.Tag != nil)
		case *ast.TypeSwitchStmt:
			for _, clause := range n.Body.List {
				p.whole(clause.(*ast.CaseClause))
			}
		case *ast.ReturnStmt:
			p.returned(n)
		case *ast.BinaryExpr:
			p.comparison(n)
		case *ast.CallExpr:
			p.call(n)
		case *ast.AssignStmt:
			p.kept(n.Rhs)
		case *ast.KeyValueExpr:
			p.kept([]ast.Expr{n.Value})
		}
		return true
	})
}

func (p part) clauses(body *ast.BlockStmt, tagged bool) {
	for _, statement := range body.List {
		clause := statement.(*ast.CaseClause)
		if tagged {
			p.values(clause)
			p.cover(clause.Body)
			continue
		}
		for _, condition := range clause.List {
			p.condition(condition, clause.Body)
		}
	}
}

// condition mutates the condition under which the statements run. If the statements
// refuse, the mutant refuses less; otherwise the mutant negates the condition. If || or
// && joins several conditions, each condition gets a mutant of its own.
func (p part) condition(condition ast.Expr, run []ast.Stmt) {
	switch operator := logical(condition); {
	case operator == token.LOR:
		p.operands(condition, token.LOR)
	case refuses(run):
		p.never(condition)
	case operator == token.LAND:
		p.operands(condition, token.LAND)
	default:
		p.inverted(condition)
	}
	if p.text(condition) != "err == nil" { // under err == nil, the returned error is a verdict of its own, so it is mutated too
		p.cover(run)
	}
}

// cover marks the return statement, if it is the only statement of run. Its error is
// then not mutated, because the condition that leads to it is.
func (p part) cover(run []ast.Stmt) {
	if len(run) != 1 {
		return
	}
	if returned, ok := run[0].(*ast.ReturnStmt); ok {
		p.covered[returned] = true
	}
}

// values removes the values of a case one by one. Numbers and characters are removed
// together, because as untyped constants they would get the wrong type in mutantCase.
func (p part) values(clause *ast.CaseClause) {
	if slices.ContainsFunc(clause.List, isNumber) {
		p.whole(clause)
		return
	}
	for _, value := range clause.List {
		p.add("removed", "mutantCase($, ", value, ")")
	}
}

func isNumber(value ast.Expr) bool {
	literal, ok := value.(*ast.BasicLit)
	return ok && literal.Kind != token.STRING
}

// whole removes a whole case by skipping its body. In a type switch there is no other
// way.
func (p part) whole(clause *ast.CaseClause) {
	if len(clause.List) > 0 && len(clause.Body) > 0 {
		p.add("removed", "if !$ { ", list(clause.List), " }", clause.Body[0], clause.Body[len(clause.Body)-1])
	}
}

// A list is a sequence of nodes that follow each other in the source.
type list []ast.Expr

func (l list) Pos() token.Pos { return l[0].Pos() }
func (l list) End() token.Pos { return l[len(l)-1].End() }

// returned mutates verdicts: each bool among the results, and an error if it is the
// only result.
func (p part) returned(statement *ast.ReturnStmt) {
	if len(statement.Results) != len(p.results) {
		return
	}
	for i, result := range statement.Results {
		switch kind := p.text(p.results[i]); {
		case kind == "bool" && !isPlain(result):
			p.boolean(result)
		case len(p.results) == 1 && isVerdict(kind) && !isWord(result, "nil") && !p.covered[statement]:
			p.add("dropped", "func() "+kind+" { verdict := (", result, "); if $ { return nil }; return verdict }()")
		}
	}
}

func isVerdict(kind string) bool { return kind == "error" || kind == "*Error" }

// boolean mutates a returned bool.
func (f *finder) boolean(result ast.Expr) {
	if operator := logical(result); operator != token.ILLEGAL {
		f.operands(result, operator)
		return
	}
	f.always(result)
}

func resultTypes(signature *ast.FuncType) (types []ast.Expr) {
	if signature.Results == nil {
		return nil
	}
	for _, field := range signature.Results.List {
		for range max(1, len(field.Names)) {
			types = append(types, field.Type)
		}
	}
	return types
}

// kept mutates the conditions in values that are assigned to a variable or a field.
func (f *finder) kept(values []ast.Expr) {
	for _, value := range values {
		if operator := logical(value); operator != token.ILLEGAL {
			f.operands(value, operator)
		}
	}
}

func (f *finder) comparison(n *ast.BinaryExpr) {
	if isZero := f.text(n.Y) == "0"; isZero { // a length is never negative
		return
	}
	equal := f.text(n.X) + " == " + f.text(n.Y)
	switch n.Op {
	case token.LSS, token.GTR:
		f.add("boundary", "(", n, " || $ && "+equal+")")
	case token.LEQ, token.GEQ:
		f.add("boundary", "(", n, " && !($ && "+equal+"))")
	}
}

// operands removes the operands of && or ||, one by one.
func (f *finder) operands(joined ast.Expr, operator token.Token) {
	switch n := joined.(type) {
	case *ast.ParenExpr:
		if logical(n.X) == operator {
			f.operands(n.X, operator)
			return
		}
	case *ast.BinaryExpr:
		if n.Op == operator {
			f.operands(n.X, operator)
			f.operands(n.Y, operator)
			return
		}
	}
	f.without(joined, operator)
}

// opposites map a strict comparison of times to the opposite one. The negation of a
// strict comparison is also true for equal times: for example, "not After" is "Before
// or equal".
var opposites = map[string]string{"Before": "After", "After": "Before"}

func (f *finder) call(n *ast.CallExpr) {
	switch function := n.Fun.(type) {
	case *ast.SelectorExpr:
		if opposite, ok := opposites[function.Sel.Name]; ok && len(n.Args) == 1 {
			f.add("boundary", "(", n, " || $ && !"+f.text(function.X)+"."+opposite+"("+f.text(n.Args[0])+"))")
		}
	case *ast.Ident:
		if (function.Name == "min" || function.Name == "max") && len(n.Args) == 2 {
			f.add("unbounded", "mutantUnbounded($, "+f.text(n.Args[0])+", ", n, ")")
		}
	}
}

// logical returns && or || if the expression is joined by it, and otherwise ILLEGAL.
func logical(expression ast.Expr) token.Token {
	switch n := expression.(type) {
	case *ast.ParenExpr:
		return logical(n.X)
	case *ast.BinaryExpr:
		if n.Op == token.LAND || n.Op == token.LOR {
			return n.Op
		}
	}
	return token.ILLEGAL
}

// refuses reports whether the statements end in a refusal: their last result is not
// nil, true or false, or they add a fault to a list.
func refuses(statements []ast.Stmt) bool {
	if len(statements) == 0 {
		return false
	}
	switch last := statements[len(statements)-1].(type) {
	case *ast.ReturnStmt:
		return len(last.Results) > 0 && !isWord(last.Results[len(last.Results)-1], "nil", "true", "false")
	case *ast.ExprStmt:
		called, ok := last.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		method, ok := called.Fun.(*ast.SelectorExpr)
		return ok && method.Sel.Name == "add"
	}
	return false
}

// isPlain reports whether the expression is a name or a literal, which decides nothing.
func isPlain(expression ast.Expr) bool {
	switch expression.(type) {
	case *ast.Ident, *ast.BasicLit:
		return true
	}
	return false
}

func isWord(expression ast.Expr, words ...string) bool {
	word, ok := expression.(*ast.Ident)
	return ok && slices.Contains(words, word.Name)
}
