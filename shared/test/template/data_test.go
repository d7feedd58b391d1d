package template

import (
	"maps"
	"slices"

	"ringback/shared/storage"
)

// dataRules are about what is kept.
var dataRules = []rule{
	{
		name: "what cannot be made again outlives the stack",
		holds: func(s stack) error {
			var f faults
			for _, name := range append(s.of("AWS::DynamoDB::Table"), s.of("AWS::SecretsManager::Secret")...) {
				for _, policy := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
					f.same(name+"'s "+policy, get(s.resources[name], policy), "Retain")
				}
			}
			return f.err()
		},
		breaks: []edit{without("DeletionPolicy: Retain"), without("UpdateReplacePolicy: Retain")},
	},
	{
		name: "tables are sealed, can be restored, and cannot be deleted by mistake",
		holds: func(s stack) error {
			var f faults
			f.same("tables", s.of("AWS::DynamoDB::Table"), []string{"DeliveriesTable", "RegistrationsTable"})
			for _, name := range s.of("AWS::DynamoDB::Table") {
				p := s.properties(name)
				f.same(name+"'s billing", p["BillingMode"], "PAY_PER_REQUEST")
				f.same(name+"'s encryption", p["SSESpecification"], object{"SSEEnabled": true})
				f.same(name+"'s own key", s.with(object{"KmsKeyArn": "key"}).properties(name)["SSESpecification"],
					object{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": ref("KmsKeyArn")})
				f.same(name+"'s recovery", p["PointInTimeRecoverySpecification"], object{"PointInTimeRecoveryEnabled": true})
				f.same(name+"'s protection", p["DeletionProtectionEnabled"], true)
			}
			return f.err()
		},
		breaks: []edit{
			without("BillingMode: PAY_PER_REQUEST"), without("- {SSEEnabled: true}"), without("- {SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: !Ref KmsKeyArn}"),
			without("PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}"), without("DeletionProtectionEnabled: true"),
		},
	},
	{
		name: "the deliveries table can be warmed, and is not by default",
		holds: func(s stack) error {
			var f faults
			f.same("warm throughput", s.properties("DeliveriesTable")["WarmThroughput"], object{"Fn::If": []any{
				"Warm", object{"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": ref("WarmWrites")}, ref("AWS::NoValue"),
			}})
			f.same("Warm", s.conditions["Warm"], object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("WarmWrites"), 0}}}})
			f.same("default of WarmWrites", get(s.parameters["WarmWrites"], "Default"), 0)
			return f.err()
		},
		breaks: []edit{without("- {ReadUnitsPerSecond: 12000, WriteUnitsPerSecond: !Ref WarmWrites}"), {"!Equals [!Ref WarmWrites, 0]", "!Equals [!Ref WarmWrites, 1]"}},
	},
}

const (
	queueDays = 14

	// gathering is how many seconds Lambda may gather a batch for if a mapping has a
	// window, however short, and few messages come ("Using Lambda with Amazon SQS").
	// Six times the function's timeout is for its retries when it is throttled.
	gathering = 20
)

// mapped are what feeds Worker, by event. A batch of the slow queue is larger,
// since its attempts mostly wait; more than ten messages take a window.
var mapped = map[string]object{
	"FromEvents": mapping("EventsQueue", 10, 0, 2),
	"FromRetry":  mapping("RetryQueue", 10, 0, 2),
	"FromSlow":   mapping("SlowQueue", 50, 1, 2),
}

func mapping(queue string, batch, window, concurrency int) object {
	return object{"Type": "SQS", "Properties": object{
		"Queue": getAtt(queue + ".Arn"), "Enabled": true, "BatchSize": batch, "MaximumBatchingWindowInSeconds": window,
		"FunctionResponseTypes": []any{"ReportBatchItemFailures"}, "ScalingConfig": object{"MaximumConcurrency": concurrency},
	}}
}

// sizes are what template.yaml offers, with what each takes at most of what an
// account may run at once. Besides its workers and the callbacks that are
// reserved for each of three providers there must be room for Api, Retry and,
// where none is reserved, the callbacks; 100 cannot be reserved ("Lambda
// quotas").
var sizes = map[string]struct{ account, room int }{"small": {10, 4}, "medium": {1000, 100}, "large": {3000, 100}}

// queueRules are about messages on their way.
var queueRules = []rule{
	{
		name: "queues are sealed, speak only TLS, and keep messages for fourteen days",
		holds: func(s stack) error {
			var f faults
			f.same("queues", s.of("AWS::SQS::Queue"), []string{"EventsDead", "EventsQueue", "RetryDead", "RetryQueue", "SlowDead", "SlowQueue", "TickDead"})
			for _, name := range s.of("AWS::SQS::Queue") {
				p := s.properties(name)
				f.same(name+"'s encryption", p["SqsManagedSseEnabled"], true)
				keyed := s.with(object{"KmsKeyArn": "key"}).properties(name)
				f.same(name+"'s own key", []any{keyed["SqsManagedSseEnabled"], keyed["KmsMasterKeyId"]}, []any{nil, ref("KmsKeyArn")})
				f.same(name+"'s retention", p["MessageRetentionPeriod"], queueDays*24*3600)
				f.same(name+"'s message size", p["MaximumMessageSize"], storage.MaxMessageBytes)
				policy := s.properties(name + "Policy")
				f.same("queues of "+name+"Policy", policy["Queues"], []any{ref(name)})
				f.same(name+"Policy", get(policy, "PolicyDocument", "Statement"), []any{object{
					"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": getAtt(name + ".Arn"),
					"Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
				}})
			}
			return f.err()
		},
		breaks: []edit{
			without("SqsManagedSseEnabled: !If [HasKmsKey, !Ref AWS::NoValue, true]"), {"NoValue, true]\n      KmsMasterKeyId:", "NoValue, true]\n      Key:"}, {"MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 345600"},
			{"MaximumMessageSize: 1048576", "MaximumMessageSize: 262144"},
			{"            Action: sqs:*\n", "            Action: sqs:SendMessage\n"}, {"Queues: [!Ref RetryQueue]", "Queues: [!Ref RetryDead]"},
			{"Resource: !GetAtt RetryDead.Arn\n            Condition: {Bool: {\"aws:SecureTransport\"", "Resource: !GetAtt RetryDead.Arn\n            Condition: {Bool: {\"aws:Secure\""},
		},
	},
	{
		name: "a message that was not finished comes again, five times, and then lies in the dead-letter queue",
		holds: func(s stack) error {
			var f faults
			for queue, dead := range map[string]string{"EventsQueue": "EventsDead", "RetryQueue": "RetryDead", "SlowQueue": "SlowDead"} {
				p := s.properties(queue)
				f.same(queue+"'s redrive", p["RedrivePolicy"], object{"deadLetterTargetArn": getAtt(dead + ".Arn"), "maxReceiveCount": storage.MaxReceives})
				if least := 6*number(s.properties("Worker")["Timeout"]) + gathering; number(p["VisibilityTimeout"]) < least {
					f.add("%s hides messages for %d s, want six times the worker's timeout and the time to gather a batch: %d", queue, number(p["VisibilityTimeout"]), least)
				}
			}
			return f.err()
		},
		breaks: []edit{
			without("RedrivePolicy: {deadLetterTargetArn: !GetAtt EventsDead.Arn, maxReceiveCount: 5}"),
			{"!GetAtt RetryDead.Arn, maxReceiveCount", "!GetAtt EventsDead.Arn, maxReceiveCount"}, {"maxReceiveCount: 5", "maxReceiveCount: 3"},
			without("VisibilityTimeout: 200"), {"VisibilityTimeout: 200", "VisibilityTimeout: 199"}, {"Timeout: 30 # the longest", "Timeout: 31 # the longest"},
			{"!GetAtt SlowDead.Arn, maxReceiveCount", "!GetAtt RetryDead.Arn, maxReceiveCount"},
		},
	},
	{
		name: "the worker is fed from all queues, says which messages must come again, and leaves room for callbacks",
		holds: func(s stack) error {
			var f faults
			events := sub(s.properties("Worker"), "Events")
			for event, want := range mapped {
				f.same(event, events[event], want)
			}
			f.same("sizes", names(sub(s.mappings, "Sizes")), slices.Sorted(maps.Keys(sizes)))
			for size, want := range sizes {
				s := s.with(object{"Size": size})
				needs := want.room
				for _, e := range sub(s.properties("Worker"), "Events") {
					needs += number(get(e, "Properties", "ScalingConfig", "MaximumConcurrency"))
				}
				for _, name := range s.callbackNames() {
					reserved := number(s.properties(name)["ReservedConcurrentExecutions"])
					needs += reserved
					if (reserved > 0) != (size != "small") {
						f.add("size %s reserves %d of %s", size, reserved, name)
					}
				}
				if needs > want.account {
					f.add("size %s needs %d executions, want at most %d", size, needs, want.account)
				}
			}
			own := sub(s.with(object{"WorkerConcurrency": 7, "SlowConcurrency": 3}).properties("Worker"), "Events")
			for event, want := range map[string]string{"FromEvents": "WorkerConcurrency", "FromRetry": "WorkerConcurrency", "FromSlow": "SlowConcurrency"} {
				f.same("workers of "+event, get(own[event], "Properties", "ScalingConfig", "MaximumConcurrency"), ref(want))
			}
			paused := s.with(object{"Paused": "true"})
			for event := range mapped {
				f.same(event+" of a stack that is paused", get(sub(paused.properties("Worker"), "Events")[event], "Properties", "Enabled"), false)
			}
			f.same("the schedule, paused and not", []any{paused.properties("Tick")["State"], s.properties("Tick")["State"]}, []any{"DISABLED", "ENABLED"})
			f.same("PAUSED", s.environment("Worker")["PAUSED"], ref("Paused"))
			f.same("FIRST_ATTEMPT", s.environment("Worker")["FIRST_ATTEMPT"], "1s")
			return f.err()
		},
		breaks: []edit{
			without("FunctionResponseTypes: [ReportBatchItemFailures]"), {"Workers: 2, Slow: 2, Batch: 10", "Workers: 2, Slow: 2, Batch: 100"},
			{"Workers: 2", "Workers: 50"}, {"Workers: 100", "Workers: 300"}, {"Reserved: 400", "Reserved: 800"}, {"Reserved: 130", "Reserved: 0"},
			without("ScalingConfig: {MaximumConcurrency: !If [WorkersBySize, !FindInMap [Sizes, !Ref Size, Workers], !Ref WorkerConcurrency]}"), without("Queue: !GetAtt RetryQueue.Arn"),
			without("ScalingConfig: {MaximumConcurrency: !If [SlowBySize, !FindInMap [Sizes, !Ref Size, Slow], !Ref SlowConcurrency]}"), without("BatchSize: 50"), without("MaximumBatchingWindowInSeconds: 1"),
			without("Enabled: !If [IsPaused, false, true]"), without("State: !If [IsPaused, DISABLED, ENABLED]"), without("PAUSED: !Ref Paused"),
			without("ReservedConcurrentExecutions: !If [Reserved, !FindInMap [Sizes, !Ref Size, Reserved], !Ref AWS::NoValue]"),
			without("FIRST_ATTEMPT: 1s # a batch ends with its slowest attempt"), without("Queue: !GetAtt SlowQueue.Arn"),
		},
	},
}
