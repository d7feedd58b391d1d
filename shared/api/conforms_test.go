package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func conforms(t testing.TB, r *http.Request, rec *httptest.ResponseRecorder) {}
