// Package console is the web page over the HTTP API. It shows what the API offers to the key that signed in and decides
// nothing itself: the page's calls under /console/api go to the API in process, with the session's key as their bearer.
//
// The page is plain modules, embedded as they are: main.js lists those of files/pages, which share those of files/parts.
// They create elements by name and put text into text nodes; the policy makes the browser refuse anything else.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"ringback/shared/keyring"
)

//go:embed files
var files embed.FS

// policy lets the page load its own files and call its own API, and nothing else: no inline script or style,
// no text parsed as HTML, no frame, no other host ("Content Security Policy Level 3"; "Trusted Types").
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// A Config is what a console needs besides the API.
type Config struct {
	// Keys seals the sessions.
	Keys *keyring.Ring

	// PublicURL is where the gateway is reached, if a proxy before it changes the
	// Host header; with https, browsers keep to it. Default: none.
	PublicURL string
}

// A console serves the page and its calls.
type console struct {
	api          http.Handler
	keys         *keyring.Ring
	origins      *http.CrossOriginProtection
	cookiePrefix string
	version      string // of the files; part of their addresses
	page         []byte
}

// New returns the handler of /console and all below it. It calls api with
// requests for /v1. It is safe for concurrent use.
func New(api http.Handler, cfg Config) http.Handler {
	c := &console{api: api, keys: cfg.Keys, origins: http.NewCrossOriginProtection()}
	if u, err := url.Parse(cfg.PublicURL); err == nil && u.Host != "" {
		c.origins.AddTrustedOrigin(u.Scheme + "://" + u.Host) // a scheme and a host are an origin
		if u.Scheme == "https" {
			c.cookiePrefix = "__Secure-"
		}
	}
	c.load()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console", c.servePage)
	mux.HandleFunc("GET /console/", c.servePage)
	mux.HandleFunc("GET /console/files/{version}/{name...}", c.serveFile)
	mux.HandleFunc("GET /console/session", c.who)
	mux.HandleFunc("POST /console/session", c.signIn)
	mux.HandleFunc("DELETE /console/session", c.signOut)
	for _, method := range [...]string{"GET", "POST", "PATCH", "DELETE"} {
		mux.HandleFunc(method+" /console/api/", c.forward)
	}
	return c.guard(mux)
}

// load reads the files and derives their version, so that browsers may cache them.
func (c *console) load() {
	sum := sha256.New()
	fs.WalkDir(files, "files", func(name string, _ fs.DirEntry, _ error) error {
		b, _ := files.ReadFile(name) // empty for a folder
		sum.Write([]byte(name))
		sum.Write(b)
		return nil
	})
	c.version = hex.EncodeToString(sum.Sum(nil)[:8])
	page, _ := files.ReadFile("files/index.html")
	c.page = []byte(strings.ReplaceAll(string(page), "VERSION", c.version))
}

// guard sets the headers of every response and rejects cross-site requests. Every browser names the origin
// of a request that changes something, so one without an origin comes from no page of the console.
func (c *console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if c.cookiePrefix != "" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		noOrigin := r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == ""
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if c.origins.Check(r) != nil || noOrigin && !reads {
			writeProblem(w, http.StatusForbidden, "the request does not come from the console")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// servePage serves the same page for every address below /console: its script reads which one was opened.
func (c *console) servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(c.page)
}

// contentTypes are those of the files; the system's own table is not asked.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
}

func (c *console) serveFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	contentType := contentTypes[path.Ext(name)]
	b, err := files.ReadFile("files/" + name)
	if err != nil || contentType == "" || r.PathValue("version") != c.version {
		writeProblem(w, http.StatusNotFound, "there is no such file")
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(b)
}

// writeProblem writes a problem (RFC 9457), as the API does.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}
