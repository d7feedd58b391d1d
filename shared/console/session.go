package console

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// The cookie that carries a session, and how long one lasts.
const (
	cookieName = "ringback_console" // behind __Secure- (RFC 6265bis) where all comes by https
	lifetime   = 8 * time.Hour
	maxKey     = 1 << 10 // bytes of a key that may sign in; cookies hold 4 KiB
)

// A session is the key that signed in and the time until it counts. Only the browser keeps it,
// sealed: signing out takes it away there, and it ends for everybody with its time or its key.
type session struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until"`
}

// keyOf returns the key of the session that r carries; false if it has none that holds.
func (c *console) keyOf(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(c.secured + cookieName)
	if err != nil {
		return "", false
	}
	var s session
	plain, err := c.keys.Open("console", "session", cookie.Value)
	if err != nil || json.Unmarshal([]byte(plain), &s) != nil || !time.Now().Before(s.Until) {
		return "", false
	}
	return s.Key, true
}

// signIn takes {"key": "…"}. If the API knows the key, the answer is that of
// GET /v1/me and sets the session's cookie; else it is the API's refusal.
func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Key string `json:"key"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*maxKey))
	if err != nil || json.Unmarshal(body, &in) != nil || in.Key == "" || len(in.Key) > maxKey {
		refuse(w, http.StatusUnprocessableEntity, "key: want the text of a key")
		return
	}
	key := strings.TrimSpace(in.Key)
	me := c.whois(r, key)
	if me.status == http.StatusOK {
		s, _ := json.Marshal(session{Key: key, Until: time.Now().Add(lifetime)}) // a text and a time cannot fail
		http.SetCookie(w, c.cookie(r, c.keys.Seal("console", "session", string(s)), lifetime))
	}
	me.sendTo(w)
}

// who answers with GET /v1/me of the session's key, or null if there is none.
func (c *console) who(w http.ResponseWriter, r *http.Request) {
	nobody := &kept{header: http.Header{"Content-Type": {"application/json"}}, status: http.StatusOK}
	nobody.body.WriteString("null\n")
	me := nobody
	if key, ok := c.keyOf(r); ok {
		me = c.whois(r, key)
	}
	if me.status == http.StatusUnauthorized {
		http.SetCookie(w, c.cookie(r, "", -time.Second))
		me = nobody
	}
	me.sendTo(w)
}

// whois asks the API whose key it is.
func (c *console) whois(r *http.Request, key string) *kept {
	me := &kept{header: http.Header{}, status: http.StatusOK}
	ask, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "/v1/me", nil) // constants cannot fail
	ask.RemoteAddr, ask.Host = r.RemoteAddr, r.Host
	ask.Header.Set("Authorization", "Bearer "+key)
	c.api.ServeHTTP(me, ask)
	return me
}

func (c *console) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, c.cookie(r, "", -time.Second))
	w.WriteHeader(http.StatusNoContent)
}

// cookie returns the session's cookie, or with a negative age its end. It is secure unless the page itself
// came without TLS, which its origin tells whatever stands before this server.
func (c *console) cookie(r *http.Request, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: c.secured + cookieName, Value: value, Path: "/console", MaxAge: int(age.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.secured != "" || !strings.HasPrefix(r.Header.Get("Origin"), "http://"),
	}
}

// passed are the headers of a call that the API gets.
var passed = [...]string{"Accept", "Content-Type", "Idempotency-Key", "If-Match"}

// forward makes a call of the page to the API. If the API does not know the key any more the session ends.
func (c *console) forward(w http.ResponseWriter, r *http.Request) {
	key, ok := c.keyOf(r)
	if !ok {
		http.SetCookie(w, c.cookie(r, "", -time.Second))
		refuse(w, http.StatusUnauthorized, "not signed in, or not any more")
		return
	}
	call := r.Clone(r.Context())
	call.URL.Path = strings.TrimPrefix(r.URL.Path, "/console/api")
	call.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/console/api")
	if !strings.HasPrefix(call.URL.Path, "/v1/") {
		refuse(w, http.StatusNotFound, "there is no such call")
		return
	}
	call.RequestURI = call.URL.RequestURI()
	call.Header = http.Header{"Authorization": {"Bearer " + key}}
	for _, name := range passed {
		if values := r.Header.Values(name); len(values) > 0 {
			call.Header[name] = values
		}
	}
	c.api.ServeHTTP(&ending{w, c, r}, call)
}

// An ending takes the session's cookie back if the answer is 401.
type ending struct {
	http.ResponseWriter
	console *console
	request *http.Request
}

func (e *ending) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		http.SetCookie(e.ResponseWriter, e.console.cookie(e.request, "", -time.Second))
	}
	e.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController, which sets the body's read deadline.
func (e *ending) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// A kept is an answer that is not sent on as it comes.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (k *kept) sendTo(w http.ResponseWriter) {
	w.Header().Set("Content-Type", k.header.Get("Content-Type"))
	w.WriteHeader(k.status)
	w.Write(k.body.Bytes())
}
