package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/middleware"
)

// almostOver returns a token that has a second left of the 30 by which tokens
// outlive their exp.
func almostOver(as *accesstokentest.Server) string {
	exp := time.Now().Add(-29 * time.Second)
	return as.Token(accesstokentest.Claims{"exp": float64(exp.UnixMilli()) / 1000, "iat": exp.Unix() - 300})
}

// Server-sent events that end with the token that they were asked for with.
func ExampleMiddleware_EndWithToken() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth := middleware.New(v, nil)
	news := make(chan string, 1)
	events := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case text := <-news:
				fmt.Fprintf(w, "data: %s\n\n", text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return // the client has gone, or its token has ended
			}
		}
	})
	server := httptest.NewServer(auth.EndWithToken().Wrap(events))
	defer server.Close()

	r, _ := http.NewRequest("GET", server.URL, nil)
	r.Header.Set("Authorization", "Bearer "+almostOver(as))
	news <- "it rains"
	for range 2 { // a browser connects again by itself
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(response.Status)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			fmt.Println(lines.Text())
		}
		response.Body.Close()
	}
	// Output:
	// 200 OK
	// data: it rains
	//
	// 401 Unauthorized
	// the access token expired
}

// A long poll that has written nothing yet refuses when the token ends.
func ExampleMiddleware_EndWithToken_longPoll() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth := middleware.New(v, nil)
	news := make(chan string)
	poll := auth.EndWithToken().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case text := <-news:
			fmt.Fprintln(w, text)
		case <-r.Context().Done():
			if cause := context.Cause(r.Context()); errors.Is(cause, accesstoken.TokenExpired) {
				auth.Refuse(w, r, cause)
			}
		}
	}))

	call(poll, "GET", "/news", almostOver(as))
	// Output: 401 the access token expired
}
