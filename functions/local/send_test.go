package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringback/shared/test/tracked"
)

// TestEverySampleIsSentAsItStands plays each callback of events/ at a server
// that keeps what comes: method, query, headers and the body's bytes.
func TestEverySampleIsSentAsItStands(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	played := 0
	for _, function := range []string{"smartbots", "tencentchat", "direct"} {
		files, err := fs.Glob(tracked.Files("../.."), "events/"+function+"-*.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			played++
			file = filepath.Join("../..", file)
			t.Run(filepath.Base(file), func(t *testing.T) {
				want, wantBody := readSample(t, file)
				if err := command(context.Background(), []string{"send", file, "--to", server.URL}, io.Discard); err != nil {
					t.Fatalf("send: %v", err)
				}
				if got.Method != want.RequestContext.HTTP.Method || got.URL.RawQuery != want.RawQuery || got.URL.Path != want.RawPath {
					t.Errorf("%s %s came, want %s %s?%s", got.Method, got.URL, want.RequestContext.HTTP.Method, want.RawPath, want.RawQuery)
				}
				for name, value := range want.Headers {
					if n := strings.ToLower(name); n != "host" && n != "content-length" && got.Header.Get(name) != value {
						t.Errorf("header %s: %q, want %q", name, got.Header.Get(name), value)
					}
				}
				if got.Method == http.MethodPost && !bytes.Equal(body, wantBody) {
					t.Errorf("body %q, want %q", body, wantBody)
				}
			})
		}
	}
	if played < 70 {
		t.Errorf("%d samples, want those of all three providers", played)
	}
}

func TestSendSaysWhatWasMissing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer server.Close()
	for _, tt := range []struct {
		name, file, to, token, want string
	}{
		{"a signature", "tencentchat-state-change.json", "", "", "want -token with the source's token"},
		{"nothing: signed", "tencentchat-state-change.json", "", "t", "send: the callback was rejected"},
		{"a login", "direct-no-login.json", "", "", "want -to with login:password@ before the host"},
		{"nothing: logged in", "direct-no-login.json", "hook:a%3Ab@", "", "send: the callback was rejected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := strings.Replace(server.URL, "//", "//"+tt.to, 1)
			err := command(context.Background(), []string{"send", filepath.Join("..", "..", "events", tt.file), "--to", to, "--token", tt.token}, io.Discard)
			if !strings.HasSuffix(fmt.Sprint(err), tt.want) {
				t.Errorf("send: %v, want %q", err, tt.want)
			}
		})
	}
}

func readSample(t *testing.T, file string) (sample, []byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s sample
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	body := []byte(s.Body)
	if s.Base64 {
		if body, err = base64.StdEncoding.DecodeString(s.Body); err != nil {
			t.Fatal(err)
		}
	}
	return s, body
}
