package jwks

import "crypto"

// ReadSet lets the fuzz test reach the reader without a fetch per input.
func ReadSet(document []byte) (keys []crypto.PublicKey, answers [][]crypto.PublicKey, err error) {
	set, _, err := readSet(document)
	if err != nil {
		return nil, nil, err
	}
	for _, answer := range set.keys {
		answers = append(answers, answer)
		keys = append(keys, answer...)
	}
	return keys, answers, nil
}

// Remembered counts the kids that were asked for in vain.
func Remembered(c *Cache) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.budget.vain)
}

// SmallOrder is the list of refused Ed25519 points, in hex.
var SmallOrder = smallOrder
