package meter

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// JSON returns a struct of numbers, texts, times and such structs as JSON. The name of a
// member is that of the field in lower case, with underscores. A duration is a number of
// seconds, and its name ends in _seconds. A zero time is null, and so is a nil pointer.
func JSON(v any) ([]byte, error) { return json.Marshal(plain(reflect.ValueOf(v))) }

// A member of an object. A map would lose the order of the fields.
type member struct {
	name  string
	value any
}

type object []member

// MarshalJSON keeps the order.
func (o object) MarshalJSON() ([]byte, error) {
	var text strings.Builder
	text.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			text.WriteByte(',')
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "%q:%s", m.name, value)
	}
	text.WriteByte('}')
	return []byte(text.String()), nil
}

// plain returns what JSON encodes in place of a value.
func plain(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Duration:
		return value.Seconds()
	case time.Time:
		if value.IsZero() {
			return nil
		}
		return value
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.Struct:
		var all object
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				all = append(all, member{nameOf(field), plain(v.Field(i))})
			}
		}
		return all
	}
	return v.Interface()
}

// nameOf returns the name of a field's member.
func nameOf(field reflect.StructField) string {
	var name strings.Builder
	before := 'A'
	for _, c := range field.Name {
		if unicode.IsUpper(c) && !unicode.IsUpper(before) {
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToLower(c))
		before = c
	}
	if field.Type == reflect.TypeFor[time.Duration]() {
		name.WriteString("_seconds")
	}
	return name.String()
}

// Text returns a struct as a line for people: the members of JSON that are not zero, without
// lists and structs.
func Text(v any) string {
	var words []string
	for _, m := range plain(reflect.ValueOf(v)).(object) {
		value := reflect.ValueOf(m.value)
		switch at, isTime := m.value.(time.Time); {
		case !value.IsValid() || value.IsZero() || value.Kind() == reflect.Slice:
		case isTime:
			words = append(words, m.name+"="+at.UTC().Format(time.RFC3339))
		case value.Kind() == reflect.String:
			words = append(words, fmt.Sprintf("%s=%q", m.name, value))
		default:
			words = append(words, fmt.Sprintf("%s=%v", m.name, value))
		}
	}
	return strings.Join(words, " ")
}
