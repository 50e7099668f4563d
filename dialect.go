package accesstoken

import (
	"maps"
	"slices"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/internal/shape"
)

// cloneDialect copies a Dialect with its lists. Marks cannot be changed.
func cloneDialect(d *dialect.Dialect) *dialect.Dialect {
	if d == nil {
		return nil
	}
	c := *d
	c.Types, c.Client, c.Scope, c.Optional = slices.Clone(d.Types), slices.Clone(d.Client), slices.Clone(d.Scope), slices.Clone(d.Optional)
	c.Kind, c.Machine = slices.Clone(d.Kind), slices.Clone(d.Machine)
	return &c
}

// A demand is an element of Issuer.Demand.
type demand struct {
	path   []string // a claim, and the way on inside its value
	listed []string
}

// demandsOf compiles a Demand whose faults were reported.
func demandsOf(listed map[string][]string) (demands []demand) {
	for _, claim := range slices.Sorted(maps.Keys(listed)) {
		path, _ := shape.PathOf(claim)
		demands = append(demands, demand{path, listed[claim]})
	}
	return demands
}
