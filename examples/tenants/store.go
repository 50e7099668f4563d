package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

//go:embed schema.sql
var schema string

// A tenant is a row of the table, without the secret. If two of these values are equal,
// nothing of the tenant has changed that its Issuer is made of.
type tenant struct {
	id         string
	host       string
	issuer     string
	introspect string // the introspection endpoint, or "" if the tokens are JWTs
	clientID   string // ours, at that endpoint
}

// A note is a row that belongs to one tenant.
type note struct {
	id   int64
	By   string `json:"by"`
	Text string `json:"text"`
}

// A store is the database. It is safe for concurrent use.
type store struct {
	db  *sql.DB
	key cipher.AEAD
}

// openStore opens the database, and creates it if the file does not exist. The key, of 32
// bytes, encrypts the client secrets. It should come from a key service or from the
// secrets of the deployment, so that a copy of the database is not enough to read them.
func openStore(file string, key []byte) (*store, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	db, err := driver.Open("file:" + file + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	if _, err := db.Exec(schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &store{db, aead}, nil
}

func (s *store) Close() error { return s.db.Close() }

// version returns a number that changes with every change of the tenants.
func (s *store) version(ctx context.Context) (version int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT n FROM version").Scan(&version)
	return version, err
}

func (s *store) tenants(ctx context.Context) (all []tenant, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, host, issuer, introspect, client_id FROM tenants ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t tenant
		if err := rows.Scan(&t.id, &t.host, &t.issuer, &t.introspect, &t.clientID); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// errConflict means that the table does not accept a row.
var errConflict = errors.New("the id must be made of a-z, 0-9 and -, and no other tenant may have the id, the host or the issuer")

// put adds a tenant or replaces it. The secret is for introspection, and may be empty.
func (s *store) put(ctx context.Context, t tenant, secret string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO tenants (id, host, issuer, introspect, client_id, secret) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET (host, issuer, introspect, client_id, secret)
		= (excluded.host, excluded.issuer, excluded.introspect, excluded.client_id, excluded.secret)`,
		t.id, t.host, t.issuer, t.introspect, t.clientID, s.key.Seal(nil, nil, []byte(secret), t.bound()))
	if errors.Is(err, sqlite3.CONSTRAINT) {
		return errConflict
	}
	return err
}

// remove removes a tenant, with its secret. Its notes stay, because only tokens of its
// issuer lead to them.
func (s *store) remove(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM tenants WHERE id = ?", id)
	return err
}

// secret returns the secret with which we authenticate ourselves at the tenant's
// introspection endpoint.
func (s *store) secret(ctx context.Context, t tenant) (string, error) {
	var sealed []byte
	if err := s.db.QueryRowContext(ctx, "SELECT secret FROM tenants WHERE id = ?", t.id).Scan(&sealed); err != nil {
		return "", err
	}
	secret, err := s.key.Open(nil, nil, sealed, t.bound())
	return string(secret), err
}

// bound is what a sealed secret belongs to. An attacker who can write to the table, but
// lacks the key, could otherwise have the secret sent to an endpoint of their own.
func (t tenant) bound() []byte {
	return fmt.Appendf(nil, "%q %q %q", t.issuer, t.introspect, t.clientID)
}

// notes returns the notes of an issuer's users that are newer than the given one.
func (s *store) notes(ctx context.Context, issuer string, after int64) (all []note, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, by, text FROM notes WHERE issuer = ? AND id > ? ORDER BY id", issuer, after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n note
		if err := rows.Scan(&n.id, &n.By, &n.Text); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

func (s *store) addNote(ctx context.Context, issuer string, n note) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO notes (issuer, by, text) VALUES (?, ?, ?)", issuer, n.By, n.Text)
	return err
}
