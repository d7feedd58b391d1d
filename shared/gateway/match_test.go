package gateway

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

func TestMatchIsAndOverKeysAndOrOverValues(t *testing.T) {
	keys := map[string][]string{"group": {"g1"}, "bot": {"b1", "b2"}}
	for _, tt := range []struct {
		m    Match
		want bool
	}{
		{nil, true},
		{Match{"group": {"g1"}}, true},
		{Match{"group": {"g2", "g1"}}, true},
		{Match{"group": {"g2"}}, false},
		{Match{"group": {"G1"}}, false},
		{Match{"group": {"g*"}}, false},
		{Match{"bot": {"b2"}, "group": {"g1"}}, true},
		{Match{"bot": {"b3"}, "group": {"g1"}}, false},
		{Match{"topic": {""}}, false},
	} {
		if got := tt.m.Accepts(keys); got != tt.want {
			t.Errorf("%v accepts %v: %v, want %v", tt.m, keys, got, tt.want)
		}
	}
}

func TestMatchThatSaysNothingIsRefused(t *testing.T) {
	kinds := []string{"group", "bot"}
	for _, m := range []Match{{}, {"group": {}}, {"group": nil}, {"grupo": {"g"}}, {"group": {""}}, {"group": {"\xd6"}}} {
		if err := m.Check(kinds); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("%v: %v, want ErrInvalid", m, err)
		}
	}
	for _, m := range []Match{nil, {"group": {"g"}}, {"label": {"acme"}, "bot": {"b"}}} {
		if err := m.Check(kinds); err != nil {
			t.Errorf("%v: %v", m, err)
		}
	}
}

func TestEventTypePatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, typ string
		want         bool
	}{
		{"Bot.*", "Bot.OnGroupMessage", true},
		{"Bot.*", "Chatbot.OnC2CSignalMessage", false},
		{"*", "anything", true},
		{"delivered", "delivered", true},
		{"delivered", "delivered2", false},
		{"*", "registration.disabled", false},
		{"registration.*", "registration.disabled", false},
		{"registration.disabled", "registration.disabled", true},
	} {
		if got := WantsType([]string{tt.pattern}, tt.typ); got != tt.want {
			t.Errorf("%q wants %q: %v, want %v", tt.pattern, tt.typ, got, tt.want)
		}
	}
	for _, bad := range []string{"", "a*b", "**", "a#b", "\x89"} {
		if err := CheckEventTypes([]string{bad}); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("event type %q: %v, want ErrInvalid", bad, err)
		}
	}
}

// TestHintsFindWhateverIsWanted is the promise of the match index: an event's
// streams meet the hints of each registration that wants it.
func TestHintsFindWhateverIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "c", "a=b", "ab"})
		kinds := rapid.SampledFrom([]string{"group", "bot", "label"})
		r := Registration{ID: "reg_1", Source: "src-00000000"}
		r.EventTypes = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "a*", "*", "b"}), 1, 3).Draw(t, "types")
		if rapid.Bool().Draw(t, "matches") {
			r.Match = rapid.MapOfN(kinds, rapid.SliceOfN(word, 1, 3), 1, 3).Draw(t, "match")
		}
		e := &provider.Event{Source: r.Source, Type: rapid.SampledFrom([]string{"a", "ab", "abc", "b"}).Draw(t, "type")}
		e.Keys = rapid.MapOfN(kinds, rapid.SliceOfN(word, 1, 3), 0, 3).Draw(t, "keys")
		var v generation
		v.addPatterns(r.IndexEntries())
		met := 0
		for _, s := range v.postingsFor(e) {
			for _, h := range r.IndexEntries() {
				if s == h {
					met++
				}
			}
		}
		if r.Wants(e) && met == 0 {
			t.Fatalf("%+v wants %+v and stands under none of %v", r, e, v.postingsFor(e))
		}
	})
}

func TestBeginJudgesWhoMayGoOn(t *testing.T) {
	stored := EventRow{Token: "t1", Run: "p1.1", Lease: noon}
	for _, tt := range []struct {
		name       string
		token, run string
		before     bool // of the lease's end
		alone      bool
		want       claimResult
	}{
		{"provider repeats while it runs", "t2", "p1.2", true, false, duplicate},
		{"provider repeats after it ended", "t2", "p1.2", false, false, duplicate},
		{"duplicate while the first run lives", "t1", "p1.2", true, false, claimedByOther},
		{"duplicate after the lease", "t1", "p1.2", false, false, resumed},
		{"the same run asks again", "t1", "p1.1", true, false, resumed},
		{"another process, which may live", "t1", "p2.1", true, false, claimedByOther},
		{"another process, which is dead", "t1", "p2.1", true, true, resumed},
		{"own process, alone", "t1", "p1.2", true, true, claimedByOther},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := noon
			if tt.before {
				now = noon.Add(-1)
			}
			if got := stored.checkClaim(tt.token, tt.run, now, tt.alone); got != tt.want {
				t.Errorf("judge = %s, want %s", fmt.Sprint(got), fmt.Sprint(tt.want))
			}
		})
	}
}
