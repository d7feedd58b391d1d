package groups

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
)

func TestSecurityCodeIsVerifiedByItsSHA1(t *testing.T) {
	hash := hashCode(sha1Hex("harbor"))
	if !verifyCode(hash, sha1Hex("harbor")) {
		t.Error("the code does not verify")
	}
	if hash == hashCode(sha1Hex("harbor")) {
		t.Error("the same code twice has one hash, want another salt")
	}
	for _, tt := range []struct{ name, hash, code string }{
		{"another code", hash, sha1Hex("Harbor")},
		{"no group", "", sha1Hex("harbor")},
		{"no code", hash, ""},
		{"neither", "", ""},
		{"a hash cut short", hash[:20], sha1Hex("harbor")},
	} {
		if verifyCode(tt.hash, tt.code) {
			t.Errorf("%s: verified", tt.name)
		}
	}
	if strings.Contains(hash, "harbor") || strings.Contains(hash, sha1Hex("harbor")) {
		t.Error("the hash holds what it is of")
	}
}

// TestWrongCodesAreCountedOverAllNames tries codes for as many groups as a tenant may.
func TestWrongCodesAreCountedOverAllNames(t *testing.T) {
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Date(2100, 3, 1, 12, 0, 0, 0, time.UTC)
	gw, err := gateway.New(gateway.Config{Store: db, Queue: db, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	gs := New(control.New(gw), "")
	guess := func(tenant, name string, want error) time.Time {
		t.Helper()
		at, err := gs.guess(t.Context(), tenant, name)
		if !errors.Is(err, want) {
			t.Errorf("guess of %s for %s: %v, want %v", tenant, name, err, want)
		}
		return at
	}
	for range maxGuesses {
		guess("ten_1", "group", nil)
	}
	guess("ten_1", " GROUP", control.ErrLimit)
	now = now.Add(time.Minute)
	var last time.Time
	for n := range maxAllGuesses - maxGuesses {
		last = guess("ten_1", fmt.Sprint("group ", n), nil)
	}
	guess("ten_1", "one more", control.ErrLimit)
	guess("ten_2", "one more", nil)
	if err := gs.guessedRight(t.Context(), "ten_1", fmt.Sprint("group ", maxAllGuesses-maxGuesses-1), last); err != nil {
		t.Fatal(err)
	}
	guess("ten_1", "one in place of what was right", nil)
	guess("ten_1", "one more", control.ErrLimit)
	now = now.Add(guessWindow - time.Minute) // the first five end
	guess("ten_1", "group", nil)
	for n := range maxGuesses - 1 {
		guess("ten_1", fmt.Sprint("later ", n), nil)
	}
	guess("ten_1", "one more", control.ErrLimit)
}

// TestLineOfCodesIsShortAndFair has many ask while one code is judged.
func TestLineOfCodesIsShortAndFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHashQueue()
		judged, mayGo := []string(nil), make(chan struct{})
		stand := func(who string, c control.Caller) <-chan error {
			done := make(chan error, 1)
			go func() { done <- l.run(t.Context(), c, func() { <-mayGo; judged = append(judged, who) }) }()
			synctest.Wait()
			return done
		}
		for n := range maxWaiting {
			c := control.Caller{Tenant: fmt.Sprint("ten_", n)}
			for range maxPerTenant {
				stand(c.Tenant, c)
			}
			if _, ok := errors.AsType[*control.RateLimitError](<-stand("", c)); !ok {
				t.Errorf("%s stands in line once more than it may", c.Tenant)
			}
		}
		if _, ok := errors.AsType[*control.RateLimitError](<-stand("", control.Caller{Tenant: "ten_9"})); !ok {
			t.Errorf("%d stand in line", maxWaiting+1)
		}
		operator := stand("operator", control.Operator())
		for range maxWaiting*maxPerTenant + 1 {
			mayGo <- struct{}{}
			synctest.Wait()
		}
		if err := <-operator; err != nil || len(judged) != maxWaiting*maxPerTenant+1 {
			t.Errorf("the operator's code: %v, after %q", err, judged)
		}
		if len(l.waiting) > 0 {
			t.Errorf("%v are left in line", l.waiting)
		}
		again := stand("again", control.Caller{Tenant: "ten_9"})
		mayGo <- struct{}{}
		if err := <-again; err != nil {
			t.Errorf("a code after all: %v", err)
		}
	})
}

func TestGroupNamesAreFolded(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"Harbor Crew", " harbor CREW\t", true},
		{"ÉCOLE", "école", true},
		{"ΣΑΣ", "σας", true},
		{"Harbor Crew", "Harbor  Crew", false},
		{"Harbor", "Harbour", false},
	} {
		if got := control.FoldName(tt.a) == control.FoldName(tt.b); got != tt.same {
			t.Errorf("%q and %q are one name: %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}
