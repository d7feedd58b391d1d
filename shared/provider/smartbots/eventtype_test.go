package smartbots_test

import (
	"errors"
	"testing"

	"ringback/shared/provider"
	"ringback/shared/provider/smartbots"
)

// TestBalanceChangesIfAmountAndBalanceComeWithoutAMessage is about the page of
// balance_changed, which calls the action instant_message: such a one with
// amount and balance and no message is meant, and only such a one.
func TestBalanceChangesIfAmountAndBalanceComeWithoutAMessage(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{"action=instant_message&amount=50&balance=1250", "balance_changed"},
		{"action=instant_message&amount=50&balance=1250&message=", "balance_changed"},
		{"action=instant_message&amount=50", "instant_message"},
		{"action=instant_message&balance=1250", "instant_message"},
		{"action=instant_message&amount=50&balance=", "instant_message"},
		{"action=instant_message&amount=&balance=1250", "instant_message"},
		{"action=instant_message&amount=50&balance=1250&message=thanks", "instant_message"},
		{"action=instant_message&amount=50&message=thanks", "instant_message"},
		{"action=instant_message", "instant_message"},
		{"action=group_message&amount=50&balance=1250", "group_message"},
		{"event=instant_message&amount=50&balance=1250", "instant_message"},
		{"amount=50&balance=1250", "smartbots.unnamed"},
		{"action=balance_changed&message=thanks", "balance_changed"},
	} {
		if got := parse(t, form, tt.body).Type; got != tt.want {
			t.Errorf("type of %s = %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestEventIsNamedByActionThenEventThenType(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{"action=a&event=e&type=t", "a"},
		{"type=t&event=e&action=a", "a"},
		{"event=e&type=t", "e"},
		{"action=&event=e&type=t", "e"},
		{"action=&event=&type=t", "t"},
		{"action=&event=&type=", "smartbots.unnamed"},
	} {
		if got := parse(t, form, tt.body).Type; got != tt.want {
			t.Errorf("type of %s = %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestBodyWithoutALabelGetsThatOfItsFormat(t *testing.T) {
	for _, tt := range []struct{ label, body, want string }{
		{"", "action=typed", form},
		{"", `{"action":"typed"}`, "application/json"},
		{"text/plain", `{"action":"typed"}`, "text/plain"},
		{"text/plain", "action=typed", "text/plain"},
	} {
		cb := provider.Callback{Header: map[string][]string{"Content-Type": {tt.label}}, Body: []byte(tt.body)}
		got, err := smartbots.Provider{}.Parse(&cb)
		if err != nil || got.ContentType != tt.want {
			t.Errorf("Parse of %s labelled %q: label %q, %v, want %q", tt.body, tt.label, got.ContentType, err, tt.want)
		}
	}
}

func TestInvitationAloneIsDecided(t *testing.T) {
	for _, e := range (smartbots.Provider{}).EventTypes() {
		if got, want := (smartbots.Provider{}).Decides(e.Name), e.Name == "group_invite"; got != want {
			t.Errorf("Decides(%q) = %v, want %v", e.Name, got, want)
		}
	}
	if !(smartbots.Provider{}).Decides("group_invite") {
		t.Error("Decides(group_invite) = false, want true")
	}
}

func TestReplySaysNothingUnlessItRefuses(t *testing.T) {
	for _, tt := range []struct {
		err               error
		code              int
		contentType, body string
	}{
		{nil, 200, "", ""},
		{provider.ErrNotFound, 404, "application/json", `{"error":"not found"}`},
		{errors.New("inner"), 503, "application/json", `{"error":"try again later"}`},
	} {
		got := smartbots.Provider{}.Reply(tt.err)
		if got.StatusCode != tt.code || got.ContentType != tt.contentType || string(got.Body) != tt.body {
			t.Errorf("Reply(%v) = %d, %q, %s, want %d, %q, %s", tt.err, got.StatusCode, got.ContentType, got.Body, tt.code, tt.contentType, tt.body)
		}
	}
}
