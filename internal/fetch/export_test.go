package fetch

import "context"

// NewPublicBy is NewPublic by way of a dialer: its resolver, its own address.
var NewPublicBy = newPublic

// IsPublic is what NewPublic thinks of host:port.
func IsPublic(network, address string) bool {
	return refuseNotPublic(context.Background(), network, address, nil) == nil
}
