package cloud

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// HTTP adapts h to the calls of API Gateway with payload format 2.0. The request has the body's exact bytes, the query
// as it came, cookies, the caller's address as RemoteAddr and a path without the stage. API Gateway itself has joined
// repeated headers with commas. The response is 400 to a body that is marked as base64 and is not, and 500 after a
// panic of h. "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway".
func HTTP(h http.Handler) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx, cancel := before(ctx, httpMargin)
		defer cancel()
		r, err := request(ctx, &e)
		if err != nil {
			slog.WarnContext(ctx, "http", "outcome", "refused", "why", "the body is not base64", "route", e.RouteKey)
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest}, nil
		}
		w := &responseWriter{header: make(http.Header)}
		serve(h, w, r)
		return w.response(r.Method), nil
	}
}

func serve(h http.Handler, w *responseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			*w = responseWriter{sent: events.APIGatewayV2HTTPResponse{StatusCode: http.StatusInternalServerError}}
			slog.ErrorContext(r.Context(), "panic", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	h.ServeHTTP(w, r)
}

// request converts API Gateway's event into a request as net/http's server would make it.
func request(ctx context.Context, e *events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, err
		}
	}
	r := new(http.Request).WithContext(ctx)
	r.Method = e.RequestContext.HTTP.Method
	r.URL = requestURL(e)
	r.RequestURI = r.URL.RequestURI()
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Header = requestHeader(e)
	r.Body, r.ContentLength = http.NoBody, int64(len(body))
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	r.RemoteAddr = net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0")
	r.Host = cmp.Or(r.Header.Get("Host"), e.RequestContext.DomainName)
	r.Header.Del("Host")
	return r, nil
}

// requestURL removes the stage, which every stage except $default puts in front of the path: /prod/v1/me is /v1/me.
// A path with a wrong escape is taken as it is.
func requestURL(e *events.APIGatewayV2HTTPRequest) *url.URL {
	path := e.RawPath
	if stage := e.RequestContext.Stage; stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(path, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	path = cmp.Or(path, "/")
	u := &url.URL{Path: path, RawQuery: e.RawQueryString}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
	}
	return u
}

// requestHeader returns e's headers and cookies. All values share one slice, which saves an allocation per header.
func requestHeader(e *events.APIGatewayV2HTTPRequest) http.Header {
	h := make(http.Header, len(e.Headers)+1)
	values := make([]string, 0, len(e.Headers)+1)
	add := func(name, value string) {
		values = append(values, value)
		h[http.CanonicalHeaderKey(name)] = values[len(values)-1 : len(values) : len(values)]
	}
	for name, value := range e.Headers {
		add(name, value)
	}
	if len(e.Cookies) > 0 {
		add("Cookie", strings.Join(e.Cookies, "; "))
	}
	return h
}

// A responseWriter is the http.ResponseWriter of one request.
type responseWriter struct {
	header http.Header
	sent   events.APIGatewayV2HTTPResponse // StatusCode 0 until the header is written
	body   bytes.Buffer
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if w.sent.StatusCode != 0 || status < 200 {
		return
	}
	w.sent.StatusCode = status
	w.sent.Headers = make(map[string]string, len(w.header)+1)
	for name, values := range w.header {
		if name == "Set-Cookie" {
			w.sent.Cookies = values
			continue
		}
		w.sent.Headers[name] = strings.Join(values, ", ")
	}
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// response returns what API Gateway wants: the body as text if it is UTF-8, which API Gateway passes on unchanged,
// otherwise as base64.
func (w *responseWriter) response(method string) events.APIGatewayV2HTTPResponse {
	w.WriteHeader(http.StatusOK)
	resp := w.sent
	if w.body.Len() == 0 || method == http.MethodHead {
		return resp
	}
	if resp.Headers["Content-Type"] == "" {
		resp.Headers["Content-Type"] = http.DetectContentType(w.body.Bytes())
	}
	if utf8.Valid(w.body.Bytes()) {
		resp.Body = w.body.String()
	} else {
		resp.Body, resp.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return resp
}
