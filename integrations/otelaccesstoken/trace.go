package otelaccesstoken

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/accesstoken/accesstoken"
)

// OnDecide is for Config.OnDecide. If the span in the context is recording, it gets the
// event accesstoken.decision, which says what was decided, for which issuer, and how the
// caller is known. OnDecide starts no span. If the context has no span that records, it
// does nothing. The event has no claim and nothing of the token. If your own code refused
// with Deny, error.type is the Reason that you gave.
func OnDecide(ctx context.Context, d accesstoken.Decision) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	reason := ""
	if d.Err != nil {
		reason = string(d.Err.Reason)
	}
	span.AddEvent("accesstoken.decision", trace.WithAttributes(decided(d.Issuer, d.Transport, outcomeOf(d), reason, d.Source)...))
}

// The values of accesstoken.DecisionCount.Outcome. A test compares them with Stats.
const (
	outcomeAccepted    = "accepted"
	outcomeRefused     = "refused"
	outcomeUnavailable = "unavailable"
	outcomeFailed      = "failed"
	outcomeCanceled    = "canceled"
	outcomeEnded       = "ended"
)

// outcomeOf returns the outcome that Stats count a decision by.
func outcomeOf(d accesstoken.Decision) string {
	switch {
	case d.Err == nil:
		return outcomeAccepted
	case d.Ended:
		return outcomeEnded
	case d.Err.Reason == "":
		return outcomeCanceled
	case d.Err.HTTPStatus() == http.StatusServiceUnavailable:
		return outcomeUnavailable
	case d.Err.HTTPStatus() >= http.StatusInternalServerError:
		return outcomeFailed
	}
	return outcomeRefused
}

// Transport returns a RoundTripper with a span for each request to an issuer, that is for
// fetches of keys and metadata, and for introspection. Use it in the HTTPClient of a Config.
// If base is nil, it is http.DefaultTransport. The TracerProvider must not be nil.
//
// The span has the method, the host and port, the status, and error.type of the HTTP
// conventions. It has neither the URL nor a header, and the request gets no traceparent,
// so an issuer learns nothing about your traces. A fetch that several requests share is
// not part of their traces, so its span has no parent.
//
// An HTTPClient whose Transport is not an *http.Transport keeps its own connections, so a
// dead HTTP/2 connection is found only if base finds it, and a warning says so once. If
// base is an *http.Transport, you should set SendPingTimeout in its HTTP2.
func Transport(base http.RoundTripper, provider trace.TracerProvider) http.RoundTripper {
	if provider == nil {
		panic("otelaccesstoken: the TracerProvider is nil; pass the one that the program uses")
	}
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{base, provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))}
}

type transport struct {
	base   http.RoundTripper
	tracer trace.Tracer
}

// RoundTrip implements [http.RoundTripper]. The span ends with the header of the answer.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := t.tracer.Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		semconv.HTTPRequestMethodKey.String(r.Method), semconv.ServerAddress(r.URL.Hostname()), semconv.ServerPort(port(r)),
	))
	defer span.End()
	response, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		fail(span, "_OTHER")
		return response, err
	}
	response.Request = r
	span.SetAttributes(semconv.HTTPResponseStatusCode(response.StatusCode))
	if response.StatusCode >= http.StatusBadRequest {
		fail(span, strconv.Itoa(response.StatusCode))
	}
	return response, nil
}

// CloseIdleConnections closes those of the base.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func fail(span trace.Span, kind string) {
	span.SetStatus(codes.Error, "")
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
}

func port(r *http.Request) int {
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		return port
	}
	if r.URL.Scheme == "http" {
		return 80
	}
	return 443
}
