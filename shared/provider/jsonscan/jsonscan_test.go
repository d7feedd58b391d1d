package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/provider/jsonscan"
)

func TestMembersAreFoundAndKeepTheirBytes(t *testing.T) {
	type member struct{ Name, Value string }
	for _, tt := range []struct {
		object string
		want   []member
	}{
		{`{}`, nil},
		{"{ \t\r\n}", nil},
		{`{"a":1}`, []member{{"a", "1"}}},
		{"{ \"a\" :\n-1.50e+3 ,\t\"b\":null}", []member{{"a", "-1.50e+3"}, {"b", "null"}}},
		{`{"a":{"b":[1,{"c":"}"}]},"d":[]}`, []member{{"a", `{"b":[1,{"c":"}"}]}`}, {"d", "[]"}}},
		{`{"a":"\\","b":"\"}","c\\\"":"\\\\\""}`, []member{{"a", `"\\"`}, {"b", `"\"}"`}, {`c\"`, `"\\\\\""`}}},
		{`{"a":1,"a":2,"\u0061":3}`, []member{{"a", "1"}, {"a", "2"}, {"a", "3"}}},
		{`{"":true,"\ud800":false}`, []member{{"", "true"}, {"\uFFFD", "false"}}},
	} {
		var got []member
		for name, v := range jsonscan.Members([]byte(tt.object)) {
			got = append(got, member{string(name), string(v)})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Members(%s), -want +got:\n%s", tt.object, diff)
		}
	}
}

func TestElementsAreFoundAndKeepTheirBytes(t *testing.T) {
	for _, tt := range []struct {
		array string
		want  []string
	}{
		{"[]", nil},
		{"[ ]", nil},
		{`[1, "a,b" ,[2,[3]],{"c":"]"},null ]`, []string{"1", `"a,b"`, "[2,[3]]", `{"c":"]"}`, "null"}},
	} {
		var got []string
		for v := range jsonscan.Elements([]byte(tt.array)) {
			got = append(got, string(v))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Elements(%s), -want +got:\n%s", tt.array, diff)
		}
	}
}

func TestMembersAndElementsEndWithTheLoopOverThem(t *testing.T) {
	for name := range jsonscan.Members([]byte(`{"a":1,"b":2,"c":3}`)) {
		if string(name) == "b" {
			break
		}
	}
	for v := range jsonscan.Elements([]byte(`[1,2,3]`)) {
		if string(v) == "2" {
			break
		}
	}
}

// TestPlainNamesAreNotCopied holds what Members is written for: a packet has many
// members of which few are looked at.
func TestPlainNamesAreNotCopied(t *testing.T) {
	object := []byte(`{"a":1,"é":"x","b":[2]}`)
	if got := testing.AllocsPerRun(50, func() {
		for range jsonscan.Members(object) {
		}
	}); got > 0 {
		t.Errorf("Members of plain names allocates %v times, want 0", got)
	}
}

func TestTextIsThatOfStringsAndNumbers(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{``, ""},
		{`""`, ""},
		{`"a"`, "a"},
		{`"\u0000\n\ud83d\ude80"`, "\x00\n🚀"},
		{`"\ud83d"`, "\uFFFD"},
		{"\"\xff\"", "\uFFFD"},
		{`4.20`, "4.20"},
		{`-9007199254740993`, "-9007199254740993"},
		{`true`, ""},
		{`null`, ""},
		{`["a"]`, ""},
		{`{"a":1}`, ""},
	} {
		if got := jsonscan.Value(tt.value).Text(); got != tt.want {
			t.Errorf("Text of %s = %q, want %q", tt.value, got, tt.want)
		}
	}
}

func TestKindIsThatOfTheFirstByte(t *testing.T) {
	for _, tt := range []struct {
		value         string
		object, array bool
	}{
		{"", false, false},
		{"{}", true, false},
		{"[]", false, true},
		{"{", true, false},
		{"[", false, true},
		{`"{"`, false, false},
		{`"["`, false, false},
		{"1", false, false},
		{"null", false, false},
	} {
		v := jsonscan.Value(tt.value)
		if v.IsObject() != tt.object || v.IsArray() != tt.array {
			t.Errorf("%s: IsObject %v, IsArray %v, want %v and %v", tt.value, v.IsObject(), v.IsArray(), tt.object, tt.array)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`[{"a":"]}`+`\"[",`+`"b":`, n/2) + "1" + strings.Repeat("}]", n/2)
	}
	for _, tt := range []struct {
		value string
		want  bool
	}{
		{nested(jsonscan.MaxDepth), false},
		{nested(jsonscan.MaxDepth + 2), true},
		{"[" + strings.Repeat(`{},`, 2*jsonscan.MaxDepth) + "[]]", false},
		{"[" + strings.Repeat(`["a"],{"a":"b"},`, 2*jsonscan.MaxDepth) + "[]]", false},
		{`"` + strings.Repeat("[", 2*jsonscan.MaxDepth) + `"`, false},
	} {
		if !json.Valid([]byte(tt.value)) {
			t.Fatalf("not JSON: %.80s", tt.value)
		}
		if got := jsonscan.TooDeep([]byte(tt.value)); got != tt.want {
			t.Errorf("TooDeep(%.40s…) = %v, want %v", tt.value, got, tt.want)
		}
	}
}

func TestTrimRemovesMarkAndWhiteSpace(t *testing.T) {
	if got := string(jsonscan.Trim([]byte("\uFEFF \r\n{}\t"))); got != "{}" {
		t.Errorf("Trim = %q, want {}", got)
	}
}

// FuzzScan compares with encoding/json what a valid object or array holds.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":{"b":[1,"}"]},"c":"\\\"","\u0064":-1.5e3}`, `[[],{},"]",null]`, `{"":"\ud800"}`, " [ 1 , 2 ]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = jsonscan.Trim(b)
		if !json.Valid(b) {
			return
		}
		jsonscan.TooDeep(b)
		switch v := jsonscan.Value(b); {
		case v.IsObject():
			var want map[string]json.RawMessage
			if err := json.Unmarshal(b, &want); err != nil {
				return // encoding/json refuses what is nested too deep
			}
			got := map[string]json.RawMessage{}
			for name, m := range jsonscan.Members(v) {
				got[string(name)] = json.RawMessage(m)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Members(%s), -want +got:\n%s", b, diff)
			}
		case v.IsArray():
			var want []json.RawMessage
			if err := json.Unmarshal(b, &want); err != nil {
				return
			}
			i := 0
			for e := range jsonscan.Elements(v) {
				if i >= len(want) || !bytes.Equal(e, want[i]) {
					t.Fatalf("Elements(%s): element %d is %s", b, i, e)
				}
				i++
			}
			if i != len(want) {
				t.Errorf("Elements(%s): %d, want %d", b, i, len(want))
			}
		}
	})
}
