package dpop

import "strings"

// Normalize returns the one spelling of a URI.
var Normalize = normalize

// Knows reports whether the verifier recalls the signer of a proof.
func Knows(v *Verifier, proof string) bool {
	header, _, _ := strings.Cut(proof, ".")
	return v.signers.Get(v.signers.KeyOf(header)) != nil
}

// Held returns how many proofs and clients a Memory holds.
func Held(m *Memory) (proofs, clients int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.used), len(m.clients)
}
