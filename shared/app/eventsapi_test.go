package app_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/app/samples"
	"ringback/shared/test/proofs"
)

// A wantedCall is how a committed call is answered.
type wantedCall struct {
	status int
	holds  string // a part of the body
}

// wantedCalls names every Lambda input of the API.
var wantedCalls = map[string]wantedCall{
	"api-health.json":                      {200, `{"status":"ok"}`},
	"api-openapi.json":                     {200, `"openapi":"3.1.0"`},
	"api-list-sources.json":                {200, `"src-tencent0"`},
	"api-list-sources-no-key.json":         {401, `"status":401`},
	"api-list-sources-wrong-key.json":      {401, `"status":401`},
	"api-get-source.json":                  {200, `"callback_url":"https://ringback.example/callbacks/direct/src-direct00/sample0direct0not0a0secret000000"`},
	"api-get-unknown-source.json":          {404, `"status":404`},
	"api-create-tenant.json":               {201, `"api_key":"rbk_`},
	"api-create-tenant-unknown-field.json": {422, `"message":"unexpected property: want limits, name"`},
	"api-create-tenant-broken-json.json":   {400, `"status":400`},
	"api-dead-letters.json":                {200, `"retry"`},
	"api-unknown-route.json":               {404, `"status":404`},
	"api-unknown-method.json":              {405, `"status":405`},
	"api-set-http-callback-query.json":     {200, `{"result":"OK","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","group_id":"harbor-crew"}`},
	"api-set-http-callback-form.json":      {200, `{"result":"OK","group_uuid":"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11","group_id":"harbor-crew"}`},
	"api-set-http-callback-twice.json":     {200, `"resulttext":"group: given twice with different values"`},
	"api-set-http-callback-put.json":       {405, `"status":405`},
}

func TestCallIsAnsweredTheSameFromLambdaAndOverHTTP(t *testing.T) {
	proofs.Long(t)
	for name, want := range wantedCalls {
		if !proofs.Full() && name == "api-set-http-callback-form.json" {
			continue // it verifies a security code, slow by intent; the next test plays it from Lambda
		}
		t.Run(name, func(t *testing.T) {
			lambda, plain := callAnswered(t, name, throughLambda), callAnswered(t, name, overHTTP)
			if lambda.Status != want.status || !strings.Contains(lambda.Body, want.holds) {
				t.Errorf("from Lambda: %d %.2000s\nwant %d and %s", lambda.Status, lambda.Body, want.status, want.holds)
			}
			if diff := gocmp.Diff(lambda, plain); diff != "" {
				t.Errorf("not the same (-from Lambda +over HTTP):\n%s", diff)
			}
		})
	}
}

func TestSetHTTPCallbackFromLambdaTellsTheApplication(t *testing.T) {
	proofs.Long(t)
	sampled(t, func(t *testing.T, w *world) {
		at := w.endpoints.Add("tenant.example", "")
		h := w.sampleAPI()
		a := throughLambda(t, h, readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, "api-set-http-callback-form.json"))
		w.within(time.Minute, "callback_set at the application", func() bool { return len(at.Posts()) == 1 })
		if got := at.Posts(); !strings.HasPrefix(string(got[0].Body), "action=callback_set&") {
			t.Errorf("answered %s, then told the application %s; want callback_set", a.Body, got[0].Body)
		}
	})
}

func TestSetHTTPCallbackWithoutATenantsKeyFails(t *testing.T) {
	proofs.Long(t)
	sampled(t, func(t *testing.T, w *world) {
		e := readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, "api-set-http-callback-query.json")
		e.RawQueryString = strings.Replace(e.RawQueryString, samples.TenantKey, "rbk_of_nobody", 1)
		a := throughLambda(t, w.sampleAPI(), e)
		if want := `{"result":"FAIL","resulttext":"apikey: unknown or expired"}`; a.Status != http.StatusOK || strings.TrimSpace(a.Body) != want {
			t.Errorf("answered %d %s, want 200 %s", a.Status, a.Body, want)
		}
	})
}

// madeUp is what the API makes anew each time.
var madeUp = regexp.MustCompile(`(ten_|rbk_)[0-9a-v_]+`)

// callAnswered makes a committed call in a new world, by a way. What is random
// in the answer is masked.
func callAnswered(t *testing.T, name string, way way) (a answered) {
	t.Helper()
	sampled(t, func(t *testing.T, w *world) {
		h := w.sampleAPI()
		e := readEvent[lambdaevents.APIGatewayV2HTTPRequest](t, name)
		time.Sleep(time.Until(arrival)) // virtual
		a = way(t, h, e)
		a.Body = madeUp.ReplaceAllString(a.Body, "$1")
	})
	return a
}

// sampleAPI is the API of a world, which has the key of the committed calls.
func (w *world) sampleAPI() http.Handler {
	return apitest.New(w.t, w.g, api.Config{OperatorKey: samples.OperatorKey})
}
