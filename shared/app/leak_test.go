package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

// leaky fails each POST in another way, with all that it knows in its error.
type leaky struct {
	to *gatewaytest.Endpoints
	n  atomic.Int64
}

func (l *leaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "leaky.example" {
		return l.to.RoundTrip(r)
	}
	all := fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	switch l.n.Add(1) % 6 {
	case 0:
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: all}
	case 1:
		return nil, &net.DNSError{Err: all.Error(), Name: r.URL.String(), IsNotFound: true}
	case 2:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.Join(all, syscall.ECONNREFUSED)}
	case 3:
		return nil, errors.Join(all, syscall.ECONNRESET)
	case 4:
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {r.URL.String()}}, Body: http.NoBody, Request: r}, nil
	}
	return nil, all
}

func TestNoSecretOfAnEndpointIsToldOrStored(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		secrets := []string{"s3cret-login", "s3cret-password", "s3cret-header", "s3cret-token"}
		w.g.Egress.Transport = &leaky{to: &w.endpoints}
		s, path := w.source(control.SourceChange{Provider: "tencent-chat", SDKAppID: ptr(uint64(1400000001))})
		c := w.tenant(s, nil)
		ch := control.RegistrationChange{
			URL: ptr("https://s3cret-login:s3cret-password@leaky.example/hook"), EventTypes: ptr([]string{"Bot.*"}), Format: ptr(gateway.Raw),
			Headers: map[string]string{"X-Key": "s3cret-header"}, RawToken: ptr("s3cret-token"), Schedule: &schedule.Schedule{Waits: []time.Duration{time.Minute}},
		}
		id, signing := ident.New("reg", time.Now()), ""
		r := again(w, func() (r gateway.Registration, err error) {
			r, signing, err = w.control().CreateRegistration(t.Context(), c, id, s.ID, ch)
			return r, err
		})
		if signing != "" {
			secrets = append(secrets, signing, strings.TrimPrefix(signing, "whsec_"))
		}
		kinds := []string{"registration.failing", "delivery.exhausted", "registration.disabled"}
		_, ops := w.register(c, s, "ops.example", control.RegistrationChange{EventTypes: &kinds})
		for n := range 12 {
			body := fmt.Sprintf(`{"CallbackCommand":"Bot.OnC2CMessage","From_Account":"a","To_Account":"@RBT#1","MsgRandom":%d,"MsgTime":%d}`, n, time.Now().Unix())
			w.post(path+"?SdkAppid=1400000001&CallbackCommand=Bot.OnC2CMessage&contenttype=json", "application/json", body, http.StatusOK)
			time.Sleep(time.Second)
		}
		w.within(24*time.Hour, "told of failures", func() bool {
			return len(ops.OfType("delivery.exhausted")) > 0 && len(ops.OfType("registration.failing")) > 0
		})

		told := map[string]string{"the log": w.log.String()}
		for _, p := range ops.Posts() {
			told["operational events"] += string(p.Body)
		}
		shown := func(name string, v any) {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			told[name] += string(b)
		}
		shown("the registration", r)
		classes := map[string]bool{}
		for _, d := range w.deliveries(c, r.ID) {
			shown("deliveries", d)
			as := again(w, func() ([]gateway.Attempt, error) {
				as, _, err := w.lists().Attempts(t.Context(), d, storage.PageRequest{})
				return as, err
			})
			for _, a := range as {
				shown("attempts", a)
				told["answers"] += string(a.Response)
				classes[string(a.Class)] = true
			}
		}
		for _, part := range w.export() {
			told["the export"] += string(part)
		}
		w.stop() // all that is stored lies in the files then
		defer w.start()
		files, err := filepath.Glob(filepath.Join(w.dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files %v, %v", files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			told["the file "+filepath.Base(f)] = string(b)
		}
		if len(classes) < 5 && w.weak == 0 {
			t.Errorf("attempts failed as %v, want five classes at least", classes)
		}
		for where, text := range told {
			if where == "the log" && !strings.Contains(text, "leaky.example") {
				t.Error("the log does not name the endpoint's host")
			}
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%s holds %s", where, secret)
				}
			}
		}
	})
}
