// Package carriers is a client of the drive. You can use it to make the same call
// over three transports, net/http, Echo and gRPC, and record each answer.
package carriers

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/accesstoken/accesstoken/examples/drivepb"
	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
)

// patience is the timeout of every call.
const patience = 10 * time.Second

// A Client calls one drive over its three transports.
type Client struct {
	server     string // its name on the page
	http, echo string
	client     *http.Client
	conn       *grpc.ClientConn
	grpc       drivepb.DriveClient
}

// New makes a client for the resource server at two base URLs and a gRPC address.
// server is its name on the page.
func New(server, httpURL, echoURL, grpcAddress string) (*Client, error) {
	// Bearer tokens should never be sent without TLS. Here they do not leave the machine.
	conn, err := grpc.NewClient("passthrough:///"+grpcAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &Client{
		server: server, http: httpURL, echo: echoURL,
		client: &http.Client{Timeout: patience, Transport: &http.Transport{}},
		conn:   conn, grpc: drivepb.NewDriveClient(conn),
	}, nil
}

// Close closes the connections.
func (c *Client) Close() error {
	c.client.CloseIdleConnections()
	return c.conn.Close()
}

// List lists the files over each transport in turn. If token is empty, the requests
// have no Authorization.
func (c *Client) List(ctx context.Context, token string) iter.Seq[journal.Answer] {
	return func(yield func(journal.Answer) bool) {
		_ = yield(c.call(ctx, "net/http", http.MethodGet, c.http+"/files", token)) &&
			yield(c.call(ctx, "Echo", http.MethodGet, c.echo+"/files", token)) &&
			yield(c.listFiles(ctx, token))
	}
}

// Delete deletes a file over each transport in turn.
func (c *Client) Delete(ctx context.Context, token, name string) iter.Seq[journal.Answer] {
	path := "/files/" + url.PathEscape(name)
	return func(yield func(journal.Answer) bool) {
		_ = yield(c.call(ctx, "net/http", http.MethodDelete, c.http+path, token)) &&
			yield(c.call(ctx, "Echo", http.MethodDelete, c.echo+path, token)) &&
			yield(c.deleteFile(ctx, token, name))
	}
}

func (c *Client) call(ctx context.Context, carrier, method, target, token string) journal.Answer {
	answer := journal.Answer{Carrier: carrier}
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		answer.Exchange.Status = err.Error()
		return answer
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		answer.Exchange.Status = err.Error()
		return answer
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		answer.Exchange.Status = err.Error()
		return answer
	}
	var listing struct {
		Files []string `json:"files"`
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &listing) == nil {
		answer.Files = listing.Files
	}
	answer.HTTPStatus = resp.StatusCode
	answer.Challenge = strings.Join(resp.Header.Values("WWW-Authenticate"), ", ")
	answer.RetryAfter = resp.Header.Get("Retry-After")
	answer.Exchange = journal.NewExchange(c.server+" over "+carrier, r, nil, resp.StatusCode, resp.Header, body)
	answer.Exchange.Carrier = carrier
	return answer
}

func (c *Client) listFiles(ctx context.Context, token string) journal.Answer {
	var files []string
	answer := c.invoke(ctx, drivepb.Drive_ListFiles_FullMethodName, token, func(ctx context.Context, option grpc.CallOption) (proto.Message, error) {
		resp, err := c.grpc.ListFiles(ctx, &drivepb.ListFilesRequest{}, option)
		files = resp.GetFiles()
		return resp, err
	})
	answer.Files = files
	return answer
}

func (c *Client) deleteFile(ctx context.Context, token, name string) journal.Answer {
	return c.invoke(ctx, drivepb.Drive_DeleteFile_FullMethodName, token, func(ctx context.Context, option grpc.CallOption) (proto.Message, error) {
		return c.grpc.DeleteFile(ctx, &drivepb.DeleteFileRequest{Name: name}, option)
	})
}

// invoke makes a gRPC call and records its result.
func (c *Client) invoke(ctx context.Context, method, token string, call func(context.Context, grpc.CallOption) (proto.Message, error)) journal.Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e := journal.Exchange{Title: c.server + " over gRPC", Carrier: "gRPC", Method: "CALL", URL: method}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		e.RequestHeader = []journal.Field{{Name: "authorization", Value: "Bearer " + journal.Shorten(token)}}
	}
	var trailer metadata.MD
	message, err := call(ctx, grpc.Trailer(&trailer))
	answer := journal.Answer{Carrier: "gRPC"}
	if err == nil {
		answer.Code = "OK"
		e.Status, e.Body = "OK", protojson.Format(message)
		answer.Exchange = e
		return answer
	}
	failed := status.Convert(err)
	answer.Code = code.Code(failed.Code()).String()
	e.Status, e.Body = answer.Code, failed.Message()
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			answer.Reason = detail.GetReason()
			e.Header = append(e.Header,
				journal.Field{Name: "ErrorInfo.reason", Value: detail.GetReason()},
				journal.Field{Name: "ErrorInfo.domain", Value: detail.GetDomain()})
		case *errdetails.RetryInfo:
			answer.RetryAfter = detail.GetRetryDelay().AsDuration().String()
			e.Header = append(e.Header, journal.Field{Name: "RetryInfo.retry_delay", Value: answer.RetryAfter})
		}
	}
	answer.Challenge = strings.Join(trailer.Get("www-authenticate"), ", ")
	if answer.Challenge != "" {
		e.Header = append(e.Header, journal.Field{Name: "www-authenticate (trailer)", Value: answer.Challenge})
	}
	answer.Exchange = e
	return answer
}
