package gateway

import (
	"errors"
	"testing"

	"ringback/shared/storage"
)

func TestSettingsFitTheirProvider(t *testing.T) {
	token, login, allow, app := "token", Login{"login", "password"}, []string{"192.0.2.0/24"}, uint64(1)
	for _, tt := range []struct {
		name     string
		change   SourceChange
		provider string
		fits     bool
	}{
		{"a token of tencent-chat", SourceChange{Token: &token}, "tencent-chat", true},
		{"a token of direct", SourceChange{Token: &token}, "direct", false},
		{"a login of direct", SourceChange{Basic: &login}, "direct", true},
		{"a login of smartbots", SourceChange{Basic: &login}, "smartbots", false},
		{"addresses of tencent-chat", SourceChange{Allow: &allow}, "tencent-chat", false},
		{"all of a new provider", SourceChange{Token: &token, Basic: &login, Allow: &allow}, "pigeon", true},
		{"an application of a new provider", SourceChange{SDKAppID: &app}, "pigeon", false},
		{"an upstream of a new provider", SourceChange{Upstream: &UpstreamChange{}}, "pigeon", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.change.check(tt.provider); (err == nil) != tt.fits || err != nil && !errors.Is(err, storage.ErrInvalid) {
				t.Errorf("check(%s) = %v, want it to fit: %v", tt.provider, err, tt.fits)
			}
		})
	}
}

func TestLoginsThatNoHeaderCarries(t *testing.T) {
	for _, l := range []Login{{}, {"login", ""}, {"", "password"}, {"lo:gin", "password"}, {"login", "pass\nword"}, {"login\xd6", "\x89password"}} {
		if err := l.check(); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("check of %q: %v, want ErrInvalid", l, err)
		}
	}
	for _, l := range []Login{{"login", "pass:word"}, {"lög in", "pässword"}} {
		if err := l.check(); err != nil {
			t.Errorf("check of %q: %v", l, err)
		}
	}
}
