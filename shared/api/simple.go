package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
)

// maxForm is the size of the largest form in bytes.
const maxForm = 64 << 10

const setHTTPCallback = "set-http-callback"

// setCallbackCost is how many API calls a set_http_callback counts for: it
// judges a security code, which is slow on purpose.
const setCallbackCost = 4

// simpleParameters are those of set_http_callback ("Set HTTP callback to be
// called on group events", SmartBots), as document.json describes them. Others are ignored.
var simpleParameters = [...]string{"action", "apikey", "secret", "secret_sha1", "group", "app_name", "app_uuid", "url"}

// A simpleReply is the response: resulttext only with FAIL, the group only with OK.
type simpleReply struct {
	Result     string  `json:"result"`
	ResultText string  `json:"resulttext,omitempty"`
	GroupUUID  *string `json:"group_uuid,omitempty"`
	GroupID    *string `json:"group_id,omitempty"`
}

// simple serves SmartBots' own call: HTTP 200 and JSON for OK and FAIL alike.
func (s *server) simple(w http.ResponseWriter, r *http.Request) {
	c := callOf(r.Context())
	c.operation = setHTTPCallback
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		s.writeError(r.Context(), w, errMethod)
		return
	}
	reply := simpleReply{Result: "OK"}
	group, err := s.setCallback(r.Context(), c, r)
	if err == nil {
		reply.GroupUUID, reply.GroupID = &group.UUID, &group.GroupID
	} else {
		reply = simpleReply{Result: "FAIL", ResultText: s.failText(c, err)}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(reply)
}

// failText returns what the caller may read about err, and notes it.
func (s *server) failText(c *call, err error) string {
	c.why = err.Error()
	refusal, refused := errors.AsType[*groups.Refusal](err)
	_, tooOften := errors.AsType[*control.RateLimitError](err)
	switch {
	case refused:
		return refusal.Text
	case tooOften:
		return "too many calls; try again in a second"
	case errors.Is(err, control.ErrUnauthorized):
		return "apikey: unknown or expired"
	case errors.Is(err, control.ErrForbidden):
		return "apikey: it may not set callbacks"
	}
	s.g.Log.Error("api", "operation", setHTTPCallback, "key", c.caller.Key, "outcome", "failed", "why", err.Error())
	return "something went wrong here; try again later"
}

func (s *server) setCallback(ctx context.Context, c *call, r *http.Request) (gateway.Group, error) {
	p, err := simpleValues(r)
	if err != nil {
		return gateway.Group{}, err
	}
	if p["action"] != "set_http_callback" {
		return gateway.Group{}, &groups.Refusal{Text: "action: want set_http_callback"}
	}
	if err := s.admit(ctx, c, p["apikey"], setCallbackCost); err != nil {
		return gateway.Group{}, err
	}
	return s.groups.SetHTTPCallback(ctx, c.caller, groups.CallbackRequest{
		Group: p["group"], Secret: p["secret"], SecretSHA1: p["secret_sha1"], AppName: p["app_name"], AppUUID: p["app_uuid"], URL: p["url"],
	})
}

// simpleValues returns the parameters of query and form together. The error is
// a *groups.Refusal if one is given twice with different values.
func simpleValues(r *http.Request) (map[string]string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &groups.Refusal{Text: "the query cannot be read"}
	}
	form, err := readForm(r)
	if err != nil {
		return nil, &groups.Refusal{Text: "the form cannot be read"}
	}
	out := map[string]string{}
	for _, name := range simpleParameters {
		for i, v := range append(query[name], form[name]...) {
			if i > 0 && v != out[name] {
				return nil, &groups.Refusal{Text: name + ": given twice with different values"}
			}
			out[name] = v
		}
	}
	return out, nil
}

// readForm reads a form body and ignores the Content-Type, which clients of this call often leave out.
func readForm(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return nil, nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if kind == "multipart/form-data" {
		if err := r.ParseMultipartForm(maxForm); err != nil {
			return nil, err
		}
		return r.MultipartForm.Value, nil
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(strings.TrimRight(string(data), "\r\n"))
}
