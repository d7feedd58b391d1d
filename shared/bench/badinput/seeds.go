package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// folders of the providers below shared/provider, whose testdata hold requests.
var folders = map[string]string{"smartbots": "smartbots", "tencent-chat": "tencentchat", "direct": "direct"}

// readSeeds returns the requests in <dir>/<provider>/testdata, each as it is
// and once more as if it happened now, since what is old has no time of its own.
func readSeeds(dir, provider string, now time.Time) ([]request, error) {
	names, err := filepath.Glob(filepath.Join(dir, folders[provider], "testdata", "*.http"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no requests of %s in %s: run it in the root of the repository", provider, dir)
	}
	var seeds []request
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		r, err := readRequest(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r.path = path(provider)
		fresh := r
		fresh.body = atNow(r.body, now)
		seeds = append(seeds, r, fresh)
	}
	return seeds, nil
}

// readRequest reads what write writes.
func readRequest(b []byte) (request, error) {
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return request{}, err
	}
	r := request{method: got.Method, path: got.URL.EscapedPath(), query: got.URL.RawQuery}
	for name, values := range got.Header {
		for _, v := range values {
			if name != "Content-Length" {
				r.header = append(r.header, [2]string{name, v})
			}
		}
	}
	r.body, err = io.ReadAll(got.Body)
	return r, err
}

var (
	isoTime    = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	unixMillis = regexp.MustCompile(`\b1[67]\d{11}\b`)
	unixTime   = regexp.MustCompile(`(?:\b|_)1[67]\d{8}\b`)
)

// atNow returns body with its times moved to now.
func atNow(body []byte, now time.Time) []byte {
	seconds := strconv.FormatInt(now.Unix(), 10)
	body = isoTime.ReplaceAll(body, []byte(now.UTC().Format(time.RFC3339)))
	body = unixMillis.ReplaceAll(body, []byte(seconds+"456"))
	return unixTime.ReplaceAllFunc(body, func(was []byte) []byte {
		return []byte(strings.Repeat("_", bytes.Count(was, []byte("_"))) + seconds)
	})
}
