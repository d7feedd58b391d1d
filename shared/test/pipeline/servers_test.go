package pipeline

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// secretsManager answers GetSecretValue with the secrets that it holds by ARN.
type secretsManager map[string]string

func (s secretsManager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ SecretId string }
	err := json.NewDecoder(r.Body).Decode(&in)
	text, ok := s[in.SecretId]
	if err != nil || !ok || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"ARN": in.SecretId, "SecretString": text})
}

// A receiver is a tenant's endpoint on loopback.
type receiver struct {
	url string

	mu      sync.Mutex
	refuses int           // POSTs still to be refused
	hangs   chan struct{} // if not nil, closed by the first POST, which gets no response
	posts   []post
}

type post struct {
	header http.Header
	body   []byte
	status int
}

func newReceiver(t *testing.T, refuses int) *receiver {
	r := &receiver{refuses: refuses}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/hook"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	hangs := r.hangs
	r.hangs = nil
	r.mu.Unlock()
	if hangs != nil {
		close(hangs)
		<-req.Context().Done()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := post{maps.Clone(req.Header), body, http.StatusOK}
	if r.refuses > 0 {
		r.refuses--
		p.status = http.StatusInternalServerError
	}
	r.posts = append(r.posts, p)
	w.WriteHeader(p.status)
}

// got returns the POSTs so far that were answered with a status.
func (r *receiver) got(status int) []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []post
	for _, p := range r.posts {
		if p.status == status {
			out = append(out, p)
		}
	}
	return out
}
