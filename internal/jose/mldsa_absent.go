//go:build !go1.27

package jose

import (
	"crypto"
	"errors"
)

// crypto/mldsa came with Go 1.27.
var (
	postQuantum []string
	errAKP      = errors.New("its kty is AKP, which only programs built with Go 1.27 or later can use")
)

// ReadAKP returns an error: this program was built with a Go that has no ML-DSA.
func ReadAKP(alg, pub string) (crypto.PublicKey, error) { return nil, errAKP }

func writeAKP(crypto.PublicKey) (string, error) { return "", errKeyType }
