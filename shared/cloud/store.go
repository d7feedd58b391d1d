package cloud

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"ringback/shared/storage"
)

// A Store implements storage.Store on two DynamoDB tables. Open makes one. Its errors name the table and never a key.
type Store struct {
	db     *dynamodb.Client
	tables map[storage.Table]string
	packer *packer
}

// Put implements storage.Store. It costs one write unit per KiB of the stored row, and one unit more for each index
// that the row is in, enters, leaves or moves in.
func (s *Store) Put(ctx context.Context, r storage.Row, was string) error {
	if err := r.Check(); err != nil {
		return err
	}
	in := &dynamodb.PutItemInput{
		TableName:                           aws.String(s.tables[r.Table]),
		Item:                                s.packer.item(r),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	in.ConditionExpression, in.ExpressionAttributeValues = putCondition(was, time.Now())
	_, err := s.db.PutItem(ctx, in)
	return s.outcome("put", r.Table, r.Rev, err)
}

// Delete implements storage.Store. It costs as much as a Put of the row.
func (s *Store) Delete(ctx context.Context, k storage.Key, was string) error {
	if err := k.Check(); err != nil {
		return err
	}
	in := &dynamodb.DeleteItemInput{
		TableName:                           aws.String(s.tables[k.Table]),
		Key:                                 itemKey(k),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	in.ConditionExpression, in.ExpressionAttributeValues = deleteCondition(was)
	_, err := s.db.DeleteItem(ctx, in)
	return s.outcome("delete", k.Table, "", err)
}

// outcome returns what err means for a write to t. If the write's condition failed and the stored row has the revision
// wanted already, an earlier try of the same write did succeed: its response was lost and the SDK repeated it. Any
// other stored revision is a *storage.ConflictError. An empty revision means no row, or one that has expired.
func (s *Store) outcome(verb string, t storage.Table, wanted string, err error) error {
	var stored storage.Row
	failed, conflict := errors.AsType[*types.ConditionalCheckFailedException](err)
	if conflict {
		if err = nil; len(failed.Item) > 0 {
			stored, err = s.packer.row(t, failed.Item)
		}
		if expired(stored, time.Now()) {
			stored = storage.Row{}
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s a row of %s: %w", verb, t, err)
	case conflict && stored.Rev != wanted:
		return &storage.ConflictError{Stored: stored}
	}
	return nil
}

// putCondition returns the condition that the stored row has the revision was. An expired row that DynamoDB has not
// deleted yet counts as no row.
func putCondition(was string, now time.Time) (*string, map[string]types.AttributeValue) {
	switch was {
	case storage.AnyRev:
		return nil, nil
	case "":
		return aws.String("attribute_not_exists(pk) OR x < :now"),
			map[string]types.AttributeValue{":now": number(now.Unix())}
	}
	return aws.String("rev = :was"), map[string]types.AttributeValue{":was": text(was)}
}

func deleteCondition(was string) (*string, map[string]types.AttributeValue) {
	switch was {
	case storage.AnyRev:
		return nil, nil
	case "":
		return aws.String("attribute_not_exists(pk)"), nil
	}
	return aws.String("attribute_not_exists(pk) OR rev = :was"),
		map[string]types.AttributeValue{":was": text(was)}
}

// expired reports whether r's last second is over. DynamoDB may delete such rows days late.
func expired(r storage.Row, now time.Time) bool {
	return !r.Expires.IsZero() && r.Expires.Unix() < now.Unix()
}

func itemKey(k storage.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(k.PK), "sk": text(k.SK)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
