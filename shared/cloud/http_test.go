package cloud_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ringback/shared/cloud"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

// apiEvent is an event as API Gateway documents payload format 2.0, shortened.
const apiEvent = `{
	"version": "2.0", "routeKey": "POST /callbacks/{provider}/{source}/{key}",
	"rawPath": "/callbacks/tencent-chat/src-1/k%20y", "rawQueryString": "SdkAppid=1&a=1&a=2&b=%2F",
	"cookies": ["a=1", "b=2"],
	"headers": {"content-type": "application/octet-stream", "host": "api.example.com", "x-forwarded-for": "1.2.3.4, 5.6.7.8"},
	"queryStringParameters": {"a": "1,2"},
	"requestContext": {"domainName": "id.execute-api.example.com", "stage": "$default",
		"http": {"method": "POST", "path": "/callbacks", "protocol": "HTTP/1.1", "sourceIp": "2001:db8::1", "userAgent": "x"}},
	"body": "AP+AfA==", "isBase64Encoded": true}`

func TestRequestIsWhatTheProviderSent(t *testing.T) {
	var got *http.Request
	var body []byte
	call(t, parse(t, apiEvent), func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	for _, tt := range []struct{ what, got, want string }{
		{"method", got.Method, "POST"},
		{"path", got.URL.Path, "/callbacks/tencent-chat/src-1/k y"},
		{"escaped path", got.URL.EscapedPath(), "/callbacks/tencent-chat/src-1/k%20y"},
		{"query", got.URL.RawQuery, "SdkAppid=1&a=1&a=2&b=%2F"},
		{"request URI", got.RequestURI, "/callbacks/tencent-chat/src-1/k%20y?SdkAppid=1&a=1&a=2&b=%2F"},
		{"host", got.Host, "api.example.com"},
		{"address", got.RemoteAddr, "[2001:db8::1]:0"},
		{"content type", got.Header.Get("Content-Type"), "application/octet-stream"},
		{"forwarded", got.Header.Get("X-Forwarded-For"), "1.2.3.4, 5.6.7.8"},
		{"cookies", got.Header.Get("Cookie"), "a=1; b=2"},
		{"body", string(body), "\x00\xff\x80|"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	if got.ContentLength != 4 {
		t.Errorf("content length is %d, want 4", got.ContentLength)
	}
	if got.Proto != "HTTP/1.1" || !got.ProtoAtLeast(1, 1) || got.ProtoAtLeast(1, 2) {
		t.Errorf("protocol is %s, %d.%d, want HTTP/1.1", got.Proto, got.ProtoMajor, got.ProtoMinor)
	}
	if len(got.Header) != 3 {
		t.Errorf("header is %v, want it without the host", got.Header)
	}
}

// TestRequestWithoutABodyHasNone also leaves out the header and the cookies.
func TestRequestWithoutABodyHasNone(t *testing.T) {
	e := events.APIGatewayV2HTTPRequest{RawPath: "/v1/me"}
	e.RequestContext.DomainName = "id.execute-api.example.com"
	for _, encoded := range []bool{false, true} {
		e.IsBase64Encoded = encoded
		var got *http.Request
		call(t, e, func(_ http.ResponseWriter, r *http.Request) { got = r })
		if got.Body != http.NoBody || got.ContentLength != 0 || len(got.Header) != 0 || got.Host != "id.execute-api.example.com" {
			t.Errorf("request has a body of %d bytes, %v, header %v and host %q, want the domain's name alone",
				got.ContentLength, got.Body, got.Header, got.Host)
		}
	}
	e.Body, e.IsBase64Encoded, e.Cookies = "x", false, []string{"a=1"}
	call(t, e, func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if string(b) != "x" || err != nil || r.ContentLength != 1 || r.Header.Get("Cookie") != "a=1" {
			t.Errorf("body of one byte and one cookie: %q, %v, length %d, cookie %q", b, err, r.ContentLength, r.Header.Get("Cookie"))
		}
	})
}

func TestValueAddedToAHeaderLeavesTheOthers(t *testing.T) {
	e := parse(t, apiEvent)
	call(t, e, func(_ http.ResponseWriter, r *http.Request) {
		want := r.Header.Clone()
		for name := range want {
			want.Add(name, "more")
		}
		for name := range r.Header {
			r.Header.Add(name, "more")
		}
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("header with a value more of each name (-want +got):\n%s", diff)
		}
	})
}

// TestPanicIsToldInTheLog wants the value and where it came from.
func TestPanicIsToldInTheLog(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	defer slog.SetDefault(before)
	call(t, parse(t, apiEvent), func(http.ResponseWriter, *http.Request) { panic("oops") })
	if got := log.String(); !strings.Contains(got, `"panic":"oops"`) || !strings.Contains(got, "http_test.go") {
		t.Errorf("log after a panic: %s", got)
	}
}

func TestPathIsFreeOfTheStage(t *testing.T) {
	for _, tt := range []struct{ stage, rawPath, want string }{
		{"$default", "/prod/v1/me", "/prod/v1/me"},
		{"prod", "/prod/v1/me", "/v1/me"},
		{"prod", "/prod", "/"},
		{"prod", "/production", "/production"},
		{"prod", "/v1/me", "/v1/me"},
		{"", "", "/"},
		{"", "//v1/me", "//v1/me"},
		{"$default", "/$default/v1/me", "/$default/v1/me"},
		{"", "/100%", "/100%"},
	} {
		e := events.APIGatewayV2HTTPRequest{RawPath: tt.rawPath}
		e.RequestContext.Stage = tt.stage
		var got string
		call(t, e, func(_ http.ResponseWriter, r *http.Request) { got = r.URL.Path })
		if got != tt.want {
			t.Errorf("path of %q in stage %q is %q, want %q", tt.rawPath, tt.stage, got, tt.want)
		}
	}
}

func TestAnswerIsWhatTheHandlerWrote(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    events.APIGatewayV2HTTPResponse
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {}, events.APIGatewayV2HTTPResponse{StatusCode: 200}},
		{"text", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			w.WriteHeader(500)
			w.Header().Set("Too-Late", "x")
			io.WriteString(w, `{"é":1}`)
		}, events.APIGatewayV2HTTPResponse{StatusCode: 201, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"é":1}`}},
		{"bytes", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0}) },
			events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "application/octet-stream"},
				Body: base64.StdEncoding.EncodeToString([]byte{0xff, 0}), IsBase64Encoded: true}},
		{"a header after the text", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "text")
			w.Header().Set("Too-Late", "x")
		}, events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, Body: "text"}},
		{"text without a type", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
			events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "text/html; charset=utf-8"}, Body: "<html>"}},
		{"information before the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(100)
			w.WriteHeader(199)
			w.Header().Set("A", "1")
			w.WriteHeader(200)
			w.WriteHeader(201)
		}, events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{"A": "1"}}},
		{"headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "a=1; Path=/")
			w.Header().Add("Set-Cookie", "b=2")
			w.Header().Add("Vary", "A")
			w.Header().Add("Vary", "B")
			w.WriteHeader(204)
		}, events.APIGatewayV2HTTPResponse{StatusCode: 204, Headers: map[string]string{"Vary": "A, B"}, Cookies: []string{"a=1; Path=/", "b=2"}}},
		{"panic", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			panic("oops")
		}, events.APIGatewayV2HTTPResponse{StatusCode: 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := call(t, parse(t, apiEvent), tt.handler)
			if len(got.Headers) == 0 {
				got.Headers = nil
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeadIsAnsweredWithoutABody(t *testing.T) {
	e := parse(t, apiEvent)
	e.RequestContext.HTTP.Method = http.MethodHead
	got := call(t, e, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "text") })
	if got.Body != "" || got.StatusCode != http.StatusOK || len(got.Headers) != 0 {
		t.Errorf("answer to HEAD has status %d, header %v and the body %q", got.StatusCode, got.Headers, got.Body)
	}
}

func TestBodyThatIsNotBase64IsABadRequest(t *testing.T) {
	e := parse(t, apiEvent)
	e.Body = "*"
	got := call(t, e, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	if got.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", got.StatusCode)
	}
}

func TestHTTPHandlerEndsBeforeLambdaDoes(t *testing.T) {
	end := time.Now().Add(10 * time.Second)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got, _ := r.Context().Deadline(); end.Sub(got) != 300*time.Millisecond {
			t.Errorf("handler's context ends %v before Lambda's, want 300 ms", end.Sub(got))
		}
	})
	if _, err := cloud.HTTP(h)(ctx, parse(t, apiEvent)); err != nil {
		t.Fatal(err)
	}
}

// FuzzHTTP wants that the handler gets the query and the body's bytes as they
// came, and API Gateway the handler's answer: text as it is, anything else in
// base64. A body that is not the base64 that it claims to be is a bad request.
func FuzzHTTP(f *testing.F) {
	f.Add("/a%2Fb", "a=1", "GET", "x", "text/plain", "prod", false)
	f.Add("//host/%", "%zz", "", "*", "", "", true)
	f.Add("/prod/x", "", "POST", "/w==", "\r\nX: y", "prod", true)
	f.Fuzz(func(t *testing.T, path, query, method, body, header, stage string, encoded bool) {
		e := events.APIGatewayV2HTTPRequest{RawPath: path, RawQueryString: query, Body: body, IsBase64Encoded: encoded, Headers: map[string]string{"x-a": header}}
		e.RequestContext.HTTP.Method, e.RequestContext.Stage = method, stage
		want, err := []byte(body), error(nil)
		if encoded {
			want, err = base64.StdEncoding.DecodeString(body)
		}
		h := cloud.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, errRead := io.ReadAll(r.Body)
			if errRead != nil || !bytes.Equal(got, want) || r.ContentLength != int64(len(want)) {
				t.Errorf("body of %q, base64 %v: %q, %v, want %q", body, encoded, got, errRead, want)
			}
			if r.URL.Path == "" || r.URL.Host != "" || r.URL.RawQuery != query || r.Method != method || r.Header.Get("X-A") != header {
				t.Errorf("request for %q?%q is %+v", path, query, r)
			}
			w.Write(got)
		}))
		resp, errCall := h(t.Context(), e)
		if errCall != nil || (err != nil) != (resp.StatusCode == http.StatusBadRequest) || err == nil && resp.StatusCode != http.StatusOK {
			t.Fatalf("HTTP(%+v) = %+v, %v", e, resp, errCall)
		}
		answer := []byte(resp.Body)
		if resp.IsBase64Encoded {
			if answer, errCall = base64.StdEncoding.DecodeString(resp.Body); errCall != nil {
				t.Fatal(errCall)
			}
		}
		if err == nil && method != http.MethodHead && !bytes.Equal(answer, want) || !utf8.ValidString(resp.Body) {
			t.Errorf("answer %q, want %q", answer, want)
		}
	})
}

func BenchmarkHTTP(b *testing.B) {
	h := cloud.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal([]byte(apiEvent), &e); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		h(b.Context(), e)
	}
}

func call(t *testing.T, e events.APIGatewayV2HTTPRequest, h http.HandlerFunc) events.APIGatewayV2HTTPResponse {
	t.Helper()
	resp, err := cloud.HTTP(h)(t.Context(), e)
	if err != nil {
		t.Fatalf("HTTP: %v", err)
	}
	return resp
}

func parse(t *testing.T, text string) events.APIGatewayV2HTTPRequest {
	t.Helper()
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	return e
}
