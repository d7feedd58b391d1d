package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatusDecidesTheClass(t *testing.T) {
	for _, tt := range []struct {
		from, to int
		want     Class
	}{
		{0, 99, StatusOther},
		{100, 199, Status1xx},
		{200, 299, OK},
		{300, 399, Status3xx},
		{400, 499, Status4xx},
		{500, 599, Status5xx},
		{600, 999, StatusOther},
	} {
		for code := tt.from; code <= tt.to; code++ {
			c := &Client{Transport: answering(code)}
			got := c.Post(t.Context(), Request{URL: "https://tenant.example/"})
			if got.Class != tt.want || got.StatusCode != code || got.Error != Explain(tt.want) {
				t.Errorf("answered with %d: %+v, want class %q", code, got, tt.want)
			}
		}
	}
}

func TestErrorsOfTheTransportAreClassified(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	call := func(errno syscall.Errno) error { return os.NewSyscallError("connect", errno) }
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tt := range []struct {
		err    error
		want   Class
		detail string // empty: the error says what Explain does, no more
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "s3cret.example", IsNotFound: true}), DNS, "no such name"},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "s3cret.example", IsTemporary: true}), DNS, "no usable answer"},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "s3cret.example", IsTimeout: true}), Timeout, "not resolved"},
		{dial(errNotPublic), BlockedAddress, "private"},
		{dial(errOwn), BlockedAddress, "own"},
		{dial(errPort), BlockedAddress, "protocol"},
		{dial(call(syscall.ECONNREFUSED)), Connect, "refused"},
		{dial(call(syscall.EHOSTUNREACH)), Connect, "no way"},
		{dial(call(syscall.ENETUNREACH)), Connect, "no way"},
		{dial(call(syscall.EACCES)), Connect, "no way"},
		{dial(call(syscall.ETIMEDOUT)), Timeout, "no connection"},
		{&net.OpError{Op: "read", Err: call(syscall.ETIMEDOUT)}, Timeout, ""},
		{dial(os.ErrDeadlineExceeded), Timeout, "no connection"},
		{dial(call(syscall.EMFILE)), Internal, "could not open"},
		{dial(call(syscall.EADDRNOTAVAIL)), Internal, "could not open"},
		{errors.New(`net/http: invalid header field value for "X"`), Internal, "header"},
		{errors.New("http2: invalid Upgrade request header: s3cret"), Internal, "header"},
		{verify(x509.UnknownAuthorityError{}), TLS, "authority"},
		{verify(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "s3cret.example"}), TLS, "another name"},
		{verify(x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}), TLS, "expired"},
		{verify(x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.NotAuthorizedToSign}), TLS, "certificate is not valid."},
		{tls.RecordHeaderError{RecordHeader: [5]byte{'H', 'T', 'T', 'P', '/'}}, TLS, "plain HTTP"},
		{tls.RecordHeaderError{RecordHeader: [5]byte{'S', 'S', 'H', '-', '2'}}, TLS, "does not speak"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, TLS, "ended"},
		{&net.OpError{Op: "local error", Err: tls.AlertError(70)}, TLS, "no common"},
		{errors.New("tls: server selected unsupported protocol version 301"), TLS, "no common"},
		{io.EOF, Reset, ""},
		{fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", io.ErrUnexpectedEOF), Reset, ""},
		{&net.OpError{Op: "read", Err: call(syscall.ECONNRESET)}, Reset, ""},
		{&net.OpError{Op: "write", Err: call(syscall.EPIPE)}, Reset, ""},
		{errors.New("http: server closed idle connection"), Reset, ""},
		{errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer"), Reset, ""},
		{errors.New("http2: server sent GOAWAY and closed the connection; s3cret"), Reset, ""},
		{errors.New("http2: client connection lost"), Reset, ""},
		{errors.New("http2: response header list larger than advertised limit"), BadResponse, "too large"},
		{errors.New(`malformed HTTP response "s3cret"`), BadResponse, "first line"},
		{errors.New("net/http: server response headers exceeded 32768 bytes; aborted"), BadResponse, "too large"},
		{errors.New("net/http: too many 1xx informational responses"), BadResponse, ""},
	} {
		got := (&Client{Transport: failing{tt.err}}).Post(t.Context(), secretRequest("https://tenant.example"))
		if got.Class != tt.want || !strings.Contains(got.Error, tt.detail) || !strings.HasPrefix(got.Error, strings.TrimSuffix(Explain(tt.want), ".")) ||
			tt.detail == "" && got.Error != Explain(tt.want) {
			t.Errorf("transport failed with %v: %+v, want class %q with %q", tt.err, got, tt.want, tt.detail)
		}
		wantNoSecret(t, got)
	}
}

func TestEndOfTimeComesBeforeTheErrorItCaused(t *testing.T) {
	ours, cancel := context.WithCancel(t.Context())
	cancel()
	theirs, stop := context.WithTimeoutCause(t.Context(), 0, errTimeout)
	defer stop()
	for _, err := range []error{context.Canceled, context.DeadlineExceeded, net.ErrClosed, io.EOF} {
		if got, _ := classify(ours, err); got != Internal {
			t.Errorf("classify(stopped, %v) = %q, want %q", err, got, Internal)
		}
		if got, _ := classify(theirs, err); got != Timeout {
			t.Errorf("classify(time limit reached, %v) = %q, want %q", err, got, Timeout)
		}
	}
}

func TestEveryClassIsListedAndExplained(t *testing.T) {
	declared := declaredClasses(t)
	listed := append(slices.Collect(maps.Keys(explained)), OK)
	slices.Sort(declared)
	slices.Sort(listed)
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("explained (-declared +listed):\n%s", diff)
	}
	seen := map[string]Class{}
	for class := range explained {
		text := Explain(class)
		if !strings.HasSuffix(text, ".") || strings.Count(text, ".") != 1 {
			t.Errorf("Explain(%q) = %q, want one sentence", class, text)
		}
		if other, ok := seen[text]; ok {
			t.Errorf("Explain(%q) and Explain(%q) are the same", class, other)
		}
		seen[text] = class
	}
	if Explain(OK) != "" || Explain("unheard of") != "" {
		t.Errorf("Explain(OK) = %q, Explain of no class = %q, want both empty", Explain(OK), Explain("unheard of"))
	}
}

// answering is a network in which every POST is answered with a status.
type answering int

func (code answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(code), Header: http.Header{}, Body: http.NoBody}, nil
}

// failing is a network in which every POST fails.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// declaredClasses reads the constants of type Class from their declaration.
func declaredClasses(t *testing.T) []Class {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "egress.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var classes []Class
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Class" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			classes = append(classes, Class(text))
		}
		return true
	})
	return classes
}
