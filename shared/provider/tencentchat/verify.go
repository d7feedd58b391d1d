package tencentchat

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"ringback/shared/provider"
)

// window is how far RequestTime may be from now, in both directions. 1047/34354 gives none; public receivers use a
// minute [inferred].
const window = time.Minute

// Verify reports whether cb is for the app of c and, if c has tokens, whether Sign is the hex SHA-256 of one of them
// followed by RequestTime, Unix seconds within a minute of cb.Received (1047/34354). Sign covers neither the body nor
// other parameters, and is the same for all callbacks of a second: whoever sees one URL can send any body for a
// minute. Without tokens SdkAppid is the only proof.
//
// The error wraps provider.ErrForbidden for another app, provider.ErrSignature for a missing, old or wrong proof, and
// provider.ErrUnreadable for a repeated parameter, as it is unclear which one counts [inferred].
func (Provider) Verify(cb *provider.Callback, c provider.Credentials) error {
	q := readQuery(cb.Query)
	if q.repeated {
		return fmt.Errorf("query: %w: a parameter is repeated", provider.ErrUnreadable)
	}
	app, err := strconv.ParseUint(q.sdkAppID, 10, 64)
	if err != nil || app == 0 || app != c.SDKAppID {
		return fmt.Errorf("SdkAppid: %w", provider.ErrForbidden)
	}
	if len(c.Tokens) > 0 && !(timely(q.requestTime, cb.Received) && signed(q, c.Tokens)) {
		return provider.ErrSignature
	}
	return nil
}

// SignQuery returns query with the RequestTime and Sign that Tencent would append to a request at now, if the console
// held token.
func SignQuery(query, token string, now time.Time) string {
	if query != "" {
		query += "&"
	}
	at := strconv.FormatInt(now.Unix(), 10)
	sum := sha256.Sum256([]byte(token + at))
	return query + "RequestTime=" + at + "&Sign=" + hex.EncodeToString(sum[:])
}

func timely(requestTime string, received time.Time) bool {
	at, err := strconv.ParseInt(requestTime, 10, 64)
	now, limit := received.Unix(), int64(window/time.Second)
	return err == nil && at >= now-limit && at <= now+limit
}

// signed compares Sign with the hash of each token in constant time. The case of the hex digits does not matter. An
// empty token proves nothing.
func signed(q query, tokens []string) bool {
	given, err := hex.DecodeString(q.sign)
	if err != nil {
		return false
	}
	found := false
	for _, token := range tokens {
		want := sha256.Sum256([]byte(token + q.requestTime))
		if hmac.Equal(given, want[:]) && token != "" {
			found = true
		}
	}
	return found
}
