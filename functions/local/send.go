package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ringback/shared/provider/tencentchat"
)

// A sample is the HTTP request in a Lambda input of the ingest functions ("Create AWS Lambda proxy integrations for
// HTTP APIs in API Gateway", payload format version 2.0).
type sample struct {
	RawPath        string            `json:"rawPath"`
	RawQuery       string            `json:"rawQueryString"`
	Headers        map[string]string `json:"headers"`
	Body           string            `json:"body"`
	Base64         bool              `json:"isBase64Encoded"`
	RequestContext struct {
		HTTP struct {
			Method string `json:"method"`
		} `json:"http"`
	} `json:"requestContext"`
}

// send sends a sample callback as its provider would send it now.
func send(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("local send", flag.ContinueOnError)
	to := flags.String("to", "http://127.0.0.1:8080", "callback `URL` of a source, or base URL; login:password@ in it becomes Basic authorization")
	token := flags.String("token", "", "authentication `token` of a tencent-chat source, to sign with")
	lambda := flags.Bool("lambda", false, "print the sample as a Lambda input, freshly signed, in place of sending it")
	file, err := parseFile(flags, args, out)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if *lambda {
		return printLambda(out, text, *token)
	}
	var s sample
	if err := json.Unmarshal(text, &s); err != nil || s.RequestContext.HTTP.Method == "" {
		return fmt.Errorf("%s: want a Lambda input of a callback function, such as events/tencentchat-bot-on-group-message.json", file)
	}
	req, err := s.request(ctx, *to, *token, time.Now())
	if err != nil {
		return err
	}
	return exchange(req, out)
}

// parseFile returns the file argument; flags may stand before and after it.
func parseFile(flags *flag.FlagSet, args []string, out io.Writer) (string, error) {
	if err := sending.parse(flags, args, out); err != nil {
		return "", err
	}
	file := flags.Arg(0)
	if file == "" {
		return "", &usageError{flags.Name(), errors.New("send: want a file of events/")}
	}
	return file, sending.parseAll(flags, flags.Args()[1:], out)
}

var errTo = errors.New("-to: want a URL such as http://127.0.0.1:8080")

// request returns the sample as an HTTP request. A path in to replaces the sample's.
func (s sample) request(ctx context.Context, to, token string, now time.Time) (*http.Request, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" {
		return nil, errTo
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = s.RawPath
	}
	u.RawQuery = s.query(token, now)
	body := []byte(s.Body)
	if s.Base64 {
		if body, err = base64.StdEncoding.DecodeString(s.Body); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	login := u.User
	u.User = nil
	req, err := http.NewRequestWithContext(ctx, s.RequestContext.HTTP.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errTo
	}
	for name, value := range s.Headers {
		if !strings.EqualFold(name, "host") && !strings.EqualFold(name, "content-length") {
			req.Header.Set(name, value)
		}
	}
	if login != nil {
		password, _ := login.Password()
		req.SetBasicAuth(login.Username(), password)
	}
	return req, nil
}

func (s sample) query(token string, now time.Time) string {
	if token == "" {
		return s.RawQuery
	}
	return tencentchat.SignQuery(s.RawQuery, token, now)
}

// printLambda writes the Lambda input with a signature made now. It does not change fields that it does not know.
func printLambda(out io.Writer, text []byte, token string) error {
	var all map[string]json.RawMessage
	var s sample
	if err := errors.Join(json.Unmarshal(text, &all), json.Unmarshal(text, &s)); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	if s.RequestContext.HTTP.Method != "" {
		all["rawQueryString"], _ = json.Marshal(s.query(token, time.Now())) // cannot fail: text
	}
	return printJSON(out, all)
}

// printJSON writes v indented, as people and sam read it.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// exchange sends req and prints the response.
func exchange(req *http.Request, out io.Writer) error {
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return fmt.Errorf("send to %s: %w", req.URL.Host, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("response of %s: %w", req.URL.Host, err)
	}
	fmt.Fprintf(out, "%s %s\n", resp.Status, bytes.TrimSpace(body))
	if resp.StatusCode >= 300 {
		return errors.New("send: the callback was rejected" + missing(req, resp.StatusCode))
	}
	return nil
}

// missing returns a hint at what req lacks if the response is 401.
func missing(req *http.Request, status int) string {
	signed, loggedIn := strings.Contains(req.URL.RawQuery, "Sign="), req.Header.Get("Authorization") != ""
	switch at := req.URL.Path; {
	case status != http.StatusUnauthorized:
	case strings.Contains(at, "/callbacks/tencent-chat/") && !signed:
		return "; it had no signature: want -token with the source's token"
	case strings.Contains(at, "/callbacks/direct/") && !loggedIn:
		return "; it had no login: want -to with login:password@ before the host"
	}
	return ""
}
