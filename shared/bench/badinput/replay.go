package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"time"
)

// providerOf returns the provider whose callback path stands in a request; if
// it was damaged, the first that is left in it.
func providerOf(raw []byte) string {
	for _, name := range []string{"tencent-chat", "smartbots", "direct"} {
		if bytes.Contains(raw, []byte("/callbacks/"+name)) || bytes.Contains(raw, []byte(sources[name])) {
			return name
		}
	}
	return "direct"
}

var proof = regexp.MustCompile(`RequestTime=(\d{10})&Sign=([0-9a-f]{64})`)

// provenNow returns a request with Tencent's proof for now in place of one that
// was good when it was made. It is as long, so nothing else changes.
func provenNow(raw []byte, now time.Time) []byte {
	at := proof.FindSubmatchIndex(raw)
	if at == nil || signature(raw[at[2]:at[3]]) != string(raw[at[4]:at[5]]) {
		return raw
	}
	out := bytes.Clone(raw)
	copy(out[at[2]:], strconv.FormatInt(now.Unix(), 10))
	copy(out[at[4]:], signature(out[at[2]:at[3]]))
	return out
}

func signature(requestTime []byte) string {
	sum := sha256.Sum256(append([]byte(token), requestTime...))
	return hex.EncodeToString(sum[:])
}
