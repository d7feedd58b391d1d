package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ringback/shared/config"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/transfer"
)

// settings are those of the command's flags and of the environment.
type settings struct {
	config.Config
	addr    string
	data    string
	proxies []netip.Prefix // trusted proxies: their X-Forwarded-For and Forwarded count
	relaxed bool
	demo    bool
	pprof   string // address of the profiles; empty: none
}

// loopback has the addresses that are allowed as endpoints if only this machine reaches the gateway.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func parseSettings(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	var s settings
	var proxies, publicURL string
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.StringVar(&s.addr, "addr", "127.0.0.1:8080", "`address` to listen on")
	flags.StringVar(&s.data, "data", "./ringback-data", "`folder` of the database and the keys")
	flags.StringVar(&publicURL, "public-url", "", "`URL` under which providers reach this gateway (default http:// and -addr)")
	flags.StringVar(&proxies, "trusted-proxy", "", "address ranges (`CIDR`, separated by commas) whose X-Forwarded-For or Forwarded is believed")
	flags.BoolVar(&s.relaxed, "relaxed", false, "respond before the disk has the data: faster, and a power failure may lose the last moment")
	paused := flags.Bool("paused", false, "take callbacks and send nothing, as for a copy or a restored backup")
	flags.BoolVar(&s.demo, "demo", false, "add three sources, two tenants and their endpoint, and play callbacks to look at")
	flags.StringVar(&s.pprof, "pprof", "", "`address` of this machine alone to serve profiles on, such as 127.0.0.1:6060 (default none)")
	if err := serving.parseAll(flags, args, out); err != nil {
		return s, err
	}
	var err error
	if s.Config, err = config.Load(getenv); err != nil {
		return s, err
	}
	if s.proxies, err = parsePrefixes(proxies); err != nil {
		return s, fmt.Errorf("-trusted-proxy: %w", err)
	}
	if s.pprof, err = parseProfiles(s.pprof); err != nil {
		return s, fmt.Errorf("-pprof: %w", err)
	}
	s.Paused = s.Paused || *paused
	if publicURL != "" {
		s.PublicURL = strings.TrimSuffix(publicURL, "/")
	}
	return s, s.fillPublicURL()
}

func parsePrefixes(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, errors.New("want ranges such as 10.0.0.0/8")
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *settings) fillPublicURL() error {
	if s.PublicURL == "" {
		host, port, err := net.SplitHostPort(s.addr)
		if err != nil {
			return fmt.Errorf("-addr: want an address such as 127.0.0.1:8080")
		}
		if host == "" || host == "0.0.0.0" || host == "::" {
			host = "127.0.0.1"
		}
		s.PublicURL = "http://" + net.JoinHostPort(host, port)
	}
	if _, err := webURL(s.PublicURL); err != nil {
		return fmt.Errorf("-public-url: want a URL such as https://callbacks.example.com")
	}
	return nil
}

// Files with secrets in the data folder. Only their owner can read them.
const (
	keyRingFile     = "key-ring"
	operatorKeyFile = "operator-key"
)

// secrets returns the key ring, the operator key, and a text that says where the operator key is. The first start makes
// both keys. If the key ring of a used database is missing, that is an error: a new ring could not decrypt its secrets.
func (s settings) secrets(getenv func(string) string, used bool) (keys *keyring.Ring, operatorKey, where string, err error) {
	ring := filepath.Join(s.data, keyRingFile)
	if _, err := os.Stat(ring); used && errors.Is(err, os.ErrNotExist) {
		return nil, "", "", fmt.Errorf("%s is not there: %w", ring, transfer.ErrOtherRing)
	}
	text, err := secretFile(ring)
	if err != nil {
		return nil, "", "", err
	}
	if keys, err = keyring.Parse(text); err != nil {
		return nil, "", "", fmt.Errorf("%s: %w", ring, err)
	}
	if key := strings.TrimSpace(getenv("RINGBACK_OPERATOR_KEY")); key != "" {
		if len(key) < 32 {
			return nil, "", "", errors.New("RINGBACK_OPERATOR_KEY: want 32 or more characters")
		}
		return keys, key, "in RINGBACK_OPERATOR_KEY", nil
	}
	path := filepath.Join(s.data, operatorKeyFile)
	operatorKey, err = secretFile(path)
	return keys, operatorKey, "in the file " + path, err
}

// secretFile returns the text of a file. It makes a missing file, with 64 random characters.
func secretFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		b = []byte(ident.NewCallbackSecret() + ident.NewCallbackSecret() + "\n")
		err = writeOnce(path, b)
	}
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	if len(text) < 32 {
		return "", fmt.Errorf("%s: want 32 or more characters", path)
	}
	return text, nil
}

// writeOnce writes the whole file or, after a crash, none of it, since half a key cannot be completed.
func writeOnce(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
