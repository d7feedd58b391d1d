package template

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

const (
	noAPIKeys   = ` if {"ForAllValues:StringNotLike":{"dynamodb:LeadingKeys":["K#*"]}}`
	onlySources = ` if {"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["S#*"]}}`
	tableARN    = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Table}"
)

// allowed is all that each function but those of the providers may do.
var allowed = map[string][]string{
	"Worker": append(rows("Worker"),
		"dynamodb:PutItem DeliveriesTable", "dynamodb:PutItem RegistrationsTable"+noAPIKeys,
		"sqs:ChangeMessageVisibility EventsQueue", "sqs:DeleteMessage EventsQueue", "sqs:GetQueueAttributes EventsQueue", "sqs:ReceiveMessage EventsQueue",
		"sqs:ChangeMessageVisibility RetryQueue", "sqs:DeleteMessage RetryQueue", "sqs:GetQueueAttributes RetryQueue", "sqs:ReceiveMessage RetryQueue",
		"sqs:ChangeMessageVisibility SlowQueue", "sqs:DeleteMessage SlowQueue", "sqs:GetQueueAttributes SlowQueue", "sqs:ReceiveMessage SlowQueue",
	),
	"Retry": {
		"dynamodb:BatchGetItem DeliveriesTable", "dynamodb:BatchGetItem RegistrationsTable",
		"dynamodb:GetItem DeliveriesTable", "dynamodb:GetItem RegistrationsTable",
		"dynamodb:PutItem DeliveriesTable",
		"dynamodb:Query DeliveriesTable/index/due", "dynamodb:Query RegistrationsTable/index/due",
		"logs:CreateLogStream RetryLog", "logs:PutLogEvents RetryLog",
		"sqs:GetQueueAttributes RetryQueue", "sqs:SendMessage RetryQueue",
		"sqs:GetQueueAttributes SlowQueue", "sqs:SendMessage SlowQueue",
	},
	"Api": append(rows("Api"),
		"dynamodb:PutItem DeliveriesTable", "dynamodb:PutItem RegistrationsTable",
		"dynamodb:Query DeliveriesTable/index/due", "dynamodb:Query RegistrationsTable/index/due",
		"secretsmanager:GetSecretValue OperatorKey",
		"sqs:DeleteMessage EventsDead", "sqs:GetQueueAttributes EventsDead", "sqs:ListMessageMoveTasks EventsDead",
		"sqs:ReceiveMessage EventsDead", "sqs:StartMessageMoveTask EventsDead",
		"sqs:DeleteMessage RetryDead", "sqs:GetQueueAttributes RetryDead", "sqs:ListMessageMoveTasks RetryDead",
		"sqs:ReceiveMessage RetryDead", "sqs:StartMessageMoveTask RetryDead",
		"sqs:DeleteMessage SlowDead", "sqs:GetQueueAttributes SlowDead", "sqs:ListMessageMoveTasks SlowDead",
		"sqs:ReceiveMessage SlowDead", "sqs:StartMessageMoveTask SlowDead",
		"sqs:GetQueueAttributes EventsQueue", "sqs:GetQueueAttributes RetryQueue", "sqs:GetQueueAttributes SlowQueue",
	),
	"Tick": {"lambda:InvokeFunction Retry.Alias", "sqs:SendMessage TickDead"},
}

func ingest(name string) []string {
	return []string{
		"dynamodb:BatchGetItem RegistrationsTable" + onlySources, "dynamodb:GetItem RegistrationsTable" + onlySources,
		"logs:CreateLogStream " + name + "Log", "logs:PutLogEvents " + name + "Log",
		"secretsmanager:GetSecretValue KeyRing", "sqs:SendMessage EventsQueue",
	}
}

func rows(name string) []string {
	out := []string{
		"dynamodb:Query DeliveriesTable/index/open",
		"logs:CreateLogStream " + name + "Log", "logs:PutLogEvents " + name + "Log",
		"secretsmanager:GetSecretValue KeyRing", "sqs:SendMessage EventsQueue", "sqs:SendMessage RetryQueue", "sqs:SendMessage SlowQueue",
	}
	for _, action := range []string{"BatchGetItem", "DeleteItem", "GetItem", "Query"} {
		out = append(out, "dynamodb:"+action+" DeliveriesTable", "dynamodb:"+action+" RegistrationsTable")
	}
	return out
}

// permissionRules are about who may do what.
var permissionRules = []rule{
	{
		name: "each function may do what it needs and nothing else",
		holds: func(s stack) error {
			var f faults
			for _, name := range append(s.functions(), "Tick") {
				may := allowed[name]
				if slices.Contains(s.callbackNames(), name) {
					may = ingest(name)
				}
				got, want := s.statements(&f, name+"Role"), slices.Sorted(slices.Values(may))
				if diff := cmp.Diff(want, got); diff != "" {
					f.add("what %s may do (-want +got):\n%s", name, diff)
				}
			}
			return f.err()
		},
		breaks: []edit{
			without(`Condition: {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["S#*"]}}`), {`["S#*"]`, `["*"]`}, {`["K#*"]`, `["X#*"]`},
			{"dynamodb:Query]", "dynamodb:*]"}, {"dynamodb:Query]", "dynamodb:Query, dynamodb:Scan]"},
			{"dynamodb:BatchGetItem, dynamodb:PutItem]", "dynamodb:BatchGetItem, dynamodb:PutItem, dynamodb:DeleteItem]"},
			{"table/${Table}/index/", "table/${Table}/index/*"}, {"table/${Table}\n", "table/*\n"},
			{"Resource: !GetAtt EventsQueue.Arn\n          - Effect: Allow\n", "Resource: \"*\"\n          - Effect: Allow\n"},
			{"Resource: [!GetAtt RetryQueue.Arn, !GetAtt SlowQueue.Arn]\n\n  Tick:", "Resource: \"*\"\n\n  Tick:"},
			{"Resource: [!GetAtt EventsDead.Arn, !GetAtt RetryDead.Arn, !GetAtt SlowDead.Arn]", "Resource: !GetAtt EventsDead.Arn"},
			{"Resource: !If [OwnKeyRing, !Ref KeyRing, !Ref ExistingKeyRingArn]", "Resource: !Ref OperatorKey"},
			{"Action: [logs:CreateLogStream, logs:PutLogEvents]", "Action: [logs:*]"},
			{"Resource: !Ref Retry.Alias", "Resource: \"*\""}, {"ManagedPolicyArns: [!Ref RowsPolicy, ", "ManagedPolicyArns: ["},
			{"ManagedPolicyArns: [!Ref IngestPolicy, ", "ManagedPolicyArns: [!Ref RowsPolicy, "},
			{"ManagedPolicyArns: [!Ref IngestPolicy, ", "ManagedPolicyArns: [!Ref IngestPolicy, arn:aws:iam::aws:policy/PowerUserAccess, "},
			{"Resource: !GetAtt DirectLog.Arn", "Resource: !GetAtt WorkerLog.Arn"},
		},
	},
	{
		name: "a key of the operator's, traces and a boundary are had on demand, by every role",
		holds: func(s stack) error {
			var f faults
			s = s.with(object{"KmsKeyArn": "key", "Tracing": "Active", "PermissionsBoundary": "boundary"})
			for _, role := range s.of("AWS::IAM::Role") {
				f.same("boundary of "+role, s.properties(role)["PermissionsBoundary"], ref("PermissionsBoundary"))
				may := s.statements(&f, role)
				for _, want := range []string{"kms:Decrypt KmsKeyArn", "kms:DescribeKey KmsKeyArn", "kms:GenerateDataKey KmsKeyArn",
					`xray:PutTelemetryRecords "*"`, `xray:PutTraceSegments "*"`} {
					if !slices.Contains(may, want) && !(role == "TickRole" && strings.HasPrefix(want, "xray")) {
						f.add("%s may not %s", role, want)
					}
				}
			}
			for _, name := range s.functions() {
				f.same("tracing of "+name, s.properties(name)["Tracing"], ref("Tracing"))
			}
			for policy, condition := range map[string]string{"KmsPolicy": "HasKmsKey", "TracingPolicy": "Traced"} {
				f.same("condition of "+policy, get(s.resources[policy], "Condition"), condition)
			}
			f.same("defaults", []any{get(s.written.parameters["Tracing"], "Default"), get(s.written.parameters["KmsKeyArn"], "Default"),
				get(s.written.parameters["PermissionsBoundary"], "Default")}, []any{"PassThrough", "", ""})
			return f.err()
		},
		breaks: []edit{
			{"!If [HasKmsKey, !Ref KmsPolicy, !Ref AWS::NoValue]", "!Ref AWS::NoValue"}, {"!If [Traced, !Ref TracingPolicy, !Ref AWS::NoValue]", "!Ref AWS::NoValue"},
			without("PermissionsBoundary: !If [Bounded, !Ref PermissionsBoundary, !Ref AWS::NoValue]"), without("Tracing: !Ref Tracing"),
			{"kms:GenerateDataKey, ", ""}, without("Condition: Traced"), {"Default: PassThrough", "Default: Active"},
		},
	},
	{
		name: "each function has a role of its own, which nobody else takes",
		holds: func(s stack) error {
			var f faults
			for _, name := range s.functions() {
				f.same(name+"'s role", s.properties(name)["Role"], getAtt(name+"Role.Arn"))
				f.same("who takes "+name+"Role", s.properties(name + "Role")["AssumeRolePolicyDocument"], taken("lambda.amazonaws.com", nil))
			}
			f.same("who takes TickRole", s.properties("TickRole")["AssumeRolePolicyDocument"],
				taken("scheduler.amazonaws.com", object{"StringEquals": object{"aws:SourceAccount": ref("AWS::AccountId")}}))
			f.same("roles", len(s.of("AWS::IAM::Role")), len(s.functions())+1)
			return f.err()
		},
		breaks: []edit{
			without("Role: !GetAtt WorkerRole.Arn"), {"Role: !GetAtt ApiRole.Arn", "Role: !GetAtt WorkerRole.Arn"},
			{"Principal: {Service: lambda.amazonaws.com}", `Principal: "*"`},
			{"Principal: {Service: scheduler.amazonaws.com}\n            Condition: ", "Principal: {Service: scheduler.amazonaws.com}\n            NoCondition: "},
		},
	},
	{
		name: "the keys are secrets that AWS makes",
		holds: func(s stack) error {
			var f faults
			f.same("secrets", s.of("AWS::SecretsManager::Secret"), []string{"KeyRing", "OperatorKey"})
			for _, name := range s.of("AWS::SecretsManager::Secret") {
				f.same(name+"'s text", s.properties(name)["GenerateSecretString"], object{"PasswordLength": 64, "ExcludePunctuation": true})
				f.same(name+"'s key", s.with(object{"KmsKeyArn": "key"}).properties(name)["KmsKeyId"], ref("KmsKeyArn"))
			}
			return f.err()
		},
		breaks: []edit{
			without("GenerateSecretString: {PasswordLength: 64, ExcludePunctuation: true}"),
			{", ExcludePunctuation: true}", "}"}, {"PasswordLength: 64", "PasswordLength: 8"},
		},
	},
	{
		name: "nobody is told a key, and only who needs the operator's where it lies",
		holds: func(s stack) error {
			var f faults
			ring := object{"Fn::If": []any{"OwnKeyRing", ref("KeyRing"), ref("ExistingKeyRingArn")}}
			for _, name := range s.functions() {
				env := s.environment(name)
				want := map[string]any{"KEY_RING_SECRET": ring}
				if name == "Api" {
					want["OPERATOR_KEY_SECRET"] = ref("OperatorKey")
				}
				got := map[string]any{}
				for variable, v := range env {
					if used := s.used(v); used["KeyRing"] || used["OperatorKey"] || strings.HasSuffix(variable, "SECRET") {
						got[variable] = v
					}
					if strings.Contains(text(v), "{{resolve:") {
						f.add("%s of %s is a secret's value", variable, name)
					}
				}
				f.same("secrets of "+name, got, want)
			}
			for _, name := range names(s.parameters) {
				if get(s.parameters[name], "NoEcho") != nil {
					f.add("parameter %s is a secret", name)
				}
			}
			return f.err()
		},
		breaks: []edit{
			without("KEY_RING_SECRET: !If [OwnKeyRing, !Ref KeyRing, !Ref ExistingKeyRingArn] # all are told, so that all change with it"), without("OPERATOR_KEY_SECRET: !Ref OperatorKey"),
			{"        SERVICE: !Ref AWS::StackName\n", "        SERVICE: !Ref AWS::StackName\n        OPERATOR_KEY_SECRET: !Ref OperatorKey\n"},
			{"OPERATOR_KEY_SECRET: !Ref OperatorKey", "OPERATOR_KEY_SECRET: '{{resolve:secretsmanager:key}}'"},
			{"    Default: arm64\n", "    Default: arm64\n    NoEcho: true\n"},
		},
	},
}

func taken(service string, condition any) object {
	s := object{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": object{"Service": service}}
	if condition != nil {
		s["Condition"] = condition
	}
	return object{"Version": "2012-10-17", "Statement": []any{s}}
}

// statements returns what a role may do, a line for each action and thing.
func (s stack) statements(f *faults, role string) []string {
	p := s.properties(role)
	var documents []any
	for _, policy := range list(p["Policies"]) {
		documents = append(documents, get(policy, "PolicyDocument"))
	}
	for _, arn := range list(p["ManagedPolicyArns"]) {
		name, _ := get(arn, "Ref").(string)
		if s.resources[name] == nil {
			f.add("%s has the policy %s, which is not of this stack", role, text(arn))
		}
		documents = append(documents, s.properties(name)["PolicyDocument"])
	}
	var out []string
	for _, d := range documents {
		for _, statement := range list(get(d, "Statement")) {
			out = append(out, lines(f, role, statement)...)
		}
	}
	return slices.Sorted(slices.Values(out))
}

func lines(f *faults, role string, statement any) []string {
	var out []string
	if get(statement, "Effect") != "Allow" {
		f.add("%s has a statement that is not Allow", role)
	}
	condition := ""
	if c := get(statement, "Condition"); c != nil {
		condition = " if " + text(c)
	}
	for _, action := range list(get(statement, "Action")) {
		for _, resource := range list(get(statement, "Resource")) {
			out = append(out, fmt.Sprint(action, " ", thing(resource), condition))
		}
	}
	return out
}

// thing returns the name in the template of what an ARN expression is about.
func thing(v any) string {
	if name, ok := get(v, "Ref").(string); ok {
		return name
	}
	if name, ok := get(v, "Fn::GetAtt").(string); ok && strings.HasSuffix(name, ".Arn") {
		return strings.TrimSuffix(name, ".Arn")
	}
	if text(v) == text(object{"Fn::If": []any{"OwnKeyRing", ref("KeyRing"), ref("ExistingKeyRingArn")}}) {
		return "KeyRing"
	}
	if l := list(get(v, "Fn::Sub")); len(l) == 2 {
		index, isTable := strings.CutPrefix(fmt.Sprint(l[0]), tableARN)
		for _, table := range []string{"Registrations", "Deliveries"} {
			own := object{"Table": object{"Fn::If": []any{"Own" + table, ref(table + "Table"), ref("Existing" + table + "Table")}}}
			if isTable && text(l[1]) == text(own) {
				return table + "Table" + index
			}
		}
	}
	return text(v)
}
