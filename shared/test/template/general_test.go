package template

import "strings"

// generalRules are about the stack as a whole.
var generalRules = []rule{
	{
		name: "at most 23 parameters, each with a default and a description",
		holds: func(s stack) error {
			var f faults
			if n := len(s.parameters); n > 23 {
				f.add("%d parameters, want at most 23", n)
			}
			for _, name := range names(s.parameters) {
				for _, key := range []string{"Type", "Default", "Description"} {
					if get(s.parameters[name], key) == nil {
						f.add("parameter %s has no %s", name, key)
					}
				}
			}
			return f.err()
		},
		breaks: []edit{
			without(`Default: ""`), without("Default: arm64"), without("Default: small"), without("Default: AllAtOnce"),
			without("Description: Days that logs are kept."),
			{"Parameters:\n", "Parameters:\n  A: {Type: String, Default: '', Description: A}\n  B: {Type: String, Default: '', Description: B}\n"},
		},
	},
	{
		name: "every parameter is used",
		holds: func(s stack) error {
			var f faults
			used := s.written.used([]any{s.written.globals, s.written.resources, s.outputs})
			for _, name := range names(s.parameters) {
				if !used[name] {
					f.add("parameter %s changes nothing", name)
				}
			}
			return f.err()
		},
		breaks: []edit{{"Parameters:\n", "Parameters:\n  A: {Type: String, Default: '', Description: A}\n"}},
	},
	{
		name:  "no resource has a fixed name",
		holds: noFixedNames,
		breaks: []edit{
			{"      MessageRetentionPeriod: 1209600", "      QueueName: events\n      MessageRetentionPeriod: 1209600"},
			{"      BillingMode: PAY_PER_REQUEST\n", "      BillingMode: PAY_PER_REQUEST\n      TableName: rows\n"},
			{"      CodeUri: functions/", "      FunctionName: worker\n      CodeUri: functions/"},
			{"      AssumeRolePolicyDocument:\n", "      RoleName: worker\n      AssumeRolePolicyDocument:\n"},
			{"      RetentionInDays: !Ref LogRetentionDays\n", "      RetentionInDays: !Ref LogRetentionDays\n      LogGroupName: worker\n"},
			{"      GenerateSecretString:", "      Name: key\n      GenerateSecretString:"},
			{"      AlarmDescription:", "      AlarmName: alarm\n      AlarmDescription:"},
			{"        BudgetType: COST\n", "        BudgetType: COST\n        BudgetName: budget\n"},
			{"      ScheduleExpression:", "      Name: tick\n      ScheduleExpression:"},
			{"      DashboardBody:", "      DashboardName: board\n      DashboardBody:"},
			{"      Name: !Ref AWS::StackName\n", "      Name: ringback\n"},
		},
	},
	{
		name: "outputs say where everything is",
		holds: func(s stack) error {
			var f faults
			for _, name := range []string{
				"CallbackBaseUrl", "ConsoleUrl", "OperatorKeyCommand", "DashboardUrl", "AlarmsTopic", "DomainTarget",
				"EventsDeadLettersUrl", "RetryDeadLettersUrl", "SlowDeadLettersUrl", "TickDeadLettersUrl",
				"RegistrationsTableName", "DeliveriesTableName", "KeyRingArn",
			} {
				if get(s.outputs[name], "Value") == nil || get(s.outputs[name], "Description") == nil {
					f.add("output %s lacks a value or a description", name)
				}
			}
			f.same("CallbackBaseUrl", get(s.outputs["CallbackBaseUrl"], "Value"), get(s.globals, "Environment", "Variables", "PUBLIC_URL"))
			f.same("RegistrationsTableName", get(s.outputs["RegistrationsTableName"], "Value"), get(s.globals, "Environment", "Variables", "REGISTRATIONS_TABLE"))
			f.same("DeliveriesTableName", get(s.outputs["DeliveriesTableName"], "Value"), get(s.globals, "Environment", "Variables", "DELIVERIES_TABLE"))
			return f.err()
		},
		breaks: []edit{
			without("Value: !Ref RetryDead"), without("Value: !Ref SlowDead"), without("Description: The dashboard"),
			{"  OperatorKeyCommand:\n", "  OperatorCommand:\n"},
			{"REGISTRATIONS_TABLE: !If [OwnRegistrations", "REGISTRATIONS_TABLE: !If [OwnDeliveries"},
		},
	},
	{
		name: "a retained table or key ring can be attached",
		holds: func(s stack) error {
			var f faults
			for condition, parameter := range map[string]string{
				"OwnRegistrations": "ExistingRegistrationsTable",
				"OwnDeliveries":    "ExistingDeliveriesTable",
				"OwnKeyRing":       "ExistingKeyRingArn",
			} {
				f.same(condition, s.conditions[condition], object{"Fn::Equals": []any{ref(parameter), ""}})
				f.same("default of "+parameter, get(s.parameters[parameter], "Default"), "")
			}
			for resource, condition := range map[string]string{
				"RegistrationsTable": "OwnRegistrations", "DeliveriesTable": "OwnDeliveries", "KeyRing": "OwnKeyRing",
			} {
				f.same("condition of "+resource, get(s.resources[resource], "Condition"), condition)
			}
			return f.err()
		},
		breaks: []edit{
			without("Condition: OwnRegistrations"), without("Condition: OwnDeliveries"), without("Condition: OwnKeyRing"),
			{`!Equals [!Ref ExistingKeyRingArn, ""]`, `!Equals [!Ref ExistingDeliveriesTable, ""]`},
		},
	},
	{
		name: "the budget and the subscription are made on demand",
		holds: func(s stack) error {
			var f faults
			f.same("condition of Budget", get(s.resources["Budget"], "Condition"), "HasBudget")
			f.same("condition of AlarmsByEmail", get(s.resources["AlarmsByEmail"], "Condition"), "HasEmail")
			f.same("HasBudget", s.conditions["HasBudget"], object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("MonthlyBudget"), 0}}}})
			f.same("default of MonthlyBudget", get(s.parameters["MonthlyBudget"], "Default"), 0)
			return f.err()
		},
		breaks: []edit{without("Condition: HasBudget"), without("Condition: HasEmail"), {"!Equals [!Ref MonthlyBudget, 0]", "!Equals [!Ref MonthlyBudget, 1]"}},
	},
}

// naming is the property with which each type of resource is given a name.
var naming = map[string]string{
	"AWS::ApiGatewayV2::Api": "Name", "AWS::Budgets::Budget": "Budget.BudgetName", "AWS::CloudWatch::Alarm": "AlarmName",
	"AWS::CloudWatch::Dashboard": "DashboardName", "AWS::DynamoDB::Table": "TableName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
	"AWS::IAM::Role": "RoleName", "AWS::Logs::LogGroup": "LogGroupName", "AWS::Logs::MetricFilter": "FilterName",
	"AWS::SNS::Topic": "TopicName", "AWS::SQS::Queue": "QueueName", "AWS::Scheduler::Schedule": "Name",
	"AWS::SecretsManager::Secret": "Name", "AWS::Serverless::Function": "FunctionName",
	// These have none but what they belong to, or a domain, path or stage.
	"AWS::ApiGatewayV2::ApiMapping": "", "AWS::ApiGatewayV2::DomainName": "", "AWS::ApiGatewayV2::Integration": "",
	"AWS::ApiGatewayV2::Route": "", "AWS::ApiGatewayV2::Stage": "", "AWS::Lambda::Permission": "",
	"AWS::SNS::Subscription": "", "AWS::SNS::TopicPolicy": "", "AWS::SQS::QueuePolicy": "",
}

func noFixedNames(s stack) error {
	var f faults
	for _, name := range names(s.resources) {
		kind, _ := get(s.resources[name], "Type").(string)
		property, known := naming[kind]
		if !known {
			f.add("resource %s is of type %s: add to naming how that is named", name, kind)
		}
		given := get(s.properties(name), strings.Split(property, ".")...)
		if given != nil && !strings.Contains(text(given), "AWS::StackName") {
			f.add("resource %s is always named %s", name, text(given))
		}
	}
	return f.err()
}
