package cloud_test

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/config"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// An operator follows shared/docs/deploying.md with the AWS CLI against moto. What
// is made before and looked at afterwards goes through clients of the SDK, since
// each call of the CLI starts Python.
type operator struct {
	t       *testing.T
	env     []string
	db      *dynamodb.Client
	secrets *secretsmanager.Client
}

// do runs a shell script.
func (o operator) do(script string) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), o.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Fatalf("%s\n%v\n%s", script, err, out)
	}
}

// told ends the test if a call of an SDK failed.
func told[T any](o operator) func(*T, error) *T {
	return func(out *T, err error) *T {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
		return out
	}
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
	if !proofs.Full() {
		t.Skip("runs the AWS CLI for seconds, for RINGBACK_PROOFS=full")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		dynamotest.Missing(t, "aws: pip install awscli")
	}
	moto := startMoto(t)
	cfg := testConfig(cloud.Endpoints{DynamoDB: moto})
	o := newOperator(t, moto, cfg.AWS)
	cfg.AWS.RegistrationsTable, cfg.AWS.DeliveriesTable = "REGISTRATIONS", "DELIVERIES"
	row := storage.Row{Key: storage.Key{Table: storage.Registrations, PK: "p", SK: "s"}, Rev: storage.NewRev(), Data: []byte(`{}`)}
	store := openTables(t, cfg)
	if err := store.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), row, storage.AnyRev); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"REGISTRATIONS", "DELIVERIES"} {
		o.restore(table, "NEW_"+table)
	}
	for _, name := range []string{"KEY_RING", "OPERATOR_KEY"} {
		told[secretsmanager.CreateSecretOutput](o)(o.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("k")}))
	}
	o.do(o.steps("Backup and restore"))
	for _, table := range []string{"NEW_REGISTRATIONS", "NEW_DELIVERIES"} {
		o.wantSettings(table)
	}
	restored := cfg
	restored.AWS.RegistrationsTable, restored.AWS.DeliveriesTable = "NEW_REGISTRATIONS", "NEW_DELIVERIES"
	if got, err := openTables(t, restored).Get(t.Context(), row.Key); err != nil || len(got) != 1 || got[0].Rev != row.Rev {
		t.Errorf("row of the restored table: %+v, %v; want it with revision %s", got, err, row.Rev)
	}
	o.do(o.steps("Teardown"))
	left := told[dynamodb.ListTablesOutput](o)(o.db.ListTables(t.Context(), &dynamodb.ListTablesInput{})).TableNames
	if want := []string{"NEW_DELIVERIES", "NEW_REGISTRATIONS"}; !slices.Equal(slices.Sorted(slices.Values(left)), want) {
		t.Errorf("after the teardown there are the tables %q, want %q", left, want)
	}
	if secrets := told[secretsmanager.ListSecretsOutput](o)(o.secrets.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})).SecretList; len(secrets) > 0 {
		t.Errorf("after the teardown there are still %d secrets", len(secrets))
	}
}

func newOperator(t *testing.T, endpoint string, c config.AWS) operator {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return operator{
		t: t,
		env: []string{"AWS_ENDPOINT_URL=" + endpoint, "AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=us-east-1",
			"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_PAGER="},
		db: dynamodb.New(dynamodb.Options{Region: c.Region, Credentials: credentialsOf(c), BaseEndpoint: &endpoint, HTTPClient: client}),
		secrets: secretsmanager.New(secretsmanager.Options{
			Region: c.Region, Credentials: credentialsOf(c), BaseEndpoint: &endpoint, HTTPClient: client}),
	}
}

// restore makes a table of what another held.
func (o operator) restore(from, to string) {
	o.t.Helper()
	told[dynamodb.UpdateContinuousBackupsOutput](o)(o.db.UpdateContinuousBackups(o.t.Context(), &dynamodb.UpdateContinuousBackupsInput{
		TableName: &from, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
	}))
	told[dynamodb.RestoreTableToPointInTimeOutput](o)(o.db.RestoreTableToPointInTime(o.t.Context(), &dynamodb.RestoreTableToPointInTimeInput{
		SourceTableName: &from, TargetTableName: &to, UseLatestRestorableTime: aws.Bool(true),
	}))
}

// wantSettings wants what DynamoDB does not restore with a table to be set.
func (o operator) wantSettings(table string) {
	o.t.Helper()
	expiry := told[dynamodb.DescribeTimeToLiveOutput](o)(o.db.DescribeTimeToLive(o.t.Context(),
		&dynamodb.DescribeTimeToLiveInput{TableName: &table})).TimeToLiveDescription
	if aws.ToString(expiry.AttributeName) != "x" || expiry.TimeToLiveStatus != types.TimeToLiveStatusEnabled {
		o.t.Errorf("time to live of %s: %q, %s; want x, enabled", table, aws.ToString(expiry.AttributeName), expiry.TimeToLiveStatus)
	}
	backups := told[dynamodb.DescribeContinuousBackupsOutput](o)(o.db.DescribeContinuousBackups(o.t.Context(),
		&dynamodb.DescribeContinuousBackupsInput{TableName: &table})).ContinuousBackupsDescription
	if s := backups.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus; s != types.PointInTimeRecoveryStatusEnabled {
		o.t.Errorf("point-in-time recovery of %s is %s, want it enabled", table, s)
	}
	described := told[dynamodb.DescribeTableOutput](o)(o.db.DescribeTable(o.t.Context(), &dynamodb.DescribeTableInput{TableName: &table}))
	if !aws.ToBool(described.Table.DeletionProtectionEnabled) {
		o.t.Errorf("%s can be deleted, want it protected", table)
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
