package dialect

import "github.com/accesstoken/accesstoken/internal/shape"

// A Mark is one demand on a token. The functions of this package make it. A Mark is
// data: it prints what it demands, and two marks are equal if they were made from equal
// arguments.
type Mark struct{ shape.Mark }

// Has demands that all the claims are there, and that none of them is null.
func Has(claims ...string) Mark { return Mark{shape.Has(claims...)} }

// Without demands that none of the claims is there, not even as null. If a JWT is also
// introspected, the answer must not have them either, except as null or if the claim is
// azp, because an answer may name any token's client there.
func Without(claims ...string) Mark { return Mark{shape.Without(claims...)} }

// Is demands that a claim has one of the values, each a string, a bool or an integer. A
// claim of another type never matches: the number 2 is not the string "2". Numbers are
// compared by value, so 2.0 is 2. An array never matches, whatever is in it.
func Is(claim string, values ...any) Mark { return Mark{shape.Is(claim, values...)} }

// HasPrefix demands that a claim is a string that begins with the prefix.
func HasPrefix(claim, prefix string) Mark { return Mark{shape.HasPrefix(claim, prefix)} }

// AnyOf demands that at least one of the marks holds.
func AnyOf(marks ...Mark) Mark { return Mark{shape.AnyOf(bare(marks)...)} }

// AudienceBeyondClient demands that aud names more than the token's own client. The aud
// of most ID tokens names the client alone, and an ID token whose aud names more should
// have azp. So AudienceBeyondClient and Without("azp") together take the place of the
// demand that aud does not name the client.
func AudienceBeyondClient() Mark { return Mark{shape.AudienceBeyondClient()} }
