package cloud_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"

	"github.com/google/go-cmp/cmp"
)

// TestTablesAreMadeUntilOneIsRefused gives DynamoDB's answers to its requests in
// turn: an error by its name, or the status of a table.
func TestTablesAreMadeUntilOneIsRefused(t *testing.T) {
	const create, describe, ttl = "CreateTable", "DescribeTable", "UpdateTimeToLive"
	for _, tt := range []struct {
		name    string
		answers []string
		asked   []string
		want    string // in the error
	}{
		{"both are new", nil, []string{create, describe, ttl, create, describe, ttl}, ""},
		{"the first is not active yet", []string{"CREATING", "CREATING", "CREATING"}, []string{create, describe, describe, describe, ttl, create, describe, ttl}, ""},
		{"the first is there", []string{"ResourceInUseException"}, []string{create, create, describe, ttl}, ""},
		{"both are there", []string{"ResourceInUseException", "ResourceInUseException"}, []string{create, create}, ""},
		{"create refused", []string{"ValidationException"}, []string{create}, "create table registrations"},
		{"wait refused", []string{"", "ValidationException"}, []string{create, describe}, "create table registrations"},
		{"time to live refused", []string{"", "", "ValidationException"}, []string{create, describe, ttl}, "create table registrations"},
		{"second create refused", []string{"", "", "", "ValidationException"}, []string{create, describe, ttl, create}, "create table deliveries"},
		{"second time to live refused", []string{"", "", "", "", "", "ValidationException"}, []string{create, describe, ttl, create, describe, ttl}, "create table deliveries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				cfg := testConfig(cloud.Endpoints{DynamoDB: "http://dynamodb.test"})
				cfg.AWS.RegistrationsTable, cfg.AWS.DeliveriesTable = "registrations", "deliveries"
				b, err := cloud.OpenOver(cfg, sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
					answer := "ACTIVE"
					if n := len(asked); n < len(tt.answers) && tt.answers[n] != "" {
						answer = tt.answers[n]
					}
					asked = append(asked, operation)
					if strings.HasSuffix(answer, "Exception") {
						w.WriteHeader(http.StatusBadRequest)
						io.WriteString(w, `{"__type":"com.amazonaws.dynamodb#`+answer+`"}`)
						return
					}
					io.WriteString(w, `{"Table":{"TableStatus":"`+answer+`"}}`)
				})))
				if err != nil {
					t.Fatal(err)
				}
				err = b.Store.CreateTables(t.Context())
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "ValidationException")) {
					t.Errorf("CreateTables: %v, want %q and the code", err, tt.want)
				}
				if diff := cmp.Diff(tt.asked, asked); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}
