package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads the members of an object into v, a pointer to a struct or a
// map. Names match exactly, also in their case, and numbers stay exact. The error
// says where something does not fit, and nothing of what was there.
func Unmarshal(data []byte, v any) error {
	if err := jsonv2.Unmarshal(data, v, exactNumbers); err != nil {
		return shapeOf(err)
	}
	return nil
}

// exactNumbers keeps numbers that land in an any: float64 would turn
// 9007199254740993 into its neighbour.
var exactNumbers = jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, v *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	number, err := d.ReadValue()
	*v = json.Number(number)
	return err
}))

// shapeOf says where a value does not fit, and leaves the value out: the error
// of the JSON package quotes it.
func shapeOf(err error) error {
	var semantic *jsonv2.SemanticError
	if errors.As(err, &semantic) && semantic.JSONKind != jsontext.KindInvalid {
		// Of the path only the member's name: further down, names may be data.
		name, _, _ := strings.Cut(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/")
		return fmt.Errorf("%q: a JSON %v does not fit %v", name, semantic.JSONKind, semantic.GoType)
	}
	return errors.New("expected a pointer to a struct or a map")
}
