package cloud_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

// TestRequestsAreAsTheyAreMeant holds every field of what is asked of AWS, where
// a lenient server would not miss one. It is midnight of 2000-01-01.
func TestRequestsAreAsTheyAreMeant(t *testing.T) {
	key := storage.Key{Table: storage.Deliveries, PK: "P", SK: "S"}
	other := storage.Key{Table: storage.Registrations, PK: "Q", SK: "T"}
	due := time.UnixMilli(1_900_000_000_001)
	full := storage.Row{Key: key, Rev: "2", Data: []byte("{}"), Body: []byte("b"), Due: due, Open: true, Expires: time.Unix(2_000_000_000, 5)}
	list := func(q storage.Query) func(context.Context, *cloud.Backend) error {
		q.Table, q.PK = storage.Deliveries, "P"
		return func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Store.List(ctx, q)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		call func(context.Context, *cloud.Backend) error
		want []string
	}{
		{"put over a revision", func(ctx context.Context, b *cloud.Backend) error { return b.Store.Put(ctx, full, "1") }, []string{
			`dynamodb.test PutItem {"ConditionExpression":"rev = :was","ExpressionAttributeValues":{":was":{"S":"1"}},"Item":{"b":{"B":"Yg=="},"d":{"S":"{}"},"ds":{"N":"10"},"du":{"N":"1900000000001"},"f":{"N":"1"},"op":{"S":"P"},"pk":{"S":"P"},"rev":{"S":"2"},"sk":{"S":"S"},"x":{"N":"2000000000"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"deliveries"}`,
		}},
		{"put over nothing", func(ctx context.Context, b *cloud.Backend) error {
			return b.Store.Put(ctx, storage.Row{Key: other, Rev: "1"}, "")
		}, []string{
			`dynamodb.test PutItem {"ConditionExpression":"attribute_not_exists(pk) OR x < :now","ExpressionAttributeValues":{":now":{"N":"946684800"}},"Item":{"f":{"N":"1"},"pk":{"S":"Q"},"rev":{"S":"1"},"sk":{"S":"T"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"registrations"}`,
		}},
		{"put over anything", func(ctx context.Context, b *cloud.Backend) error {
			return b.Store.Put(ctx, storage.Row{Key: other, Rev: "1", Data: []byte{0xff}}, storage.AnyRev)
		}, []string{
			`dynamodb.test PutItem {"Item":{"d":{"B":"/w=="},"f":{"N":"1"},"pk":{"S":"Q"},"rev":{"S":"1"},"sk":{"S":"T"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"registrations"}`,
		}},
		{"delete a revision", func(ctx context.Context, b *cloud.Backend) error { return b.Store.Delete(ctx, key, "1") }, []string{
			`dynamodb.test DeleteItem {"ConditionExpression":"attribute_not_exists(pk) OR rev = :was","ExpressionAttributeValues":{":was":{"S":"1"}},"Key":{"pk":{"S":"P"},"sk":{"S":"S"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"deliveries"}`,
		}},
		{"delete nothing", func(ctx context.Context, b *cloud.Backend) error { return b.Store.Delete(ctx, key, "") }, []string{
			`dynamodb.test DeleteItem {"ConditionExpression":"attribute_not_exists(pk)","Key":{"pk":{"S":"P"},"sk":{"S":"S"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"deliveries"}`,
		}},
		{"delete anything", func(ctx context.Context, b *cloud.Backend) error { return b.Store.Delete(ctx, other, storage.AnyRev) }, []string{
			`dynamodb.test DeleteItem {"Key":{"pk":{"S":"Q"},"sk":{"S":"T"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD","TableName":"registrations"}`,
		}},
		{"get one", func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Store.Get(ctx, key)
			return err
		}, []string{
			`dynamodb.test GetItem {"ConsistentRead":true,"Key":{"pk":{"S":"P"},"sk":{"S":"S"}},"TableName":"deliveries"}`,
		}},
		{"get one that is named twice", func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Store.Get(ctx, other, other)
			return err
		}, []string{
			`dynamodb.test GetItem {"ConsistentRead":true,"Key":{"pk":{"S":"Q"},"sk":{"S":"T"}},"TableName":"registrations"}`,
		}},
		{"get two", func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Store.Get(ctx, key, other, key)
			return err
		}, []string{
			`dynamodb.test BatchGetItem {"RequestItems":{"deliveries":{"ConsistentRead":true,"Keys":[{"pk":{"S":"P"},"sk":{"S":"S"}}]},"registrations":{"ConsistentRead":true,"Keys":[{"pk":{"S":"Q"},"sk":{"S":"T"}}]}}}`,
		}},
		{"get none", func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Store.Get(ctx)
			return err
		}, nil},
		{"list", list(storage.Query{}), []string{
			`dynamodb.test Query {"ExpressionAttributeValues":{":pk":{"S":"P"}},"KeyConditionExpression":"pk = :pk","Limit":100,"ScanIndexForward":true,"TableName":"deliveries"}`,
		}},
		{"list between", list(storage.Query{From: "a", To: "c", Limit: 7, Consistent: true}), []string{
			`dynamodb.test Query {"ConsistentRead":true,"ExpressionAttributeValues":{":from":{"S":"a"},":pk":{"S":"P"},":to":{"S":"c"}},"KeyConditionExpression":"pk = :pk AND sk BETWEEN :from AND :to","Limit":7,"ScanIndexForward":true,"TableName":"deliveries"}`,
		}},
		{"list on after a row", list(storage.Query{After: "b"}), []string{
			`dynamodb.test Query {"ExclusiveStartKey":{"pk":{"S":"P"},"sk":{"S":"b"}},"ExpressionAttributeValues":{":pk":{"S":"P"}},"KeyConditionExpression":"pk = :pk","Limit":100,"ScanIndexForward":true,"TableName":"deliveries"}`,
		}},
		{"list open rows, newest first", list(storage.Query{Open: true, Newest: true, From: "a", After: "b"}), []string{
			`dynamodb.test Query {"ExclusiveStartKey":{"op":{"S":"P"},"pk":{"S":"P"},"sk":{"S":"b"}},"ExpressionAttributeValues":{":from":{"S":"a"},":pk":{"S":"P"}},"IndexName":"open","KeyConditionExpression":"op = :pk AND sk >= :from","Limit":100,"ScanIndexForward":false,"TableName":"deliveries"}`,
		}},
		{"list open rows below, newest first", list(storage.Query{Open: true, Newest: true, From: "a", To: "c"}), []string{
			`dynamodb.test Query {"ExclusiveStartKey":{"op":{"S":"P"},"pk":{"S":"P"},"sk":{"S":"c"}},"ExpressionAttributeValues":{":from":{"S":"a"},":pk":{"S":"P"},":to":{"S":"c"}},"IndexName":"open","KeyConditionExpression":"op = :pk AND sk BETWEEN :from AND :to","Limit":100,"ScanIndexForward":false,"TableName":"deliveries"}`,
		}},
		{"list up to", list(storage.Query{To: "c"}), []string{
			`dynamodb.test Query {"ExpressionAttributeValues":{":pk":{"S":"P"},":to":{"S":"c"}},"KeyConditionExpression":"pk = :pk AND sk < :to","Limit":100,"ScanIndexForward":true,"TableName":"deliveries"}`,
		}},
		{"list where nothing can be", list(storage.Query{From: "b", To: "b"}), nil},
		{"due", func(ctx context.Context, b *cloud.Backend) error {
			_, _, err := b.Store.Due(ctx, 3, due, "", 9)
			return err
		}, []string{
			`dynamodb.test Query {"ExpressionAttributeValues":{":from":{"N":"0"},":shard":{"N":"3"},":until":{"N":"1900000000001"}},"IndexName":"due","KeyConditionExpression":"ds = :shard AND du BETWEEN :from AND :until","Limit":9,"TableName":"deliveries"}`,
			`dynamodb.test Query {"ExpressionAttributeValues":{":from":{"N":"0"},":shard":{"N":"3"},":until":{"N":"1900000000001"}},"IndexName":"due","KeyConditionExpression":"ds = :shard AND du BETWEEN :from AND :until","Limit":9,"TableName":"registrations"}`,
		}},
		{"due from a time", func(ctx context.Context, b *cloud.Backend) error {
			_, _, err := b.Store.Due(ctx, 0, due, storage.DueFrom(due.Add(-time.Second)), 0)
			return err
		}, []string{
			`dynamodb.test Query {"ExpressionAttributeValues":{":from":{"N":"1899999999001"},":shard":{"N":"0"},":until":{"N":"1900000000001"}},"IndexName":"due","KeyConditionExpression":"ds = :shard AND du BETWEEN :from AND :until","Limit":100,"TableName":"deliveries"}`,
			`dynamodb.test Query {"ExpressionAttributeValues":{":from":{"N":"1899999999001"},":shard":{"N":"0"},":until":{"N":"1900000000001"}},"IndexName":"due","KeyConditionExpression":"ds = :shard AND du BETWEEN :from AND :until","Limit":100,"TableName":"registrations"}`,
		}},
		{"due after a row of one table", func(ctx context.Context, b *cloud.Backend) error {
			after := base64.RawURLEncoding.EncodeToString([]byte(`{"registrations":{"Due":1900000000000,"PK":"Q","SK":"T"}}`))
			_, _, err := b.Store.Due(ctx, 0, due, after, 1)
			return err
		}, []string{
			`dynamodb.test Query {"ExpressionAttributeValues":{":from":{"N":"0"},":shard":{"N":"0"},":until":{"N":"1900000000001"}},"IndexName":"due","KeyConditionExpression":"ds = :shard AND du BETWEEN :from AND :until","Limit":1,"TableName":"deliveries"}`,
			`dynamodb.test Query {"ExclusiveStartKey":{"ds":{"N":"0"},"du":{"N":"1900000000000"},"pk":{"S":"Q"},"sk":{"S":"T"}},"ExpressionAttributeValues":{":from":{"N":"0"},":shard":{"N":"0"},":until":{"N":"1900000000001"}},"IndexName":"due","KeyConditionExpression":"ds = :shard AND du BETWEEN :from AND :until","Limit":1,"TableName":"registrations"}`,
		}},
		{"send", func(ctx context.Context, b *cloud.Backend) error {
			b.Queue.Send(ctx, storage.EventsQueue, []storage.Message{{Body: "a"}, {}, {Body: "b", Group: "g", Delay: 1001 * time.Millisecond}})
			return nil
		}, []string{
			`sqs.test SendMessageBatch {"Entries":[{"Id":"0","MessageBody":"a"},{"DelaySeconds":2,"Id":"2","MessageBody":"b","MessageGroupId":"g"}],"QueueUrl":"http://sqs.test/1/events"}`,
		}},
		{"send to the slow queue", func(ctx context.Context, b *cloud.Backend) error {
			b.Queue.Send(ctx, storage.SlowQueue, []storage.Message{{Body: "a", Group: "ten_1"}})
			return nil
		}, []string{
			`sqs.test SendMessageBatch {"Entries":[{"Id":"0","MessageBody":"a","MessageGroupId":"ten_1"}],"QueueUrl":"http://sqs.test/1/slow"}`,
		}},
		{"send nothing that can be sent", func(ctx context.Context, b *cloud.Backend) error {
			b.Queue.Send(ctx, storage.RetryQueue, []storage.Message{{}})
			return nil
		}, nil},
		{"depth", func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Queue.Depth(ctx, storage.RetryQueue)
			return err
		}, []string{
			`sqs.test GetQueueAttributes {"AttributeNames":["ApproximateNumberOfMessages","ApproximateNumberOfMessagesNotVisible","ApproximateNumberOfMessagesDelayed"],"QueueUrl":"http://sqs.test/1/retry"}`,
			`sqs.test GetQueueAttributes {"AttributeNames":["ApproximateNumberOfMessages","ApproximateNumberOfMessagesNotVisible","ApproximateNumberOfMessagesDelayed"],"QueueUrl":"http://sqs.test/1/retry-dead"}`,
		}},
		{"redrive", func(ctx context.Context, b *cloud.Backend) error { return b.Queue.Redrive(ctx, storage.EventsQueue) }, []string{
			`sqs.test GetQueueAttributes {"AttributeNames":["QueueArn"],"QueueUrl":"http://sqs.test/1/events-dead"}`,
			`sqs.test GetQueueAttributes {"AttributeNames":["QueueArn"],"QueueUrl":"http://sqs.test/1/events"}`,
			`sqs.test StartMessageMoveTask {"DestinationArn":"arn of http://sqs.test/1/events","SourceArn":"arn of http://sqs.test/1/events-dead"}`,
		}},
		{"create tables", func(ctx context.Context, b *cloud.Backend) error { return b.Store.CreateTables(ctx) }, []string{
			`dynamodb.test CreateTable {"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"},{"AttributeName":"ds","AttributeType":"N"},{"AttributeName":"du","AttributeType":"N"},{"AttributeName":"op","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{"IndexName":"due","KeySchema":[{"AttributeName":"ds","KeyType":"HASH"},{"AttributeName":"du","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}},{"IndexName":"open","KeySchema":[{"AttributeName":"op","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"TableName":"registrations"}`,
			`dynamodb.test DescribeTable {"TableName":"registrations"}`,
			`dynamodb.test UpdateTimeToLive {"TableName":"registrations","TimeToLiveSpecification":{"AttributeName":"x","Enabled":true}}`,
			`dynamodb.test CreateTable {"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"},{"AttributeName":"ds","AttributeType":"N"},{"AttributeName":"du","AttributeType":"N"},{"AttributeName":"op","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{"IndexName":"due","KeySchema":[{"AttributeName":"ds","KeyType":"HASH"},{"AttributeName":"du","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}},{"IndexName":"open","KeySchema":[{"AttributeName":"op","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"TableName":"deliveries"}`,
			`dynamodb.test DescribeTable {"TableName":"deliveries"}`,
			`dynamodb.test UpdateTimeToLive {"TableName":"deliveries","TimeToLiveSpecification":{"AttributeName":"x","Enabled":true}}`,
		}},
		{"secret", func(ctx context.Context, b *cloud.Backend) error {
			_, err := b.Secret(ctx, "arn:1")
			return err
		}, []string{
			`secrets.test GetSecretValue {"SecretId":"arn:1"}`,
		}},
		{"create a secret", func(ctx context.Context, b *cloud.Backend) error {
			_, _, err := b.CreateSecret(ctx, "name", "text")
			return err
		}, []string{
			`secrets.test CreateSecret {"ClientRequestToken":"random","Name":"name","SecretString":"text"}`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				b, err := cloud.OpenOver(config.Config{AWS: config.AWS{
					RegistrationsTable: "registrations", DeliveriesTable: "deliveries",
					EventsQueueURL: "http://sqs.test/1/events", EventsDeadURL: "http://sqs.test/1/events-dead",
					RetryQueueURL: "http://sqs.test/1/retry", RetryDeadURL: "http://sqs.test/1/retry-dead",
					SlowQueueURL: "http://sqs.test/1/slow", SlowDeadURL: "http://sqs.test/1/slow-dead",
					Region: "eu-west-1", AccessKeyID: "id", SecretAccessKey: "key", SessionToken: "session",
					Endpoints: cloud.Endpoints{DynamoDB: "http://dynamodb.test", SQS: "http://sqs.test", Secrets: "http://secrets.test"},
				}}, sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					var in map[string]any
					if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
						t.Errorf("request: %v", err)
					}
					if in["ClientRequestToken"] != nil {
						in["ClientRequestToken"] = "random"
					}
					var body bytes.Buffer
					sorted := json.NewEncoder(&body)
					sorted.SetEscapeHTML(false)
					sorted.Encode(in)
					_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
					got = append(got, r.URL.Host+" "+operation+" "+strings.TrimSpace(body.String()))
					if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "Credential=id/20000101/eu-west-1/") || r.Header.Get("X-Amz-Security-Token") != "session" {
						t.Errorf("%s is signed as %q with the session %q", operation, auth, r.Header.Get("X-Amz-Security-Token"))
					}
					io.WriteString(w, map[string]string{
						"DescribeTable":      `{"Table":{"TableStatus":"ACTIVE"}}`,
						"GetQueueAttributes": fmt.Sprintf(`{"Attributes":{"QueueArn":"arn of %v"}}`, in["QueueUrl"]),
					}[operation])
				})))
				if err != nil {
					t.Fatal(err)
				}
				if err := tt.call(t.Context(), b); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWithoutAnOverrideTheRegionIsAsked(t *testing.T) {
	var asked []string
	b, err := cloud.OpenOver(testConfig(cloud.Endpoints{}), sqstest.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Scheme+"://"+r.URL.Host)
		io.WriteString(w, "{}")
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, getErr := b.Store.Get(t.Context(), newKey())
	_, secretErr := b.Secret(t.Context(), "arn:1")
	_, depthErr := b.Queue.Depth(t.Context(), storage.EventsQueue)
	if err := errors.Join(getErr, secretErr, depthErr); err != nil {
		t.Error(err)
	}
	region := []string{"https://dynamodb.us-east-1.amazonaws.com", "https://secretsmanager.us-east-1.amazonaws.com", "https://sqs.us-east-1.amazonaws.com", "https://sqs.us-east-1.amazonaws.com"}
	if diff := cmp.Diff(region, asked); diff != "" {
		t.Errorf("hosts that are asked (-want +got):\n%s", diff)
	}
}
