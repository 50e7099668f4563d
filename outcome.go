package accesstoken

import (
	"time"
)

// The gRPC codes of the table, because the root package does not import grpc.
const (
	grpcCanceled         = 1
	grpcDeadlineExceeded = 4
	grpcPermissionDenied = 7
	grpcInternal         = 13
	grpcUnavailable      = 14
	grpcUnauthenticated  = 16
)

// An outcome is what a client sees of a refusal.
type outcome struct {
	status    int    // HTTP
	code      uint32 // gRPC
	oauth     string // RFC 6750 §3.1 error code, or ""
	challenge bool   // WWW-Authenticate is sent
	coarse    bool   // the client sees TokenInvalid
	text      string // for people at the client; repeats no part of the token
}

// outcomes decides, for all transports, what a client sees of a reason. If the
// credential is missing or bad, the status is 401, or 400 if there are several
// Authorization lines or a malformed one. If the credential is good but not enough,
// it is 403. If we could not find out, it is 503, and the response must never look
// like invalid_token, because the client would throw a good token away. If this
// server is misconfigured or fails, it is 500.
var outcomes = map[Reason]outcome{
	CredentialsMissing:   {401, grpcUnauthenticated, "", true, false, "an access token is required"},
	SchemeUnsupported:    {401, grpcUnauthenticated, "", true, false, "this authentication scheme is not supported"},
	CredentialsMalformed: {400, grpcUnauthenticated, "invalid_request", true, false, "the credentials are malformed"},
	CredentialsAmbiguous: {400, grpcUnauthenticated, "invalid_request", true, false, "the request has more than one credential"},

	TokenTooLarge:       {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	TokenMalformed:      {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	AlgorithmNotAllowed: {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	TokenTypeMismatch:   {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	IssuerUnknown:       {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	KeyNotFound:         {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	SignatureInvalid:    {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	TokenNotYetValid:    {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	AudienceMismatch:    {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	ClaimInvalid:        {401, grpcUnauthenticated, "invalid_token", true, true, invalid},
	TokenExpired:        {401, grpcUnauthenticated, "invalid_token", true, false, "the access token expired"},
	TokenInactive:       {401, grpcUnauthenticated, "invalid_token", true, false, "the access token is not active"},

	BindingRequired:   {401, grpcUnauthenticated, "invalid_token", true, false, "the access token must be sent with proof of possession"},
	BindingMismatch:   {401, grpcUnauthenticated, "invalid_token", true, false, "the access token is bound to another key"},
	DPoPProofInvalid:  {401, grpcUnauthenticated, "invalid_dpop_proof", true, false, "the DPoP proof is invalid"},
	DPoPProofReplayed: {401, grpcUnauthenticated, "invalid_dpop_proof", true, false, "the DPoP proof was used before"},
	DPoPNonceRequired: {401, grpcUnauthenticated, "use_dpop_nonce", true, false, "the DPoP proof must carry the nonce"},
	StepUpRequired:    {401, grpcUnauthenticated, "insufficient_user_authentication", true, false, "a different authentication is required"},

	ScopeInsufficient:                {403, grpcPermissionDenied, "insufficient_scope", true, false, "the access token lacks a required scope"},
	AuthorizationDetailsInsufficient: {403, grpcPermissionDenied, "insufficient_scope", true, false, "the access token lacks required authorization details"},
	PolicyDenied:                     {403, grpcPermissionDenied, "", false, false, "access is denied"},
	OriginRefused:                    {403, grpcPermissionDenied, "", false, false, "the origin or the host is not allowed"},
	TransportInsecure:                {403, grpcPermissionDenied, "", false, false, "credentials must be sent over TLS"},

	KeysUnavailable:          {503, grpcUnavailable, "", false, false, unavailable},
	IntrospectionUnavailable: {503, grpcUnavailable, "", false, false, unavailable},
	IssuerUnavailable:        {503, grpcUnavailable, "", false, false, unavailable},
	ReplayStoreUnavailable:   {503, grpcUnavailable, "", false, false, unavailable},
	StatusUnavailable:        {503, grpcUnavailable, "", false, false, unavailable},

	ResourceServerMisconfigured: {500, grpcInternal, "", false, false, "the resource server is misconfigured"},
	InternalError:               {500, grpcInternal, "", false, false, "internal error"},
}

// insufficientAuthorization replaces the outcome of AuthorizationDetailsInsufficient with
// Config.DraftRARMetadataRemediation.
var insufficientAuthorization = outcome{401, grpcUnauthenticated, "insufficient_authorization", true, false, outcomes[AuthorizationDetailsInsufficient].text}

const (
	invalid     = "the access token is invalid"
	unavailable = "the access token could not be checked; try again"
)

// details tell the operator what was expected, for refusals without a text of their
// own.
var details = map[Reason]string{
	CredentialsMissing:   "the request has no Authorization field",
	SchemeUnsupported:    "expected the scheme Bearer, or DPoP if Config.DPoP is set",
	CredentialsMalformed: `expected "Bearer <token>" or "DPoP <token>" in Authorization (RFC 6750 §2.1)`,
	CredentialsAmbiguous: "expected one Authorization field; the request has several",
	TokenMalformed:       "expected a JWT, or an opaque token of an issuer with Introspection",
	AlgorithmNotAllowed:  "alg is not one of the issuer's Algorithms",
	IssuerUnknown:        "iss does not equal the URL of any configured issuer (check the scheme and final slashes)",
	KeyNotFound:          "the issuer publishes no key with this kid",
	TokenExpired:         "exp plus Leeway is in the past",
	TokenInactive:        "the authorization server reports that the token is not active",
	DPoPProofInvalid:     "expected one DPoP field with a proof",
}

const (
	defaultRetry = 5 * time.Second  // for Retry-After, if the cause names no time
	longestRetry = 30 * time.Second // even if an issuer asks for more
)
