package form_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ringback/shared/provider/form"
)

func TestFieldsAreReadAsTheyAreSent(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want []form.Field
	}{
		{"", []form.Field{}},
		{"&&", []form.Field{}},
		{"a=1&b=2", []form.Field{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
		{"a", []form.Field{{Name: "a", Value: ""}}},
		{"=1", []form.Field{{Name: "", Value: "1"}}},
		{"a=b=c", []form.Field{{Name: "a", Value: "b=c"}}},
		{"m=1+1%2B1%20x", []form.Field{{Name: "m", Value: "1 1+1 x"}}},
		{"m=%e2%82%AC", []form.Field{{Name: "m", Value: "€"}}},
		{"m=%zz%4&n=%&o=100%", []form.Field{{Name: "m", Value: "%zz%4"}, {Name: "n", Value: "%"}, {Name: "o", Value: "100%"}}},
		{"m=a;b", []form.Field{{Name: "m", Value: "a;b"}}},
		{"m=%26%3D%0A", []form.Field{{Name: "m", Value: "&=\n"}}},
		{"b%5B%5D=1&b[]=2", []form.Field{{Name: "b[]", Value: "1"}, {Name: "b[]", Value: "2"}}},
	} {
		if diff := cmp.Diff(tt.want, form.All(tt.raw)); diff != "" {
			t.Errorf("All(%q), -want +got:\n%s", tt.raw, diff)
		}
	}
}

func TestFieldsAreReadAsNetURLReadsWhatItTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := url.Values{}
		for range rapid.IntRange(1, 5).Draw(t, "fields") {
			values.Add(rapid.String().Draw(t, "name"), rapid.String().Draw(t, "value"))
		}
		got := url.Values{}
		for _, f := range form.All(values.Encode()) {
			got.Add(f.Name, f.Value)
		}
		if diff := cmp.Diff(values, got); diff != "" {
			t.Fatalf("Fields(%q), -want +got:\n%s", values.Encode(), diff)
		}
	})
}

func TestRawTextOfEachFieldIsKept(t *testing.T) {
	const raw = "a=%31&b=x+y&c"
	var parts []string
	for part := range form.Fields(raw) {
		parts = append(parts, part)
	}
	if got := strings.Join(parts, "&"); got != raw {
		t.Errorf("parts of %q join to %q", raw, got)
	}
}

func TestFieldsEndWithTheLoopOverThem(t *testing.T) {
	for part := range form.Fields("a=1&b=2&c=3") {
		if part == "b=2" {
			return
		}
	}
	t.Error("Fields of a=1&b=2&c=3 did not yield b=2")
}

func TestObjectKeepsOrderAndGathersRepeats(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"", `{}`},
		{"z=1&a=2", `{"z":"1","a":"2"}`},
		{"z=1&a=2&z=3", `{"z":["1","3"],"a":"2"}`},
		{"m=%3Cb%3E%22%0A", `{"m":"<b>\"\n"}`},
		{"m=caf%E9&%E9=1&%E8=2", "{\"m\":\"caf\uFFFD\",\"\uFFFD\":[\"1\",\"2\"]}"},
	} {
		if got := string(form.Object(form.All(tt.raw))); got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("Object of %q = %s, want %s", tt.raw, got, tt.want)
		}
	}
}

// BenchmarkObject writes the object of a form as SmartBots sends it: the page of
// instant_message names these fields.
func BenchmarkObject(b *testing.B) {
	raw := "action=instant_message&bot_name=Bot+Resident&channel=1&group_uuid=5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11" +
		"&speaker_name=Some+Resident&speaker_uuid=7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10&message=" + strings.Repeat("caf%C3%A9+", 60)
	b.ReportAllocs()
	for b.Loop() {
		form.Object(form.All(raw))
	}
}
