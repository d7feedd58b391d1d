package architecture

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A term is a thing with the one word that people see for it, and words that mean the same and that no surface uses.
type term struct{ word, synonyms string } // synonyms: a regular expression of whole words

// terms has the things of the product that people meet. "Message", for example, is no synonym of event by itself, since
// a queue has messages and a provider sends them; "event message" is one.
var terms = []term{
	{"provider", `vendors?|upstream services?`},
	{"source", `feeds|connectors?|integrations?`},
	{"callback", `hooks?|webhooks?`},
	{"callback URL", `(?:in-?bound|incoming|ingest|listener) (?:url|address)(?:e?s)?`},
	{"event", `(?:event|callback|webhook) messages?|notifications?`},
	{"event type", `event (?:kinds?|classes|topics?)`},
	{"routing key", `selectors?|filter keys?|routing tags?`},
	{"registration", `subscri\w*|listeners?`},
	{"endpoint", `sinks?|(?:target|destination|receiver) (?:url|address)(?:e?s)?`},
	{"delivery", `shipments?|transmissions?|dispatch(?:es)?|push(?:es)?`},
	{"attempt", `(?:delivery|retry) (?:try|tries)|shots?`},
	{"resend", `redeliver\w*`},
	{"schedule", `(?:retry|backoff) polic(?:y|ies)|retry plans?`},
	{"circuit", `fuses?`},
	{"backlog", `brakes?`},
	{"tenant", `customers?|clients?|subaccounts?|organi[sz]ations?|workspaces?`},
	{"operator", `admins?|administrators?|super-?users?`},
	{"grant", `entitlements?|permissions?|allowances?`},
	{"API key", `(?:access|api) (?:tokens?|secrets?)|access keys?|bearer tokens?`},
	{"signing secret", `(?:signing|signature) keys?|webhook secrets?|shared secrets?`},
	{"job", `tasks?|batch runs?`},
	{"group", `clans?|communit(?:y|ies)`},
	{"security code", `group (?:passwords?|secrets?|pins?)|access codes?`},
	{"dead letter", `poison messages?|dlqs?|dead messages?`},
	{"retention", `keep(?:ing)? times?|storage times?`},
	{"encrypted", `(?:re)?seal(?:s|ed|ing)?`},
}

// An exception is a text in which a synonym may stand, with the reason.
type exception struct{ text, reason string } // text: a regular expression

var exceptions = []exception{
	{`Standard[- ]Webhooks?`, "name of the specification"},
	{`\bwebhook-(?:id|timestamp|signature)`, "headers of that specification"},
	{`WebHook-(?:Allowed|Request)-Origin`, "headers of CloudEvents' HTTP webhook specification"},
	{`"/reseal"|/v1/reseal\b|(?m)^reseal$`, "route, operation and kind of job of the API, which stay"},
	{`callback \(webhook\) configuration|console, Webhook Configuration`, "what Tencent's console calls callbacks"},
	{`Messages from subscribers`, "Direct's word for people who write to a sender"},
	{`BOT_ACCESS_CODE|bot's access code`, "SmartBots' word: a bot's code, not a group's"},
	{`ClientIP`, "Tencent's query parameter"},
	{`(?i)HTTP client|net/http's client|client address|hands? it to the client|to the\s+client`, "the client of an HTTP request"},
	{`(?i)secret access key|access key's id`, "what AWS calls its credentials"},
	{`HTTP 1\.1 Web Hooks for\s+Event Delivery`, "title of a specification"},
	{`a customer; what it may receive`, "the definition of tenant in the README"},
}

var surfaces = map[string]func(*testing.T, fs.FS) []string{"API": apiTexts, "console": consoleTexts, "CLI": cliTexts, "docs": docTexts}

func TestSurfacesCallEachThingByOneWord(t *testing.T) {
	used := map[string]bool{}
	for name, texts := range surfaces {
		found := texts(t, repository)
		if len(found) < 30 {
			t.Errorf("%s: %d texts, want more: %q", name, len(found), found)
		}
		for _, text := range found {
			for _, complaint := range synonymsIn(text) {
				t.Errorf("%s: %s", name, complaint)
			}
		}
		all := strings.ToLower(separated(strings.Join(found, "\n")))
		for _, term := range terms {
			if strings.Contains(all, strings.ToLower(term.word)) {
				used[term.word] = true
			}
		}
	}
	for _, term := range terms {
		if !used[term.word] {
			t.Errorf("no surface has the word %s: what do people call it?", term.word)
		}
	}
}

// TestSynonymsAreFound plants a synonym in each surface, and one where a surface has no text for people.
func TestSynonymsAreFound(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		texts            func(*testing.T, fs.FS) []string
		want             string // of the only complaint; empty: none
	}{
		{"console's text", "shared/console/files/pages/a.js", `el("p", {}, "Add a webhook.");`, consoleTexts, "callback"},
		{"console's template", "shared/console/files/main.js", "x = `Remove ${n} subscribers?`;", consoleTexts, "registration"},
		{"console's page", "shared/console/files/index.html", "<p>customers</p>", consoleTexts, "tenant"},
		{"console's facts", "shared/console/files/facts.json", `{"a": "sealed"}`, consoleTexts, "encrypted"},
		{"console's comment", "shared/console/files/main.js", "// it isn't a webhook\nx = 'callback';", consoleTexts, ""},
		{"console's import", "shared/console/files/main.js", `import { a } from "./webhook.js";`, consoleTexts, ""},
		{"CLI's help", "functions/local/usage/send.txt", "Sends a notification.", cliTexts, "event"},
		{"CLI's flag", "functions/local/a.go", `package main; var _ = flags.Bool("x", false, "list tasks")`, cliTexts, "job"},
		{"CLI's flag name", "functions/local/a.go", `package main; var _ = flags.Bool("access-token", false, "")`, cliTexts, ""},
		{"CLI's error", "functions/local/a.go", `package main; var _ = errors.New("no access token")`, cliTexts, "API key"},
		{"CLI's comment", "functions/local/a.go", "package main\n// no access token", cliTexts, ""},
		{"page", "shared/docs/a.md", "An administrator may\ndo so.", docTexts, "operator"},
		{"README", "README.md", "| a | its subscription |", docTexts, "registration"},
		{"code in a page", "shared/docs/a.md", "Call `hook()`:\n```\nhook\n```\n", docTexts, ""},
		{"specification's name", "README.md", "Standard Webhooks has webhook-id.", docTexts, ""},
		{"API's field", "a.json", `{"properties": {"event_message": {}}}`, planted, "event"},
		{"API's schema", "a.json", `{"schemas": {"SubscriptionBody": {}}}`, planted, "registration"},
		{"API's operation", "a.json", `{"operationId": "list-hooks"}`, planted, "callback"},
		{"API's description", "a.json", `{"description": "its brake is on"}`, planted, "backlog"},
		{"API's example", "a.json", `{"example": {"name": "hook"}}`, planted, ""},
	} {
		tree := fstest.MapFS{"README.md": {}}
		tree[tt.file] = &fstest.MapFile{Data: []byte(tt.text)}
		var got []string
		for _, text := range tt.texts(t, tree) {
			got = append(got, synonymsIn(text)...)
		}
		if tt.want == "" && len(got) != 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], "want "+tt.want+" in")) {
			t.Errorf("%s: complaints %q, want one about %q", tt.name, got, tt.want)
		}
	}
}

// planted returns the texts of a document that stands in a.json.
func planted(t *testing.T, tree fs.FS) []string {
	return documentTexts(t, []byte(read(t, tree, "a.json")))
}

// TestExceptionsAreNeeded fails for an exception that no surface needs any more.
func TestExceptionsAreNeeded(t *testing.T) {
	all := ""
	for _, texts := range surfaces {
		all += strings.Join(texts(t, repository), "\n") + "\n"
	}
	for i, e := range exceptionTexts() {
		if !e.MatchString(all) {
			t.Errorf("no text has %s (%s)", exceptions[i].text, exceptions[i].reason)
		}
	}
}

// synonymsIn returns a complaint for each synonym in text.
func synonymsIn(text string) (complaints []string) {
	rest := text
	for _, e := range exceptionTexts() {
		rest = e.ReplaceAllString(rest, " ")
	}
	rest = separated(rest)
	for i, synonyms := range synonymWords() {
		for _, found := range synonyms.FindAllStringIndex(rest, -1) {
			around := rest[max(0, found[0]-60):min(len(rest), found[1]+60)]
			complaints = append(complaints, fmt.Sprintf("%q: want %s in %q", rest[found[0]:found[1]], terms[i].word, around))
		}
	}
	return complaints
}

var synonymWords = sync.OnceValue(func() (all []*regexp.Regexp) {
	for _, t := range terms {
		all = append(all, regexp.MustCompile(`(?i)\b(?:`+t.synonyms+`)\b`))
	}
	return all
})

var exceptionTexts = sync.OnceValue(func() (all []*regexp.Regexp) {
	for _, e := range exceptions {
		all = append(all, regexp.MustCompile(e.text))
	}
	return all
})

var humps = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// separated returns text with spaces between the words of names: EventMessage and event_message are two words each.
func separated(text string) string {
	return strings.ReplaceAll(humps.ReplaceAllString(text, "$1 $2"), "_", " ")
}

// apiTexts returns the names and descriptions of the OpenAPI document as the API serves it, without its examples.
func apiTexts(t *testing.T, _ fs.FS) (texts []string) {
	g, err := gateway.New(gateway.Config{Store: struct{ storage.Store }{}, Queue: struct{ storage.Queue }{}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	apitest.New(t, g, api.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	return documentTexts(t, w.Body.Bytes())
}

func documentTexts(t *testing.T, document []byte) (texts []string) {
	var doc any
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			texts = append(texts, v)
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			for name, member := range v {
				if name == "example" || name == "examples" {
					continue
				}
				if name != "webhooks" { // a field of OpenAPI
					texts = append(texts, name)
				}
				walk(member)
			}
		}
	}
	walk(doc)
	return texts
}

// consoleTexts returns the string literals of the console's modules, except what they import, and its other texts.
func consoleTexts(t *testing.T, tree fs.FS) (texts []string) {
	for _, pattern := range []string{"*.js", "*/*.js", "*.html", "*.json"} {
		files, _ := fs.Glob(tree, "shared/console/files/"+pattern)
		for _, file := range files {
			text := read(t, tree, file)
			if path.Ext(file) != ".js" {
				texts = append(texts, text)
				continue
			}
			for _, literal := range scriptLiteral.FindAllString(text, -1) {
				if strings.ContainsAny(literal[:1], "\"'`") { // neither a comment nor an import
					texts = append(texts, literal)
				}
			}
		}
	}
	return texts
}

// scriptLiteral matches an import, a comment or a string literal, so that a quotation mark in a comment begins no literal.
var scriptLiteral = regexp.MustCompile("(?m)^import[^;]*;|/\\*[^\x00]*?\\*/|//.*$|\"(?:[^\"\\\\\n]|\\\\.)*\"|'(?:[^'\\\\\n]|\\\\.)*'|`(?:[^`\\\\]|\\\\.)*`")

// cliTexts returns the help of functions/local, its flags, and the texts that it prints or fails with.
func cliTexts(t *testing.T, tree fs.FS) (texts []string) {
	usages, _ := fs.Glob(tree, "functions/local/usage/*.txt")
	for _, file := range usages {
		texts = append(texts, read(t, tree, file))
	}
	files, _ := fs.Glob(tree, "functions/local/*.go")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, read(t, tree, file), 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !prints(call) {
				return true
			}
			for _, arg := range call.Args {
				if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value)
					texts = append(texts, text)
				}
			}
			return true
		})
	}
	return texts
}

// prints reports whether call is one of flags, fmt or errors.
func prints(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && slices.Contains([]string{"flags", "fmt", "errors"}, x.Name)
}

// docTexts returns the prose of README.md and of the pages: paragraphs without code and link targets.
func docTexts(t *testing.T, tree fs.FS) (texts []string) {
	pages, _ := fs.Glob(tree, "shared/docs/*.md")
	for _, file := range append(pages, "README.md") {
		text := markdownCode.ReplaceAllString(read(t, tree, file), " ")
		texts = append(texts, strings.Split(text, "\n\n")...)
	}
	return texts
}

var markdownCode = regexp.MustCompile("(?m)^```[^\x00]*?^```|`[^`\n]*`|\\]\\([^)]*\\)|https?://\\S+")

func read(t *testing.T, tree fs.FS, file string) string {
	t.Helper()
	b, err := fs.ReadFile(tree, file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
