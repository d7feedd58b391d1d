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

// A session is the API key that signed in and when the session expires. Only the browser stores it,
// encrypted: signing out deletes it there, and it ends everywhere when it expires or the key does.
type session struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until"`
}

// keyOf returns the key of r's session, or false if r has no valid one.
func (c *console) keyOf(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(c.cookiePrefix + cookieName)
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

// signIn takes {"key": "…"}. If the API accepts the key, the response is that of
// GET /v1/me and sets the session's cookie; otherwise it is the API's problem.
func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Key string `json:"key"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*maxKey))
	if err != nil || json.Unmarshal(body, &in) != nil || in.Key == "" || len(in.Key) > maxKey {
		writeProblem(w, http.StatusUnprocessableEntity, "key: want the text of a key")
		return
	}
	key := strings.TrimSpace(in.Key)
	me := c.fetchMe(r, key)
	if me.status == http.StatusOK {
		s, _ := json.Marshal(session{Key: key, Until: time.Now().Add(lifetime)}) // a text and a time cannot fail
		http.SetCookie(w, c.cookie(r, c.keys.Seal("console", "session", string(s)), lifetime))
	}
	me.sendTo(w)
}

// who responds with GET /v1/me of the session's key, or null if there is no session.
func (c *console) who(w http.ResponseWriter, r *http.Request) {
	nobody := &recorder{header: http.Header{"Content-Type": {"application/json"}}, status: http.StatusOK}
	nobody.body.WriteString("null\n")
	me := nobody
	if key, ok := c.keyOf(r); ok {
		me = c.fetchMe(r, key)
	}
	if me.status == http.StatusUnauthorized {
		http.SetCookie(w, c.cookie(r, "", -time.Second))
		me = nobody
	}
	me.sendTo(w)
}

// fetchMe returns the API's response to GET /v1/me with a key.
func (c *console) fetchMe(r *http.Request, key string) *recorder {
	me := &recorder{header: http.Header{}, status: http.StatusOK}
	call, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "/v1/me", nil) // constants cannot fail
	call.RemoteAddr, call.Host = r.RemoteAddr, r.Host
	call.Header.Set("Authorization", "Bearer "+key)
	c.api.ServeHTTP(me, call)
	return me
}

func (c *console) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, c.cookie(r, "", -time.Second))
	w.WriteHeader(http.StatusNoContent)
}

// cookie returns the session's cookie; a negative age deletes it. It is secure unless the page itself came
// without TLS, which the Origin header says even behind a proxy that terminates TLS.
func (c *console) cookie(r *http.Request, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: c.cookiePrefix + cookieName, Value: value, Path: "/console", MaxAge: int(age.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.cookiePrefix != "" || !strings.HasPrefix(r.Header.Get("Origin"), "http://"),
	}
}

// forwarded are the headers of a call that the API gets.
var forwarded = [...]string{"Accept", "Content-Type", "Idempotency-Key", "If-Match"}

// forward passes a call of the page to the API. If the API refuses the key the session ends.
func (c *console) forward(w http.ResponseWriter, r *http.Request) {
	key, ok := c.keyOf(r)
	if !ok {
		http.SetCookie(w, c.cookie(r, "", -time.Second))
		writeProblem(w, http.StatusUnauthorized, "not signed in, or the session expired")
		return
	}
	call := r.Clone(r.Context())
	call.URL.Path = strings.TrimPrefix(r.URL.Path, "/console/api")
	call.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/console/api")
	if !strings.HasPrefix(call.URL.Path, "/v1/") {
		writeProblem(w, http.StatusNotFound, "there is no such call")
		return
	}
	call.RequestURI = call.URL.RequestURI()
	call.Header = http.Header{"Authorization": {"Bearer " + key}}
	for _, name := range forwarded {
		if values := r.Header.Values(name); len(values) > 0 {
			call.Header[name] = values
		}
	}
	c.api.ServeHTTP(&cookieClearer{w, c, r}, call)
}

// A cookieClearer deletes the session's cookie if the response is 401.
type cookieClearer struct {
	http.ResponseWriter
	console *console
	request *http.Request
}

func (cc *cookieClearer) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		http.SetCookie(cc.ResponseWriter, cc.console.cookie(cc.request, "", -time.Second))
	}
	cc.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController, which sets the body's read deadline.
func (cc *cookieClearer) Unwrap() http.ResponseWriter { return cc.ResponseWriter }

// A recorder holds a response in memory, so that a cookie can be set once its status is known.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (rec *recorder) Header() http.Header         { return rec.header }
func (rec *recorder) WriteHeader(status int)      { rec.status = status }
func (rec *recorder) Write(b []byte) (int, error) { return rec.body.Write(b) }

func (rec *recorder) sendTo(w http.ResponseWriter) {
	w.Header().Set("Content-Type", rec.header.Get("Content-Type"))
	w.WriteHeader(rec.status)
	w.Write(rec.body.Bytes())
}
