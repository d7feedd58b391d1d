package api

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ringback/shared/groups"
	"ringback/shared/storage"
)

// FuzzSimpleValues wants that set_http_callback reads query and form as net/url
// does, that no parameter has two values, and that a refusal repeats neither.
func FuzzSimpleValues(f *testing.F) {
	f.Add("action=set_http_callback&apikey=a", "secret=1234&group=Harbor+Crew\r\n", "application/x-www-form-urlencoded")
	f.Add("secret=a", "secret=b", "text/plain")
	f.Add("secret=%zz", "", "")
	f.Add("", "--b\r\nContent-Disposition: form-data; name=\"secret\"\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b")
	f.Fuzz(func(t *testing.T, query, form, contentType string) {
		r := httptest.NewRequest("POST", "/api/simple.html", strings.NewReader(form))
		r.URL.RawQuery = query
		r.Header["Content-Type"] = []string{contentType}
		got, err := simpleValues(r)
		var no *groups.Refusal
		if err != nil {
			if !errors.As(err, &no) || len(no.Text) > 60 {
				t.Errorf("simpleValues of %q and %q: %v, want a refusal in our own words", query, form, err)
			}
			return
		}
		fromQuery, errQuery := url.ParseQuery(query)
		if errQuery != nil {
			t.Fatalf("query %q is read as %q, net/url refuses it", query, got)
		}
		for _, name := range simpleParameters {
			for _, v := range fromQuery[name] {
				if got[name] != v {
					t.Errorf("%s is %q, the query %q says %q", name, got[name], query, v)
				}
			}
		}
		if strings.HasPrefix(strings.ToLower(contentType), "multipart/") {
			return
		}
		fromForm, errForm := url.ParseQuery(strings.TrimRight(form, "\r\n"))
		for name, v := range got {
			if errForm != nil || !contains(fromQuery[name], v) && !contains(fromForm[name], v) {
				t.Errorf("%s is %q, which stands in neither %q nor %q", name, v, query, form)
			}
		}
	})
}

func contains(values []string, v string) bool {
	return strings.Contains("\x00"+strings.Join(values, "\x00")+"\x00", "\x00"+v+"\x00")
}

// FuzzHeader reads the header fields and parameters of calls that are not
// JSON: a bearer token, If-Match, and durations. Their errors hold nothing of
// them.
func FuzzHeader(f *testing.F) {
	for _, text := range []string{"Bearer rbk_1_a", "bearer  x ", "Basic Zq7Xk", `W/"3"`, "*", "-1", "24h", "Zq7Xk", "9223372036854775808ns", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := bearer(text); got != "" && (!strings.EqualFold(text[:6], "Bearer") || !strings.HasSuffix(strings.TrimSpace(text), got)) {
			t.Errorf("bearer(%q) = %q", text, got)
		}
		if rest, ok := strings.CutPrefix(text, "Bearer "); ok && bearer(text) != strings.TrimSpace(rest) {
			t.Errorf("bearer(%q) = %q", text, bearer(text))
		}
		for _, field := range []any{new(string), new(int), new(bool), new(time.Time)} {
			if _, err := parse(field, text); err != nil && (knownMessage(err.Error()) == unreadable || strings.Contains(err.Error(), "Zq7Xk")) {
				t.Errorf("parse(%T, %q): %v", field, text, err)
			}
		}
		n, err := revision(text)
		if n < 0 || err != nil && (n != 0 || !errors.Is(err, storage.ErrInvalid) || strings.Contains(err.Error(), "Zq7Xk")) {
			t.Errorf("revision(%q) = %d, %v", text, n, err)
		}
		d, err := duration("overlap", text, time.Hour)
		if want, errTime := time.ParseDuration(text); text == "" && d != time.Hour || text != "" && (d != want || (err == nil) != (errTime == nil)) {
			t.Errorf("duration(%q) = %v, %v, want %v", text, d, err, want)
		}
		if err != nil && (!errors.Is(err, storage.ErrInvalid) || strings.Contains(err.Error(), "Zq7Xk")) {
			t.Errorf("duration(%q): %v", text, err)
		}
	})
}
