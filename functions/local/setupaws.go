package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"ringback/shared/app"
	"ringback/shared/app/samples"
	"ringback/shared/cloud"
	"ringback/shared/config"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
)

// An awsSetup creates tables, queues, secrets and sample sources at an emulator of AWS.
type awsSetup struct {
	config.Config
	name  string // the start of all names
	data  string // folder with the secrets' texts
	reach string // host name of this machine inside the functions' containers; empty: no containers
	notes io.Writer
}

// setupAWS creates everything that the functions need at an emulator. It fails for AWS itself, since the sample sources
// have public keys and anybody could send them callbacks.
func setupAWS(ctx context.Context, args []string, out io.Writer) error {
	s := awsSetup{notes: os.Stderr}
	flags := flag.NewFlagSet("local setup-aws", flag.ContinueOnError)
	flags.StringVar(&s.name, "name", "ringback", "what the `name`s of tables, queues and secrets begin with")
	flags.StringVar(&s.data, "data", "./ringback-data", "`folder` of the files key-ring and operator-key, which become the secrets")
	flags.StringVar(&s.reach, "reach", "host.docker.internal", "`host` under which the functions reach the emulators, in place of 127.0.0.1 and localhost; empty for functions outside of containers")
	if err := settingUp.parseAll(flags, args, out); err != nil {
		return err
	}
	var err error
	if s.Config, err = config.Load(os.Getenv); err != nil {
		return err
	}
	if err := s.fill(); err != nil {
		return err
	}
	if err := s.make(ctx); err != nil {
		return err
	}
	return s.print(out)
}

// fill sets the values that do not matter to an emulator. It returns an error if no emulator is configured.
func (s *awsSetup) fill() error {
	var errs []error
	for _, e := range []struct{ variable, url string }{
		{"AWS_ENDPOINT_URL_DYNAMODB", s.AWS.Endpoints.DynamoDB}, {"AWS_ENDPOINT_URL_SQS", s.AWS.Endpoints.SQS},
	} {
		if e.url == "" {
			errs = append(errs, fmt.Errorf("config: %s is not set: want where an emulator listens; AWS itself is set up by sam deploy", e.variable))
		}
	}
	s.AWS.Region = cmp.Or(s.AWS.Region, "us-east-1")
	s.AWS.AccessKeyID, s.AWS.SecretAccessKey, s.AWS.SessionToken = "local", "local", "local" // never real credentials, since print writes them
	s.PublicURL = cmp.Or(s.PublicURL, samples.PublicURL)
	s.AWS.RegistrationsTable = cmp.Or(s.AWS.RegistrationsTable, s.name+"-registrations")
	s.AWS.DeliveriesTable = cmp.Or(s.AWS.DeliveriesTable, s.name+"-deliveries")
	return errors.Join(errs...)
}

func (s *awsSetup) make(ctx context.Context) error {
	var err error
	s.AWS, err = cloud.CreateQueues(ctx, s.AWS,
		s.queue(s.AWS.EventsQueueURL, "-events"), s.queue(s.AWS.RetryQueueURL, "-retry"), s.queue(s.AWS.SlowQueueURL, "-slow"))
	if err != nil {
		return err
	}
	b, err := cloud.Open(ctx, s.Config)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Store.CreateTables(ctx); err != nil {
		return err
	}
	keys, err := s.secrets(ctx, b)
	if err != nil {
		return err
	}
	g, err := app.New(s.Config, app.Parts{Store: b.Store, Queue: b.Queue, Keys: keys, Providers: all.Providers()})
	if err != nil {
		return err
	}
	return samples.Install(ctx, g)
}

// queue returns the name at the end of a queue's URL, or a new queue's name if there is no URL.
func (s *awsSetup) queue(queueURL, end string) string {
	if queueURL == "" {
		return s.name + end
	}
	return path.Base(queueURL)
}

// secrets creates the two secrets and returns the key ring that the functions will read.
func (s *awsSetup) secrets(ctx context.Context, b *cloud.Backend) (*keyring.Ring, error) {
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return nil, err
	}
	text, err := s.secret(ctx, b, &s.AWS.KeyRingSecret, keyRingFile)
	if err != nil {
		return nil, err
	}
	if _, err := s.secret(ctx, b, &s.AWS.OperatorKeySecret, operatorKeyFile); err != nil {
		return nil, err
	}
	keys, err := keyring.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("key ring: %w", err)
	}
	return keys, nil
}

// secret returns the text of the secret with this ARN. Without an ARN it returns the text of a file, and makes a secret
// of it if there is a Secrets Manager.
func (s *awsSetup) secret(ctx context.Context, b *cloud.Backend, arn *string, file string) (string, error) {
	if *arn != "" {
		text, err := b.Secret(ctx, *arn)
		return string(text), err
	}
	path := filepath.Join(s.data, file)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && file == operatorKeyFile {
		if err := writeOnce(path, []byte(samples.OperatorKey+"\n")); err != nil {
			return "", err
		}
	}
	text, err := secretFile(path)
	if err != nil || s.AWS.Endpoints.Secrets == "" {
		return text, err
	}
	created, stored, err := b.CreateSecret(ctx, s.name+"-"+file, text)
	if err == nil && stored != text {
		fmt.Fprintf(s.notes, "ringback: the secret %s-%s was there already; it holds another text than %s\n", s.name, file, path)
	}
	*arn = created
	return stored, err
}

// print writes the functions' environment to out, and a note if people have to complete it.
func (s *awsSetup) print(out io.Writer) error {
	keyRing, operatorKey := filepath.Join(s.data, keyRingFile), filepath.Join(s.data, operatorKeyFile)
	if s.AWS.KeyRingSecret == "" || s.AWS.OperatorKeySecret == "" {
		fmt.Fprintf(s.notes, "ringback: AWS_ENDPOINT_URL_SECRETS_MANAGER is not set: put the texts of %s and %s into two\n"+
			"secrets that the functions can read, and set KEY_RING_SECRET and OPERATOR_KEY_SECRET to their ARNs\n", keyRing, operatorKey)
	} else {
		fmt.Fprintf(s.notes, "ringback: operator key in the file %s\n", operatorKey)
	}
	return printJSON(out, map[string]any{"Parameters": s.environment()})
}

// environment returns the functions' variables that have a value.
func (s *awsSetup) environment() map[string]string {
	all := map[string]string{
		"REGISTRATIONS_TABLE":              s.AWS.RegistrationsTable,
		"DELIVERIES_TABLE":                 s.AWS.DeliveriesTable,
		"EVENTS_QUEUE_URL":                 s.fromFunctions(s.AWS.EventsQueueURL),
		"RETRY_QUEUE_URL":                  s.fromFunctions(s.AWS.RetryQueueURL),
		"SLOW_QUEUE_URL":                   s.fromFunctions(s.AWS.SlowQueueURL),
		"EVENTS_DEAD_URL":                  s.fromFunctions(s.AWS.EventsDeadURL),
		"RETRY_DEAD_URL":                   s.fromFunctions(s.AWS.RetryDeadURL),
		"SLOW_DEAD_URL":                    s.fromFunctions(s.AWS.SlowDeadURL),
		"KEY_RING_SECRET":                  s.AWS.KeyRingSecret,
		"OPERATOR_KEY_SECRET":              s.AWS.OperatorKeySecret,
		"AWS_REGION":                       s.AWS.Region,
		"AWS_ACCESS_KEY_ID":                s.AWS.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":            s.AWS.SecretAccessKey,
		"AWS_SESSION_TOKEN":                s.AWS.SessionToken,
		"AWS_ENDPOINT_URL_DYNAMODB":        s.fromFunctions(s.AWS.Endpoints.DynamoDB),
		"AWS_ENDPOINT_URL_SQS":             s.fromFunctions(s.AWS.Endpoints.SQS),
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": s.fromFunctions(s.AWS.Endpoints.Secrets),
		"PUBLIC_URL":                       s.PublicURL,
		"ALLOW_ENDPOINTS":                  os.Getenv("ALLOW_ENDPOINTS"),
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// fromFunctions returns a URL as the functions must call it: http://localhost:8000 is
// http://host.docker.internal:8000 in a container.
func (s *awsSetup) fromFunctions(text string) string {
	u, err := url.Parse(text)
	if s.reach == "" || err != nil || u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" {
		return text
	}
	if port := u.Port(); port != "" {
		u.Host = net.JoinHostPort(s.reach, port)
	} else {
		u.Host = s.reach
	}
	return u.String()
}
