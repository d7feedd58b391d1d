package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/app/samples"
	"ringback/shared/control"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

const (
	sampleSmartBots = "src-smartb0t"
	sampleTencent   = "src-tencent0"
	sampleDirect    = "src-direct00"
)

// sampled runs f with a new world that has the sample sources.
func sampled(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dir := sampleDir(t)
	synctest.Test(t, func(t *testing.T) { f(t, begun(t, &world{dir: dir})) })
}

// sampleFiles are the files of a gateway in which the samples were installed once
// for all tests: that hashes a security code, which takes longer than most of them.
var sampleFiles = struct {
	once  sync.Once
	files fstest.MapFS
}{files: fstest.MapFS{}}

// sampleDir returns a new folder with the sample sources in its file.
func sampleDir(t *testing.T) string {
	t.Helper()
	sampleFiles.once.Do(func() {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			if err := samples.Install(t.Context(), begun(t, &world{dir: dir, paused: true}).g); err != nil {
				t.Fatal(err)
			}
		})
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			sampleFiles.files[e.Name()] = &fstest.MapFile{Data: data, Mode: 0o600}
		}
	})
	if len(sampleFiles.files) == 0 {
		t.Fatal("the samples could not be installed")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, sampleFiles.files); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSampleMadeAgainChangesNothing(t *testing.T) {
	sampled(t, func(t *testing.T, w *world) {
		before := w.sampleState()
		if err := samples.Install(t.Context(), w.g); err != nil {
			t.Fatalf("Sample once more: %v", err)
		}
		if diff := cmp.Diff(before, w.sampleState()); diff != "" {
			t.Errorf("Sample once more changed (-before +after):\n%s", diff)
		}
	})
}

func TestSampleTellsTheCallbackURLsOfTheCommittedEvents(t *testing.T) {
	sampled(t, func(t *testing.T, w *world) {
		for source, want := range map[string]string{
			sampleSmartBots: "https://ringback.example/callbacks/smartbots/src-smartb0t/sample0smartbots0not0a0secret000",
			sampleTencent:   "https://ringback.example/callbacks/tencent-chat/src-tencent0/sample0tencent0not0a0secret00000",
			sampleDirect:    "https://ringback.example/callbacks/direct/src-direct00/sample0direct0not0a0secret000000",
		} {
			s := gatewaytest.Must(w.control().Source(t.Context(), source))(w.t)
			if got := gatewaytest.Must(w.control().FirstCallbackURL(t.Context(), s))(w.t); got != want {
				t.Errorf("first callback URL of %s is %s, want %s", source, got, want)
			}
		}
	})
}

func TestSampleRefusesAnSDKAppIDThatIsAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		w.source(control.SourceChange{Provider: "tencent-chat", SDKAppID: ptr(uint64(1400000001))})
		if err := samples.Install(t.Context(), w.g); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("Sample beside a source with its SDKAppID: %v, want ErrConflict", err)
		}
	})
}

func TestPutCallbackKeyTakesWhatAURLCanHold(t *testing.T) {
	sampled(t, func(t *testing.T, w *world) {
		const id, other = "cbk_00000000000000000000000001", "cbk_00000000000000000000000002"
		good := strings.Repeat("k-9", 8)
		for _, tt := range []struct {
			name                      string
			id, source, label, secret string
			want                      error
		}{
			{"a new one", id, sampleDirect, "acme", good, nil},
			{"the same again", id, sampleDirect, "acme", good, nil},
			{"another key with its secret", other, sampleDirect, "acme", good, storage.ErrConflict},
			{"the same secret at another source", id, sampleSmartBots, "", good, nil},
			{"20 characters", other, sampleDirect, "", good[:20], nil},
			{"19 characters", other, sampleDirect, "", good[:19], storage.ErrInvalid},
			{"64 characters", other, sampleDirect, "", strings.Repeat("a", 64), nil},
			{"65 characters", other, sampleDirect, "", strings.Repeat("a", 65), storage.ErrInvalid},
			{"a capital letter", other, sampleDirect, "", "K" + good, storage.ErrInvalid},
			{"a slash", other, sampleDirect, "", good + "/", storage.ErrInvalid},
			{"a label that is not UTF-8", other, sampleDirect, "\xff", good + "2", storage.ErrInvalid},
			{"no such source", id, "src-00000000", "", good, storage.ErrNotFound},
		} {
			url, err := w.control().PutCallbackKey(t.Context(), tt.id, tt.source, tt.label, tt.secret)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			if err == nil && !strings.HasSuffix(url, "/"+tt.source+"/"+tt.secret) {
				t.Errorf("%s: URL %s, want it to end in the source and the secret", tt.name, url)
			}
			if err != nil && strings.Contains(err.Error(), tt.secret) {
				t.Errorf("%s: error %q holds the secret", tt.name, err)
			}
		}
	})
}

// sampleState is what Sample makes, as the operator sees it.
func (w *world) sampleState() map[string]any {
	w.t.Helper()
	ctx := w.t.Context()
	state := map[string]any{"tenant": gatewaytest.Must(w.control().Tenant(ctx, samples.Tenant))(w.t)}
	for _, id := range []string{sampleSmartBots, sampleTencent, sampleDirect} {
		s, keys, _, err := w.control().CallbackKeys(ctx, id, storage.PageRequest{})
		if err != nil {
			w.t.Fatal(err)
		}
		grants, _, err := w.control().Grants(ctx, id, storage.PageRequest{})
		if err != nil {
			w.t.Fatal(err)
		}
		state[id] = []any{s, keys, grants}
	}
	return state
}
