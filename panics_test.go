package accesstoken_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
)

// panickingKeys panics with a text that holds a token.
type panickingKeys struct{}

func (panickingKeys) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	panic("keys: " + canary)
}
func (panickingKeys) Warm(context.Context) error { panic("warm: " + canary) }
func (panickingKeys) Ready() error               { panic(errors.New("ready: " + canary)) }

type panickingTransport struct{}

func (panickingTransport) RoundTrip(*http.Request) (*http.Response, error) {
	panic("transport: " + canary)
}

// A lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestAPanicNeverPutsItsValueIntoAnErrorOrTheLog(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	said := func(err error) string {
		if err == nil {
			return "nil"
		}
		return err.Error()
	}
	newValidator := func(t *testing.T, config accesstoken.Config) *accesstoken.Validator {
		config.Resource, config.Logger = "https://api.example.com", logger
		v, err := accesstoken.NewValidator(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = v.Close() })
		return v
	}
	withKeys := func(keys accesstoken.KeySource) accesstoken.Config {
		return accesstoken.Config{Issuers: []accesstoken.Issuer{{URL: as.URL, Keys: keys}}}
	}
	token := as.Token(accesstokentest.Claims{"aud": "https://api.example.com"})
	for _, test := range []struct {
		name string
		text func(t *testing.T) string
	}{
		{"a key source", func(t *testing.T) string {
			_, err := newValidator(t, withKeys(panickingKeys{})).Validate(t.Context(), accesstoken.Bearer(token))
			return said(err)
		}},
		{"a key source that is warmed", func(t *testing.T) string {
			return said(newValidator(t, withKeys(panickingKeys{})).Warm(t.Context()))
		}},
		{"a key source that is asked whether it is ready", func(t *testing.T) string {
			return said(newValidator(t, withKeys(panickingKeys{})).Ready())
		}},
		{"an HTTP client", func(t *testing.T) string {
			v := newValidator(t, accesstoken.Config{
				Issuers:    []accesstoken.Issuer{{URL: as.URL}},
				HTTPClient: &http.Client{Transport: panickingTransport{}},
			})
			return said(v.Warm(t.Context()))
		}},
		{"an OnRefuse", func(t *testing.T) string {
			config := withKeys(panickingKeys{})
			config.OnRefuse = func(context.Context, *accesstoken.Error) { panic(canary) }
			_, err := newValidator(t, config).Validate(t.Context(), accesstoken.Bearer("none"))
			return said(err) + log.String()
		}},
		{"an OnFetch", func(t *testing.T) string {
			cache, err := jwks.NewCache(jwks.Config{
				Issuer: as.URL, HTTPClient: as.Client(), Logger: logger,
				OnFetch: func(jwks.Fetch) { panic(canary) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := cache.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			_ = cache.Close() // waits for the hook
			return log.String()
		}},
		{"a Body hook", func(t *testing.T) string {
			text := ""
			config := withKeys(panickingKeys{})
			config.OnRefuse = func(_ context.Context, refused *accesstoken.Error) { text += refused.Error() }
			auth := middleware.New(newValidator(t, config), &middleware.Options{
				Body: func(*http.Request, *accesstoken.Error) (string, []byte) { panic(canary) },
			})
			recorder := httptest.NewRecorder()
			auth.Wrap(http.NotFoundHandler()).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
			return text + recorder.Body.String()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.text(t)
			if !strings.Contains(text, "panicked") || strings.Contains(text, canary) {
				t.Errorf("got %s; want it to say that it panicked, and nothing of the panic's value", text)
			}
		})
	}
}
