package mcpauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken/internal/adapter"
)

// mostPages is the most pages that a list can have.
const mostPages = 1000

// private is the cacheScope of results that depend on the caller. Caches may give a public one
// to callers whose token does not meet its policy.
const private = "private"

// list serves a list without what the caller would be refused. isList is false if the request
// is not for a list.
//
// A cursor of the SDK has the name of the last item of its page, and a short page tells how
// many items it lacks. So a list is always one page.
func (g *Guard) list(ctx context.Context, next mcp.MethodHandler, method string, request mcp.Request) (result mcp.Result, isList bool, err error) {
	shows := func(method, name string) bool { return g.isAllowed(request, operation{method: method, name: name}) }
	switch r := request.(type) {
	case *mcp.ListToolsRequest:
		result, err = onePage(ctx, next, method, request,
			func(cursor string) mcp.Request {
				return &mcp.ListToolsRequest{Session: r.Session, Extra: r.Extra, Params: &mcp.ListToolsParams{Meta: metaOf(r.Params), Cursor: cursor}}
			},
			func(page *mcp.ListToolsResult) (*[]*mcp.Tool, *string, *mcp.Cacheable) {
				return &page.Tools, &page.NextCursor, &page.Cacheable
			},
			func(tool *mcp.Tool) bool { return shows("tools/call", tool.Name) })
	case *mcp.ListPromptsRequest:
		result, err = onePage(ctx, next, method, request,
			func(cursor string) mcp.Request {
				return &mcp.ListPromptsRequest{Session: r.Session, Extra: r.Extra, Params: &mcp.ListPromptsParams{Meta: metaOf(r.Params), Cursor: cursor}}
			},
			func(page *mcp.ListPromptsResult) (*[]*mcp.Prompt, *string, *mcp.Cacheable) {
				return &page.Prompts, &page.NextCursor, &page.Cacheable
			},
			func(prompt *mcp.Prompt) bool { return shows("prompts/get", prompt.Name) })
	case *mcp.ListResourcesRequest:
		result, err = onePage(ctx, next, method, request,
			func(cursor string) mcp.Request {
				return &mcp.ListResourcesRequest{Session: r.Session, Extra: r.Extra, Params: &mcp.ListResourcesParams{Meta: metaOf(r.Params), Cursor: cursor}}
			},
			func(page *mcp.ListResourcesResult) (*[]*mcp.Resource, *string, *mcp.Cacheable) {
				return &page.Resources, &page.NextCursor, &page.Cacheable
			},
			func(resource *mcp.Resource) bool { return shows("resources/read", resource.URI) })
	case *mcp.ListResourceTemplatesRequest:
		result, err = onePage(ctx, next, method, request,
			func(cursor string) mcp.Request {
				return &mcp.ListResourceTemplatesRequest{Session: r.Session, Extra: r.Extra, Params: &mcp.ListResourceTemplatesParams{Meta: metaOf(r.Params), Cursor: cursor}}
			},
			func(page *mcp.ListResourceTemplatesResult) (*[]*mcp.ResourceTemplate, *string, *mcp.Cacheable) {
				return &page.ResourceTemplates, &page.NextCursor, &page.Cacheable
			},
			func(template *mcp.ResourceTemplate) bool { return shows("resources/read", template.URITemplate) })
	default:
		return nil, false, nil
	}
	return result, true, err
}

// metaOf returns the _meta of parameters, which may be nil.
func metaOf[P any, Params interface {
	*P
	mcp.Params
}](params Params) mcp.Meta {
	if params == nil {
		return nil
	}
	return params.GetMeta()
}

// onePage asks for all pages of a list, from the one that the client asks for, and returns one
// page with the items that are shown. asking returns the request for a further page, and parts
// the parts of a page.
func onePage[Page, Item any](ctx context.Context, next mcp.MethodHandler, method string, request mcp.Request,
	asking func(cursor string) mcp.Request, parts func(*Page) (*[]*Item, *string, *mcp.Cacheable), isShown func(*Item) bool,
) (mcp.Result, error) {
	shown := []*Item{} // is [] in JSON, not null
	for range mostPages {
		result, err := next(ctx, method, request)
		if err != nil {
			return nil, err
		}
		page, ok := any(result).(*Page)
		if !ok || page == nil {
			return nil, fmt.Errorf("mcpauth: the result of %s is a %T; expected a list", method, result)
		}
		items, cursor, _ := parts(page)
		for _, item := range *items {
			if item != nil && isShown(item) {
				shown = append(shown, item)
			}
		}
		if *cursor != "" {
			request = asking(*cursor)
			continue
		}
		last := *page // which other requests may have too
		items, _, cache := parts(&last)
		*items, cache.CacheScope = shown, private
		return any(&last).(mcp.Result), nil
	}
	return nil, errors.New("mcpauth: the list has more than 1000 pages; set a larger PageSize")
}

// isAllowed reports whether the caller of a request could use the tool, prompt or resource. If
// the caller is not known, only what has no rule is allowed. It is no refusal, so OnRefuse does
// not hear of it.
func (g *Guard) isAllowed(request mcp.Request, o operation) bool {
	policy, demands, err := g.demandOf(o)
	if err != nil || !demands {
		return err == nil
	}
	claims, ok := callerOf(request)
	return ok && adapter.Satisfies(g.validator, claims, policy)
}

// forCallerOnly marks what a resource says as the caller's, because a policy decides who may
// read it.
func forCallerOnly(result mcp.Result) mcp.Result {
	read, ok := result.(*mcp.ReadResourceResult)
	if !ok || read == nil {
		return result
	}
	marked := *read
	marked.CacheScope = private
	return &marked
}
