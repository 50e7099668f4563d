package accesstoken_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// targets are what handlers decode claims into.
var targets = []func() any{
	func() any { return &map[string]any{} },
	func() any { return &map[string]json.RawMessage{} },
	func() any {
		return &struct {
			Groups []string `json:"groups"`
			Nested map[string][]any
			Raw    json.RawMessage `json:"realm_access"`
			Bytes  []byte          `json:"blob"`
		}{}
	},
}

// spoiled writes into the very bytes that it is handed to read.
type spoiled struct{}

func (*spoiled) UnmarshalJSON(text []byte) error {
	spoil(reflect.ValueOf(text), 0)
	return nil
}

// spoil overwrites whatever memory a value leads to, and cannot be told that it
// must not. It knows no type, so that it reaches what is added later.
func spoil(v reflect.Value, depth int) {
	if !v.IsValid() || depth > 8 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		spoil(v.Elem(), depth+1)
	case reflect.Slice:
		for i := range v.Slice(0, v.Cap()).Len() {
			element := v.Slice(0, v.Cap()).Index(i)
			spoil(element, depth+1)
			element.Set(other(element))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			spoil(v.MapIndex(key), depth+1)
			v.SetMapIndex(key, other(v.MapIndex(key)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() && v.Type().Field(i).IsExported() {
				spoil(field, depth+1)
				field.Set(other(field))
			}
		}
		callAll(v, depth+1)
	}
}

// other returns a value of the type, as unlike as it can be.
func other(v reflect.Value) reflect.Value {
	changed := reflect.New(v.Type()).Elem()
	switch {
	case v.Kind() == reflect.String:
		changed.SetString("poisoned")
	case v.CanInt():
		changed.SetInt(^v.Int())
	case v.CanUint():
		changed.SetUint(uint64('X'))
	case v.Kind() == reflect.Bool:
		changed.SetBool(!v.Bool())
	}
	return changed
}

// callAll calls the exported methods that this module gave a value, and spoils
// what they return. Of others there are too many, and they are not ours.
func callAll(v reflect.Value, depth int) {
	if depth > 8 || !strings.HasPrefix(v.Type().PkgPath(), "github.com/accesstoken/accesstoken") {
		return
	}
	for i := range v.NumMethod() {
		for _, arguments := range argumentsFor(v.Method(i).Type()) {
			for _, result := range v.Method(i).Call(arguments) {
				spoil(result, depth+1)
			}
			for _, argument := range arguments {
				spoil(argument, depth+1)
			}
		}
	}
}

// argumentsFor returns the calls that a method of no parameter, or of one that
// points somewhere, is good for.
func argumentsFor(method reflect.Type) (calls [][]reflect.Value) {
	switch {
	case method.NumIn() == 0:
		return [][]reflect.Value{{}}
	case method.NumIn() > 1:
		return nil
	case method.In(0).Kind() == reflect.Pointer:
		return [][]reflect.Value{{reflect.New(method.In(0).Elem())}}
	case method.In(0) == reflect.TypeFor[any]():
		for _, target := range targets {
			calls = append(calls, []reflect.Value{reflect.ValueOf(target())})
		}
	}
	return calls
}

// A method of another shape would be left out by spoil without a word.
func TestEveryMethodOfClaimsIsTried(t *testing.T) {
	claims := reflect.TypeFor[*accesstoken.Claims]()
	tried := 0
	for i := range claims.NumMethod() {
		method := claims.Method(i)
		bound := reflect.ValueOf(&accesstoken.Claims{}).Method(i)
		if argumentsFor(bound.Type()) == nil && method.Name != "Format" {
			t.Errorf("Claims.%s is called by no handler here; want it in argumentsFor", method.Name)
		}
		tried++
	}
	if tried < 6 {
		t.Errorf("got %d methods; want those of Claims", tried)
	}
}

// readingOf is all that claims say: their fields, and what their methods return.
func readingOf(claims accesstoken.Claims) string {
	var b strings.Builder
	fmt.Fprintln(&b, claims.Issuer, claims.Subject, claims.ClientID, claims.ID, claims.Expiry.UTC(), claims.IssuedAt.UTC())
	v := reflect.ValueOf(claims)
	for i := range v.NumMethod() {
		for _, arguments := range argumentsFor(v.Method(i).Type()) {
			for _, value := range append(v.Method(i).Call(arguments), arguments...) {
				fmt.Fprintf(&b, "%s: %s\n", v.Type().Method(i).Name, written(value))
			}
		}
	}
	return b.String()
}

// written prints a value down to the ground.
func written(v reflect.Value) string {
	if text, err := json.Marshal(v.Interface()); err == nil && string(text) != "{}" {
		return string(text)
	}
	return fmt.Sprintf("%v", v.Interface())
}

// Readings are what the handlers found before they spoilt it.
type readings struct {
	mu    sync.Mutex
	found []string
}

// read reads the claims of a request, and spoils whatever it can reach.
func (r *readings) read(ctx context.Context) {
	claims, _ := accesstoken.FromContext(ctx)
	reading := readingOf(claims)
	spoil(reflect.ValueOf(&claims), 0)
	if again, _ := accesstoken.FromContext(ctx); readingOf(again) != reading {
		reading = "spoilt for the same request: " + readingOf(again)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, reading)
}

// handle is for the last handler of a request: it writes into the bytes that its
// claims are read from as well, which no UnmarshalJSON may.
func (r *readings) handle(ctx context.Context) {
	r.read(ctx)
	claims, _ := accesstoken.FromContext(ctx)
	_ = claims.Decode(&struct {
		Own spoiled `json:"address"`
	}{})
}

// poisonCarriers make a request with the line, over each adapter.
func poisonCarriers(t *testing.T, v *accesstoken.Validator, found *readings) map[string]func(line string) {
	t.Helper()
	policy := accesstoken.Policy{Scopes: scopes.All("read")}
	serve := func(h http.Handler) func(string) {
		return func(line string) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", line)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	auth := middleware.New(v, nil)
	e := echo.New()
	e.GET("/", func(c echo.Context) error { found.handle(c.Request().Context()); return nil }, echoauth.New(v, nil).RequirePolicy(policy).Wrap)
	interceptors, err := grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/poison.Service/*": policy}})
	if err != nil {
		t.Fatal(err)
	}
	incoming := func(line string) context.Context {
		return metadata.NewIncomingContext(context.Background(), metadata.MD{"authorization": {line}})
	}
	return map[string]func(string){
		"net/http": serve(auth.RequirePolicy(policy).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { found.handle(r.Context()) }))),
		"net/http, wrapped twice": serve(auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			found.read(r.Context())
			auth.RequirePolicy(policy).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { found.handle(r.Context()) })).ServeHTTP(w, r)
		}))),
		"Echo": serve(e),
		"gRPC, unary": func(line string) {
			_, _ = interceptors.UnaryInterceptor(incoming(line), nil, &grpc.UnaryServerInfo{FullMethod: "/poison.Service/Call"}, func(ctx context.Context, _ any) (any, error) {
				found.handle(ctx)
				return nil, nil
			})
		},
		"gRPC, a stream": func(line string) {
			_ = interceptors.StreamInterceptor(nil, &call{ctx: incoming(line)}, &grpc.StreamServerInfo{FullMethod: "/poison.Service/Call"}, func(_ any, stream grpc.ServerStream) error {
				found.handle(stream.Context())
				return nil
			})
		},
	}
}

// Handlers that overwrite all that they can reach of their claims, at the same
// time and one after another, change nothing for anybody else with the same
// token: neither for one that is a JWT, nor for one whose answer is kept.
func TestNoHandlerPoisonsAnother(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := accesstokentest.Claims{
		"scope": "read write", "aud": []string{resource, "https://other.example"}, "groups": []string{"a", "b"}, "blob": []byte("bytes"), "address": "somewhere",
		"realm_access": object{"roles": []any{"x", object{"deep": []any{1, "y"}}}}, "Nested": object{"a": []any{1, 2}}, "roles": []string{"r"},
	}
	for name, line := range map[string]string{"a JWT": "Bearer " + as.Token(claims), "introspected": "Bearer " + as.Opaque(claims)} {
		t.Run(name, func(t *testing.T) {
			client := introspecting(t, as, cachedFor(time.Minute))
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = client })
			credentials := accesstoken.CredentialsFrom(http.Header{"Authorization": {line}})
			untouched, err := v.Validate(t.Context(), credentials)
			if err != nil {
				t.Fatal(err)
			}
			want := readingOf(untouched)
			for carrier, ask := range poisonCarriers(t, v, new(readings)) {
				ask(line) // the first one to spoil it
				found := new(readings)
				ask = poisonCarriers(t, v, found)[carrier]
				var handlers sync.WaitGroup
				for range 4 {
					handlers.Go(func() {
						for range 5 {
							ask(line)
						}
					})
				}
				handlers.Wait()
				if len(found.found) < 20 {
					t.Fatalf("%s: got %d handlers that ran; want 20 at the least", carrier, len(found.found))
				}
				if i := slices.IndexFunc(found.found, func(reading string) bool { return reading != want }); i >= 0 {
					t.Errorf("%s: got\n%s\nwant what an untouched one reads,\n%s", carrier, found.found[i], want)
				}
			}
			if got := readingOf(untouched); got != want {
				t.Errorf("claims that were kept: got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What the test spoils is what it says: without that it would show nothing.
func TestSpoilReachesEverything(t *testing.T) {
	claims := accesstoken.Claims{Subject: "alice"}
	spoil(reflect.ValueOf(&claims), 0)
	list := append(make([]string, 0, 4), "a", "b")
	spoil(reflect.ValueOf(list[:1]), 0)
	nested := map[string]any{"a": []any{"b"}, "c": &struct{ D []byte }{[]byte("d")}}
	inner, bytesInside := nested["a"].([]any), nested["c"].(*struct{ D []byte }).D
	spoil(reflect.ValueOf(nested), 0)
	if claims.Subject != "poisoned" || list[1] != "poisoned" || inner[0] != nil || !bytes.Equal(bytesInside, []byte("X")) || nested["a"] != nil {
		t.Errorf("got %q, %q, %v, %q, %v; want everything spoilt", claims.Subject, list[:2], inner, bytesInside, nested)
	}
}
