package jwks_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/jwks"
)

// Every key that is used stands in the document, as encoding/json reads it,
// bearing no private member and meant to verify; and a document with one key of
// the document that is used is enough to use that key.
func FuzzKeysAreInTheDocument(f *testing.F) {
	good := jwk(&ecKey().PublicKey, "b", nil)
	f.Add([]byte(document(jwk(&rsaKey().PublicKey, "a", nil), good, jwk(edKey().Public(), "c", members{"alg": "Ed25519"}))))
	f.Add([]byte(document(jwk(&ecKey().PublicKey, "b", members{"use": "enc"}), jwk(edKey().Public(), "c", members{"key_ops": []string{"sign"}}))))
	f.Add([]byte(document(jwk(&ecKey().PublicKey, "b", members{"d": "AA"}), jwk(edKey().Public(), "", members{"use": nil}))))
	f.Add([]byte(document(jwk(&ecKey().PublicKey, "b", members{"KTY": "oct", "Use": "enc", "y": good["x"]}), good)))
	f.Add([]byte(`{"KEYS":[],"keys":[{}],"k\u0065ys2":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, _, err := jwks.ReadSet(body)
		if err != nil {
			return
		}
		published := elementsOf(t, body)
		for _, key := range keys {
			i := slices.IndexFunc(published, func(m map[string]any) bool { return mayVerify(m) && isKey(m, key) })
			if i < 0 {
				t.Fatalf("%.500q: got the key %v; want one that stands there for anybody to verify with", body, key)
			}
			alone, err := json.Marshal(map[string]any{"keys": published[i : i+1]})
			if err != nil {
				t.Fatal(err)
			}
			if again, _, err := jwks.ReadSet(alone); err != nil || len(again) == 0 || !isKey(published[i], again[0]) {
				t.Errorf("%.500q: got %d keys, %v; want the one", alone, len(again), err)
			}
		}
	})
}

// elementsOf returns the objects in "keys".
func elementsOf(t *testing.T, body []byte) (objects []map[string]any) {
	t.Helper()
	var document map[string]json.RawMessage
	var elements []json.RawMessage
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatalf("%.500q was accepted; encoding/json says %v", body, err)
	}
	if err := json.Unmarshal(document["keys"], &elements); err != nil {
		t.Fatalf("%.500q was accepted; encoding/json says %v", body, err)
	}
	for _, element := range elements {
		decoder, object := json.NewDecoder(bytes.NewReader(element)), map[string]any{}
		decoder.UseNumber() // 1e999 is a number too
		if decoder.Decode(&object) == nil {
			objects = append(objects, object)
		}
	}
	return objects
}

// mayVerify holds a JWK against RFC 7517 §4.2 and §4.3, and keeps away from
// those that are no secret any more.
func mayVerify(m map[string]any) bool {
	for _, private := range strings.Fields("d p q dp dq qi oth k priv") {
		if m[private] != nil {
			return false
		}
	}
	operations, limited := m["key_ops"].([]any)
	return (m["use"] == nil || m["use"] == "sig") && (!limited || slices.Contains(operations, any("verify")))
}

// isKey compares the values of a JWK (RFC 7518 §6.2, §6.3; RFC 8037 §2) with a
// key.
func isKey(m map[string]any, key crypto.PublicKey) bool {
	value := func(name string) []byte {
		text, _ := m[name].(string)
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return nil
		}
		return raw
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return m["kty"] == "RSA" && new(big.Int).SetBytes(value("n")).Cmp(key.N) == 0 && new(big.Int).SetBytes(value("e")).Cmp(big.NewInt(int64(key.E))) == 0
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		return err == nil && m["kty"] == "EC" && m["crv"] == key.Params().Name && bytes.Equal(slices.Concat([]byte{4}, value("x"), value("y")), point)
	case ed25519.PublicKey:
		return m["kty"] == "OKP" && m["crv"] == "Ed25519" && bytes.Equal(value("x"), key)
	}
	return false
}
