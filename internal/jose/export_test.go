package jose

// SmallOrder is the list of refused Ed25519 points, in hex.
var SmallOrder = smallOrder

// Len returns the number of cached headers.
func (h *Headers) Len() int {
	known := h.known.Load()
	if known == nil {
		return 0
	}
	return len(*known)
}
