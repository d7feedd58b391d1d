package cloud

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// HTTP returns h as what API Gateway calls with payload format 2.0. The request
// holds the body's exact bytes, the query as it came, cookies, the caller's
// address as RemoteAddr and a path without the stage. API Gateway has put
// repeated headers into one, with commas. A body that is not base64 though it
// claims to be is answered with 400, a panic of h with 500.
// "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway".
func HTTP(h http.Handler) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx, cancel := before(ctx, httpMargin)
		defer cancel()
		r, err := request(ctx, &e)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest}, nil
		}
		w := &answer{header: make(http.Header)}
		serve(h, w, r)
		return w.response(r.Method), nil
	}
}

func serve(h http.Handler, w *answer, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			*w = answer{header: make(http.Header), status: http.StatusInternalServerError}
			slog.ErrorContext(r.Context(), "panic", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	h.ServeHTTP(w, r)
}

func request(ctx context.Context, e *events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, err
		}
	}
	u := requestURL(e)
	r := &http.Request{
		Method:        e.RequestContext.HTTP.Method,
		URL:           u,
		RequestURI:    u.RequestURI(),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        requestHeader(e),
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
		RemoteAddr:    net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0"),
	}
	if len(body) > 0 {
		r.Body = readCloser{bytes.NewReader(body)}
	}
	if r.Host = r.Header.Get("Host"); r.Host == "" {
		r.Host = e.RequestContext.DomainName
	}
	r.Header.Del("Host")
	return r.WithContext(ctx), nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// requestURL takes off the stage, which stands in the path of every stage but
// $default. A path that is not escaped rightly is taken as it is.
func requestURL(e *events.APIGatewayV2HTTPRequest) *url.URL {
	path := e.RawPath
	if stage := e.RequestContext.Stage; stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(path, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	if path == "" {
		path = "/"
	}
	u := &url.URL{Path: path, RawQuery: e.RawQueryString}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
	}
	return u
}

func requestHeader(e *events.APIGatewayV2HTTPRequest) http.Header {
	h := make(http.Header, len(e.Headers)+1)
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	if len(e.Cookies) > 0 {
		h.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return h
}

// An answer is the http.ResponseWriter of one request.
type answer struct {
	header http.Header
	status int // 0 until the header is written
	sent   http.Header
	body   bytes.Buffer
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// response is the answer as API Gateway takes it: as text where the bytes are
// UTF-8, which is what it passes on unchanged, else as base64.
func (w *answer) response(method string) events.APIGatewayV2HTTPResponse {
	w.WriteHeader(http.StatusOK)
	resp := events.APIGatewayV2HTTPResponse{StatusCode: w.status, Headers: make(map[string]string, len(w.sent)+1)}
	for name, values := range w.sent {
		if name == "Set-Cookie" {
			resp.Cookies = values
			continue
		}
		resp.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if w.body.Len() == 0 || method == http.MethodHead {
		return resp
	}
	if resp.Headers["content-type"] == "" {
		resp.Headers["content-type"] = http.DetectContentType(w.body.Bytes())
	}
	if utf8.Valid(w.body.Bytes()) {
		resp.Body = w.body.String()
	} else {
		resp.Body, resp.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return resp
}
