package control

import (
	"errors"
	"testing"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

func TestSettingsFitTheirProvider(t *testing.T) {
	token, login, allow, app := "token", provider.Login{Name: "login", Password: "password"}, []string{"192.0.2.0/24"}, uint64(1)
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
	for _, l := range []provider.Login{{}, {Name: "login", Password: ""}, {Name: "", Password: "password"}, {Name: "lo:gin", Password: "password"}, {Name: "login", Password: "pass\nword"}, {Name: "login\xd6", Password: "\x89password"}} {
		if err := checkLogin(l); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("check of %q: %v, want ErrInvalid", l, err)
		}
	}
	for _, l := range []provider.Login{{Name: "login", Password: "pass:word"}, {Name: "lög in", Password: "pässword"}} {
		if err := checkLogin(l); err != nil {
			t.Errorf("check of %q: %v", l, err)
		}
	}
}
