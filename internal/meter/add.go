package meter

import (
	"reflect"
	"time"
)

// Add adds the numbers of a struct to those of another, and the elements of its arrays, and
// combines its booleans with or. Durations and times stay as they are, because what several
// of them amount to depends on their meaning.
func Add[T any](to *T, more T) {
	sum, term := reflect.ValueOf(to).Elem(), reflect.ValueOf(more)
	for i := range sum.NumField() {
		if sum.Type().Field(i).Type != reflect.TypeFor[time.Duration]() {
			add(sum.Field(i), term.Field(i))
		}
	}
}

func add(sum, term reflect.Value) {
	switch sum.Kind() {
	case reflect.Uint64:
		sum.SetUint(sum.Uint() + term.Uint())
	case reflect.Int, reflect.Int64:
		sum.SetInt(sum.Int() + term.Int())
	case reflect.Bool:
		sum.SetBool(sum.Bool() || term.Bool())
	case reflect.Array:
		for i := range sum.Len() {
			add(sum.Index(i), term.Index(i))
		}
	}
}
