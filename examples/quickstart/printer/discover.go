package printer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// A server has the endpoints of an authorization server (RFC 8414 §2).
type server struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
}

// discover finds the authorization server of the drive, of which the client knows only the
// URL (RFC 9728 §5).
func (p *Printer) discover(ctx context.Context, flow *journal.Flow) (server, error) {
	record := func(e journal.Exchange) { flow.Record(journal.RequestsAuthorization, e) }
	refused, _, err := get(ctx, p.client("The client asks the drive without a token", record), p.config.Resource)
	if err != nil {
		return server{}, err
	}
	documents := resourcemetadata.Client{HTTPClient: p.client("The client reads the drive's metadata", record)}
	document, err := documents.Get(ctx, p.config.Resource, resourcemetadata.FromChallenge(refused.Header))
	if err != nil {
		return server{}, err
	}
	// The client is registered at one server. A secret must not go to any other that a drive names.
	if !slices.Contains(document.AuthorizationServers, p.config.Issuer) {
		return server{}, fmt.Errorf("the drive's authorization servers are %q; this client is registered at %s", document.AuthorizationServers, p.config.Issuer)
	}
	found, raw, err := p.metadata(ctx, p.client("The client reads the authorization server's metadata", record))
	if err != nil {
		return server{}, err
	}
	return found, document.CheckServer(raw)
}

// metadata returns the metadata of the authorization server (RFC 8414 §3).
func (p *Printer) metadata(ctx context.Context, client *http.Client) (server, []byte, error) {
	at, err := url.Parse(p.config.Issuer)
	if err != nil {
		return server{}, nil, err
	}
	at.Path = "/.well-known/oauth-authorization-server" + at.Path
	response, raw, err := get(ctx, client, at.String())
	if err != nil {
		return server{}, nil, err
	}
	var found server
	if err := json.Unmarshal(raw, &found); err != nil || response.StatusCode != http.StatusOK {
		return server{}, nil, fmt.Errorf("the authorization server answered %s; want its metadata", response.Status)
	}
	if found.Issuer != p.config.Issuer { // RFC 8414 §3.3
		return server{}, nil, fmt.Errorf("the metadata is of %q; want %q", found.Issuer, p.config.Issuer)
	}
	return found, raw, nil
}

func get(ctx context.Context, client *http.Client, target string) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return response, body, err
}

// client returns a client whose exchanges are recorded. It follows no redirects.
func (p *Printer) client(title string, record func(journal.Exchange)) *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		Transport:     journal.Transport{Base: p.config.Transport, Title: title, Record: record},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
