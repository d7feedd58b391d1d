package form_test

import (
	"fmt"
	"strings"
	"testing"

	"ringback/shared/provider/form"
)

// TestEveryByteIsReadFromItsEscape writes each byte as an escape in digits of
// either case.
func TestEveryByteIsReadFromItsEscape(t *testing.T) {
	for c := range 256 {
		for _, layout := range []string{"%%%02x", "%%%02X"} {
			escape := fmt.Sprintf(layout, c)
			got := form.All("m=" + escape)
			if len(got) != 1 || got[0].Value != string([]byte{byte(c)}) {
				t.Errorf("All(m=%s) = %q, want the byte %#x", escape, got, c)
			}
		}
	}
	for _, raw := range []string{"%g0", "%0g", "%G0", "%0G", "%/0", "%0/", "%:0", "%0:", "%@0", "%0@", "%`0", "%0`", "%", "%a"} {
		if got := form.All("m=" + raw); got[0].Value != raw {
			t.Errorf("All(m=%s) = %q, want it as it stands", raw, got)
		}
	}
	for raw, want := range map[string]string{"+": " ", "+a": " a", "a+": "a ", "%41+": "A ", "++%": "  %"} {
		if got := form.All("m=" + raw); got[0].Value != want {
			t.Errorf("All(m=%s) = %q, want %q", raw, got, want)
		}
	}
}

func TestEveryCharacterIsWrittenAsJSONTakesIt(t *testing.T) {
	long := strings.Repeat("long ", 100)
	for _, tt := range []struct{ value, want string }{
		{`"`, `\"`},
		{`a"`, `a\"`},
		{`\`, `\\`},
		{`a\b`, `a\\b`},
		{" ", " "},
		{"~", "~"},
		{"\x7f", "\x7f"},
		{"\x1f", `\u001f`},
		{"\t", `\t`},
		{"é", "é"},
		{"<&>", "<&>"},
		{long, long},
	} {
		got := string(form.Object([]form.Field{{Name: "m", Value: tt.value}, {Name: "n", Value: "1"}}))
		if want := `{"m":"` + tt.want + `","n":"1"}`; got != want {
			t.Errorf("Object of %q = %s, want %s", tt.value, got, want)
		}
	}
}

// TestUsualFormTakesFewAllocations holds what Fields and Object are written for:
// each callback of a form is read once and written once a delivery.
func TestUsualFormTakesFewAllocations(t *testing.T) {
	raw := "action=group_chat&speaker=Nadia+Quill&message=" + strings.Repeat("dock+is+open%2E+", 60)
	fields, printable := form.All(raw), []form.Field{{Name: "m", Value: " ~"}}
	for _, tt := range []struct {
		name string
		do   func()
		most float64
	}{
		{"All", func() { form.All(raw) }, 3},
		{"Object", func() { form.Object(fields) }, 2},
		{"Object of the outermost characters that are not escaped", func() { form.Object(printable) }, 1},
		{"All of plain text", func() { form.All("a=b&c=d") }, 1},
	} {
		if got := testing.AllocsPerRun(50, tt.do); got > tt.most {
			t.Errorf("%s allocates %v times, want at most %v", tt.name, got, tt.most)
		}
	}
}
