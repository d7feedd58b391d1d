package cloud_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/config"
	"ringback/shared/storage"
)

// An operator follows shared/docs/deploying.md with the AWS CLI against moto.
type operator struct {
	t   *testing.T
	env []string
}

// do runs a shell script and returns what it prints.
func (o operator) do(script string) string {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), o.env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("%s\n%v\n%s%s", script, err, out, &said)
	}
	return string(out)
}

// steps returns the first block of commands below a heading of the page, without
// those of the SAM CLI.
func (o operator) steps(heading string) string {
	o.t.Helper()
	page, err := os.ReadFile("../docs/deploying.md")
	if err != nil {
		o.t.Fatal(err)
	}
	_, below, found := strings.Cut(string(page), "\n## "+heading+"\n")
	_, block, begun := strings.Cut(below, "```sh\n")
	block, _, ended := strings.Cut(block, "\n```")
	if !found || !begun || !ended {
		o.t.Fatalf("deploying.md has no commands below %q", heading)
	}
	return regexp.MustCompile(`(?m)^sam .*$`).ReplaceAllString(block, "")
}

// TestRestoreAndTeardownGoAsThePageSays restores both tables, follows the page,
// works on what was restored, and takes everything down.
func TestRestoreAndTeardownGoAsThePageSays(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		dynamotest.Missing(t, "aws: pip install awscli")
	}
	moto := startMoto(t)
	o := operator{t, []string{"AWS_ENDPOINT_URL=" + moto, "AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_PAGER="}}
	cfg := testConfig(cloud.Endpoints{DynamoDB: moto})
	cfg.AWS.RegistrationsTable, cfg.AWS.DeliveriesTable = "REGISTRATIONS", "DELIVERIES"
	row := storage.Row{Key: storage.Key{Table: storage.Registrations, PK: "p", SK: "s"}, Rev: storage.NewRev(), Data: []byte(`{}`)}
	store := openTables(t, cfg)
	if err := store.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), row, storage.AnyRev); err != nil {
		t.Fatal(err)
	}
	o.do(`for table in REGISTRATIONS DELIVERIES; do
		aws dynamodb update-continuous-backups --table-name $table --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true
		aws dynamodb restore-table-to-point-in-time --source-table-name $table --target-table-name NEW_$table --use-latest-restorable-time
	done
	aws secretsmanager create-secret --name KEY_RING --secret-string k
	aws secretsmanager create-secret --name OPERATOR_KEY --secret-string k`)
	o.do(o.steps("Backup and restore"))
	for _, table := range []string{"NEW_REGISTRATIONS", "NEW_DELIVERIES"} {
		o.wants("describe-time-to-live", table, `"AttributeName":"x"`, `"TimeToLiveStatus":"ENABLED"`)
		o.wants("describe-continuous-backups", table, `"PointInTimeRecoveryStatus":"ENABLED"`)
		o.wants("describe-table", table, `"DeletionProtectionEnabled":true`)
	}
	restored := cfg
	restored.AWS.RegistrationsTable, restored.AWS.DeliveriesTable = "NEW_REGISTRATIONS", "NEW_DELIVERIES"
	if got, err := openTables(t, restored).Get(t.Context(), row.Key); err != nil || len(got) != 1 || got[0].Rev != row.Rev {
		t.Errorf("row of the restored table: %+v, %v; want it with revision %s", got, err, row.Rev)
	}
	o.do(o.steps("Teardown"))
	if left := o.do("aws dynamodb list-tables --query TableNames --output text"); strings.Contains(left, "\tREGISTRATIONS") || strings.HasPrefix(left, "DELIVERIES") {
		t.Errorf("after the teardown there are still the tables %s", left)
	}
	if secrets := o.do("aws secretsmanager list-secrets --query SecretList[].Name --output text"); strings.TrimSpace(secrets) != "" && strings.TrimSpace(secrets) != "None" {
		t.Errorf("after the teardown there are still the secrets %s", secrets)
	}
}

func openTables(t *testing.T, cfg config.Config) *cloud.Store {
	t.Helper()
	b, err := cloud.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Store
}

// wants wants what the CLI tells of a table to hold parts of JSON.
func (o operator) wants(call, table string, parts ...string) {
	o.t.Helper()
	var told json.RawMessage
	if err := json.Unmarshal([]byte(o.do("aws dynamodb "+call+" --table-name "+table)), &told); err != nil {
		o.t.Fatal(err)
	}
	compact, _ := json.Marshal(told)
	for _, part := range parts {
		if !strings.Contains(string(compact), part) {
			o.t.Errorf("%s of %s: %s, want %s", call, table, compact, part)
		}
	}
}
