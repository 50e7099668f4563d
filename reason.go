package accesstoken

// A Reason says why a request was refused. It is also an error, so [errors.Is] finds
// it:
//
//	if errors.Is(err, accesstoken.TokenExpired) { … }
//
// On gRPC, the text of a Reason is the reason of google.rpc.ErrorInfo. If a Reason
// would tell an attacker which check a forged token failed, clients see
// [TokenInvalid] instead. The log and the returned error have the exact Reason.
type Reason string

// The reasons. A table in outcome.go has the HTTP status, OAuth error code and gRPC
// code of each.
const (
	CredentialsMissing   Reason = "CREDENTIALS_MISSING"   // no credentials at all
	SchemeUnsupported    Reason = "SCHEME_UNSUPPORTED"    // another scheme, such as Basic, or DPoP without Config.DPoP
	CredentialsMalformed Reason = "CREDENTIALS_MALFORMED" // not a scheme and a token68
	CredentialsAmbiguous Reason = "CREDENTIALS_AMBIGUOUS" // more than one Authorization line

	TokenTooLarge       Reason = "TOKEN_TOO_LARGE"       // over Config.MaxTokenSize
	TokenMalformed      Reason = "TOKEN_MALFORMED"       // a JWT that cannot be read, or another token that no issuer introspects
	AlgorithmNotAllowed Reason = "ALGORITHM_NOT_ALLOWED" // alg is not on the issuer's list, or does not go with the key
	TokenTypeMismatch   Reason = "TOKEN_TYPE_MISMATCH"   // an ID token, a proof or another kind of JWT, or a token with a critical header
	IssuerUnknown       Reason = "ISSUER_UNKNOWN"        // iss is not configured
	KeyNotFound         Reason = "KEY_NOT_FOUND"         // the issuer has no key with this kid and alg
	SignatureInvalid    Reason = "SIGNATURE_INVALID"     // signed with another key, or tampered with
	TokenExpired        Reason = "TOKEN_EXPIRED"         // exp plus Leeway has passed
	TokenNotYetValid    Reason = "TOKEN_NOT_YET_VALID"   // nbf or iat is in the future
	AudienceMismatch    Reason = "AUDIENCE_MISMATCH"     // aud does not name this resource server, or not it alone with SingleAudience
	ClaimInvalid        Reason = "CLAIM_INVALID"         // a required claim is missing, or a claim has a wrong type or value
	TokenInactive       Reason = "TOKEN_INACTIVE"        // the authorization server reports it as inactive, without a cause

	BindingRequired        Reason = "BINDING_REQUIRED"         // the token is bound to a DPoP key but sent as a bearer token, or is not bound but must be
	BindingMismatch        Reason = "BINDING_MISMATCH"         // the proof is of another key, or the bound client certificate was not presented
	DPoPProofInvalid       Reason = "DPOP_PROOF_INVALID"       // the proof is missing or invalid, or is not for this request (RFC 9449 §4.3)
	DPoPProofReplayed      Reason = "DPOP_PROOF_REPLAYED"      // the proof was used before
	DPoPNonceRequired      Reason = "DPOP_NONCE_REQUIRED"      // the proof has no nonce, or one that is not valid now
	StepUpRequired         Reason = "STEP_UP_REQUIRED"         // the login is too weak or too old for the policy (RFC 9470)
	TransportInsecure      Reason = "TRANSPORT_INSECURE"       // reserved: credentials over cleartext
	ScopeInsufficient      Reason = "SCOPE_INSUFFICIENT"       // the token lacks a scope that the policy demands
	PolicyDenied           Reason = "POLICY_DENIED"            // the application refused with Deny, the caller or its actor is not one that the policy accepts, a login cannot help or lacks a method, or a gRPC method has no rule
	OriginRefused          Reason = "ORIGIN_REFUSED"           // a web page of another origin, or another Host; see integrations/mcpauth
	ReplayStoreUnavailable Reason = "REPLAY_STORE_UNAVAILABLE" // it is not known whether a proof was used before
	StatusUnavailable      Reason = "STATUS_UNAVAILABLE"       // an Accept or a handler could not find out

	AuthorizationDetailsInsufficient Reason = "AUTHORIZATION_DETAILS_INSUFFICIENT" // authorization_details lack what the policy or a handler demands (RFC 9396)

	KeysUnavailable             Reason = "KEYS_UNAVAILABLE"              // the issuer's keys could not be fetched, or the validator is closed
	IntrospectionUnavailable    Reason = "INTROSPECTION_UNAVAILABLE"     // the introspection endpoint gave no usable answer
	IssuerUnavailable           Reason = "ISSUER_UNAVAILABLE"            // the issuer's metadata could not be fetched
	ResourceServerMisconfigured Reason = "RESOURCE_SERVER_MISCONFIGURED" // our own setting is wrong; see the log
	InternalError               Reason = "INTERNAL_ERROR"                // a hook or a key source panicked, or an error is unknown

	// TokenInvalid is what clients see in place of a Reason that would tell which check
	// a forged token failed. A Validator never chooses it for an *Error.
	TokenInvalid Reason = "TOKEN_INVALID"

	// Unavailable matches every error that means "we could not find out". The token may
	// be good, so the client should try again with it. Such an error is never a 401.
	Unavailable Reason = "UNAVAILABLE"
)

// Error returns the reason's text.
func (r Reason) Error() string { return string(r) }
