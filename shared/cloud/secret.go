package cloud

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Secret returns the current value, text or binary, of the secret with this ARN. Each call reads it anew, so call it
// once at a function's start. The error names the ARN and never the value.
func (b *Backend) Secret(ctx context.Context, arn string) ([]byte, error) {
	out, err := b.secretsManager().GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", arn, err)
	}
	if out.SecretString != nil {
		return []byte(*out.SecretString), nil
	}
	return out.SecretBinary, nil
}

func (b *Backend) secretsManager() *secretsmanager.Client {
	return secretsmanager.NewFromConfig(b.aws, func(o *secretsmanager.Options) { o.BaseEndpoint = optional(b.secrets) })
}
