package main

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/accesstoken/accesstoken"
)

// putTenant adds or replaces a tenant. The row is checked before it is written.
func (p *product) putTenant(w http.ResponseWriter, r *http.Request, _ accesstoken.Claims) {
	var given struct{ Host, Issuer, Introspect, ClientID, ClientSecret string }
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	body.DisallowUnknownFields()
	if err := body.Decode(&given); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	t := tenant{r.PathValue("tenant"), given.Host, given.Issuer, given.Introspect, given.ClientID}
	if _, err := p.build(t); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	p.change(w, r, p.store.put(r.Context(), t, given.ClientSecret))
}

func (p *product) removeTenant(w http.ResponseWriter, r *http.Request, _ accesstoken.Claims) {
	p.change(w, r, p.store.remove(r.Context(), r.PathValue("tenant")))
}

// change answers once the change is in use here. Other replicas find it at their next
// tick.
func (p *product) change(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errConflict) {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if err == nil {
		err = p.refresh(r.Context())
	}
	if err != nil {
		p.fail(w, "could not change the tenants", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
