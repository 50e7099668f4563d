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
// map. Names match exactly, including their case, and numbers stay exact. If a
// value does not fit, the error names its member but does not contain the value.
func Unmarshal(data []byte, v any) error {
	if err := jsonv2.Unmarshal(data, v, exactNumbers); err != nil {
		return shapeOf(err)
	}
	return nil
}

// exactNumbers reads numbers into an any as json.Number, because float64 would, for
// example, turn 9007199254740993 into 9007199254740992.
var exactNumbers = jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, v *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	number, err := d.ReadValue()
	*v = json.Number(number)
	return err
}))

// shapeOf returns an error that says which member of the JSON does not fit the Go
// type. It leaves out the member's value, which err may quote. If err is not about
// a member, the error says what v must be.
func shapeOf(err error) error {
	var semantic *jsonv2.SemanticError
	if errors.As(err, &semantic) && semantic.JSONKind != jsontext.KindInvalid {
		// Keep only the member's name of the path: further down, names may be data.
		name, _, _ := strings.Cut(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/")
		return fmt.Errorf("%q: a JSON %v does not fit %v", name, semantic.JSONKind, semantic.GoType)
	}
	return errors.New("expected a pointer to a struct or a map")
}
