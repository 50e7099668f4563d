package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/introspection"
)

// settings are the content of a -config file: what of accesstoken.Config can be written down.
type settings struct {
	Resource   string           `json:"resource"`
	Audience   []string         `json:"audience"`
	Leeway     duration         `json:"leeway"`
	TokenField string           `json:"token_field"`
	Issuers    []issuerSettings `json:"issuers"`

	folder string // of the file, for the files that it names
}

// issuerSettings are one issuer of the file. The names are those of accesstoken.Issuer.
type issuerSettings struct {
	URL              string                 `json:"url"`
	Name             string                 `json:"name"`
	Aliases          []string               `json:"aliases"`
	MetadataURL      string                 `json:"metadata_url"`
	JWKSURI          string                 `json:"jwks_uri"`
	JWKSFile         string                 `json:"jwks_file"` // in place of a fetch
	Audience         []string               `json:"audience"`
	SingleAudience   bool                   `json:"single_audience"`
	Algorithms       []string               `json:"algorithms"`
	Profile          string                 `json:"profile"`
	Dialect          *dialectSettings       `json:"dialect"`
	Clients          []string               `json:"clients"`
	Tenants          []string               `json:"tenants"`
	Demand           map[string][]string    `json:"demand"`
	MaxAge           duration               `json:"max_age"`
	MaxLifetime      duration               `json:"max_lifetime"`
	TokenPrefix      string                 `json:"token_prefix"`
	AlwaysIntrospect bool                   `json:"always_introspect"`
	Introspection    *introspectionSettings `json:"introspection"`
	AllowHTTP        bool                   `json:"dangerously_allow_http"`
	NoAudience       bool                   `json:"dangerously_accept_no_audience"`
}

// dialectSettings are a dialect.Dialect without its marks.
type dialectSettings struct {
	Name         string   `json:"name"`
	Types        []string `json:"types"`
	Client       []string `json:"client"`
	Scope        []string `json:"scope"`
	ScopeArray   bool     `json:"scope_array"`
	ID           string   `json:"id"`
	Tenant       string   `json:"tenant"`
	Groups       string   `json:"groups"`
	Roles        string   `json:"roles"`
	Entitlements string   `json:"entitlements"`
	Optional     []string `json:"optional"`
	IDTokens     bool     `json:"id_tokens"`
	KindHas      []string `json:"kind_has"` // dialect.Has
}

type introspectionSettings struct {
	Endpoint   string `json:"endpoint"`
	ClientID   string `json:"client_id"`
	SecretFile string `json:"client_secret_file"`
}

// A duration is a text such as "30s" in JSON.
type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("expected a duration such as \"30s\": %w", err)
	}
	parsed, err := time.ParseDuration(s)
	*d = duration(parsed)
	return err
}

// read reads the settings from a file.
func (s *settings) read(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: something follows after the object", name)
	}
	s.folder = filepath.Dir(name)
	return nil
}

// config returns the Config. If online is false, an issuer needs the file of its keys.
func (s *settings) config(online bool) (accesstoken.Config, error) {
	config := accesstoken.Config{Resource: s.Resource, Audience: s.Audience, Leeway: time.Duration(s.Leeway), TokenField: s.TokenField}
	for n, i := range s.Issuers {
		issuer, err := i.issuer(s.folder, online)
		if err != nil {
			return config, fmt.Errorf("issuers[%d] %q: %w", n, i.URL, err)
		}
		config.Issuers = append(config.Issuers, issuer)
	}
	return config, nil
}

func (i *issuerSettings) issuer(folder string, online bool) (accesstoken.Issuer, error) {
	issuer := accesstoken.Issuer{
		URL: i.URL, Name: i.Name, Aliases: i.Aliases, MetadataURL: i.MetadataURL, JWKSURI: i.JWKSURI, Audience: i.Audience,
		SingleAudience: i.SingleAudience, Algorithms: i.Algorithms, Clients: i.Clients, Tenants: i.Tenants, Demand: i.Demand,
		MaxAge: time.Duration(i.MaxAge), MaxLifetime: time.Duration(i.MaxLifetime), TokenPrefix: i.TokenPrefix,
		AlwaysIntrospect: i.AlwaysIntrospect, Dialect: i.Dialect.dialect(),
		DangerouslyAllowHTTP: i.AllowHTTP, DangerouslyAcceptNoAudience: i.NoAudience,
	}
	var err error
	if issuer.Profile, err = profileOf(i.Profile); err != nil {
		return issuer, err
	}
	if i.Introspection != nil {
		if issuer.Introspection, err = i.Introspection.client(folder, online); err != nil {
			return issuer, err
		}
	}
	switch {
	case i.JWKSFile != "":
		return issuer, i.keysFromFile(&issuer, folder)
	case !online:
		return issuer, fmt.Errorf("there are no keys: name a file of the issuer's key set with -jwks or jwks_file, or allow with -online to fetch %s", i.fetched())
	}
	return issuer, nil
}

// fetched returns the address that a Validator would fetch first, or "" if the keys are in
// a file.
func (i *issuerSettings) fetched() string {
	if i.JWKSFile != "" {
		return ""
	}
	return cmp.Or(i.JWKSURI, i.MetadataURL, "the metadata of "+i.URL)
}

// keysFromFile has the keys read from a file as they would be from the issuer.
func (i *issuerSettings) keysFromFile(issuer *accesstoken.Issuer, folder string) error {
	set, err := os.ReadFile(within(folder, i.JWKSFile))
	if err != nil {
		return err
	}
	issuer.MetadataURL, issuer.JWKSURI = "", cmp.Or(i.JWKSURI, "https://jwks.invalid/")
	issuer.HTTPClient = &http.Client{Transport: fileTransport(set)}
	return nil
}

// fileTransport answers every request with a key set, without a connection.
type fileTransport []byte

func (f fileTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/jwk-set+json"}}, Body: io.NopCloser(bytes.NewReader(f)), ContentLength: int64(len(f)),
	}, nil
}

// within returns the path of a file that another file names.
func within(folder, name string) string {
	if folder == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(folder, name)
}

func (d *dialectSettings) dialect() *dialect.Dialect {
	if d == nil {
		return nil
	}
	made := &dialect.Dialect{
		Name: d.Name, Types: d.Types, Client: d.Client, Scope: d.Scope, ScopeArray: d.ScopeArray, ID: d.ID, Tenant: d.Tenant,
		Groups: d.Groups, Roles: d.Roles, Entitlements: d.Entitlements, Optional: d.Optional, IDTokens: d.IDTokens,
	}
	if d.KindHas != nil {
		made.Kind = []dialect.Mark{dialect.Has(d.KindHas...)}
	}
	return made
}

// profileOf returns the profile of a name. The empty name is RFC9068.
func profileOf(name string) (accesstoken.Profile, error) {
	var names []string
	for p := accesstoken.RFC9068; p.Dialect() != nil; p++ {
		own, _, _ := strings.Cut(p.String(), " ")
		if strings.EqualFold(own, name) || name == "" {
			return p, nil
		}
		names = append(names, own)
	}
	return 0, fmt.Errorf("there is no profile %q; expected one of %s", name, strings.Join(names, ", "))
}

func (i *introspectionSettings) client(folder string, online bool) (*introspection.Client, error) {
	if !online {
		return nil, errors.New("introspection needs -online")
	}
	secret, err := os.ReadFile(within(folder, i.SecretFile))
	if err != nil {
		return nil, fmt.Errorf("client_secret_file: %w", err)
	}
	return introspection.NewClient(introspection.Config{Endpoint: i.Endpoint, ClientID: i.ClientID, ClientSecret: strings.TrimRight(string(secret), "\r\n")})
}
