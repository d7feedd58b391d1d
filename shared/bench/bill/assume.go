package bill

import "time"

// What no count can tell, and is assumed instead.
const (
	Batch       = 5                      // messages an invocation of the worker
	SlowBatch   = 25                     // those of the slow queue
	AcceptTime  = 300 * time.Millisecond // of an endpoint that accepts
	RefuseTime  = 300 * time.Millisecond // of one that does not
	SlowTime    = 3 * time.Second        // of one that is slow
	EgressBytes = 3000                   // an attempt: request, TLS and packets

	dynamoTime   = 5 * time.Millisecond  // a round trip to DynamoDB in the region
	sqsTime      = 10 * time.Millisecond // a round trip to SQS
	ownTime      = 5 * time.Millisecond  // of an invocation besides what it waits for
	accessLog    = 190                   // bytes a request, by the format in template.yaml
	ingestMemory = 256                   // MB, as in template.yaml
	workerMemory = 256
	retryMemory  = 256
)
