package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"ringback/shared/storage"
)

// tableWait is how long CreateTables waits for a table to become active.
const tableWait = 2 * time.Minute

// CreateTables makes the two tables with the indexes and the TTL that the package comment describes, billed by request,
// and waits until both are active. It does not change a table that exists.
func (s *Store) CreateTables(ctx context.Context) error {
	for _, t := range []storage.Table{storage.Registrations, storage.Deliveries} {
		if err := s.createTable(ctx, s.tables[t]); err != nil {
			return fmt.Errorf("create table %s: %w", s.tables[t], err)
		}
	}
	return nil
}

// createTable sets the TTL attribute only after the table is active, since DynamoDB rejects it before.
func (s *Store) createTable(ctx context.Context, name string) error {
	_, err := s.db.CreateTable(ctx, tableInput(name))
	if _, exists := errors.AsType[*types.ResourceInUseException](err); exists {
		return nil
	}
	if err != nil {
		return err
	}
	active := dynamodb.NewTableExistsWaiter(s.db)
	if err := active.Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(name)}, tableWait); err != nil {
		return err
	}
	_, err = s.db.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(name),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String("x"), Enabled: aws.Bool(true),
		},
	})
	return err
}

func tableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			attribute("pk", types.ScalarAttributeTypeS),
			attribute("sk", types.ScalarAttributeTypeS),
			attribute("ds", types.ScalarAttributeTypeN),
			attribute("du", types.ScalarAttributeTypeN),
			attribute("op", types.ScalarAttributeTypeS),
		},
		KeySchema: keySchema("pk", "sk"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			keysOnlyIndex(dueIndex, "ds", "du"),
			keysOnlyIndex(openIndex, "op", "sk"),
		},
	}
}

func attribute(name string, t types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: t}
}

func keySchema(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(partition), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
	}
}

func keysOnlyIndex(name, partition, sort string) types.GlobalSecondaryIndex {
	return types.GlobalSecondaryIndex{
		IndexName:  aws.String(name),
		KeySchema:  keySchema(partition, sort),
		Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
	}
}
