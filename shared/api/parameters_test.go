package api_test

import (
	"strings"
	"testing"
)

// TestOperationTakesItsOwnParametersAlone wants that what other operations take is
// refused in the query as what none takes, and not looked at in the header.
func TestOperationTakesItsOwnParametersAlone(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("k", 256)
	for _, tt := range []struct {
		name, method, path string
		body               any
		header             []string
		code               int
		want               string
	}{
		{"a parameter of lists", "GET", "/v1/me?cursor=x", nil, nil, 422, `{"message":"unknown query parameter","location":"query.cursor"}`},
		{"a parameter of nobody", "GET", "/v1/tenants?limit=x&nobodys=1", nil, nil, 422, `[{"message":"unknown query parameter","location":"query.…"}]`},
		{"a parameter of its own", "GET", "/v1/tenants?limit=x", nil, nil, 422, `[{"message":"invalid integer","location":"query.limit"}]`},
		{"a path's parameter in the query", "GET", "/v1/me?id=x", nil, nil, 422, `"query.id"`},
		{"a header of creates", "GET", "/v1/me", nil, []string{"Idempotency-Key", long}, 200, `"key":"operator"`},
		{"a header of changes", "POST", "/v1/tenants", object{"name": "acme"}, []string{"If-Match", long}, 201, `"name":"acme"`},
		{"a header of its own", "POST", "/v1/tenants", object{"name": "acme"}, []string{"Idempotency-Key", long}, 422, `[{"message":"expected length <= 255","location":"header.Idempotency-Key"}]`},
		{"a header and a body", "POST", "/v1/tenants", object{"name": 5}, []string{"Idempotency-Key", long}, 422, `{"message":"expected string","location":"body.name"},{"message":"expected length <= 255","location":"header.Idempotency-Key"}`},
		{"a header and no body", "POST", "/v1/tenants", nil, []string{"Idempotency-Key", long}, 400, `"detail":"request body is required","errors":[{"message":"expected length <= 255"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := w.Want(tt.code, operatorKey, tt.method, tt.path, tt.body, tt.header...).Raw; !strings.Contains(got, tt.want) {
				t.Errorf("answer %s: want %s in it", got, tt.want)
			}
		})
	}
}
