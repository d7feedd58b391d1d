package template

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ringback/shared/gateway"
)

// alarmRules are about what an operator is told.
var alarmRules = []rule{
	{
		name: "every alarm goes to the topic, and comes back from it",
		holds: func(s stack) error {
			var f faults
			f.same("the topic's key", s.with(object{"KmsKeyArn": "key"}).properties("Alarms")["KmsMasterKeyId"], ref("KmsKeyArn"))
			for _, name := range s.of("AWS::CloudWatch::Alarm") {
				p := s.properties(name)
				f.same("whom "+name+" tells", []any{p["AlarmActions"], p["OKActions"]}, []any{[]any{ref("Alarms")}, []any{ref("Alarms")}})
				if p["TreatMissingData"] == nil || p["AlarmDescription"] == nil {
					f.add("%s lacks a description, or what missing data mean", name)
				}
			}
			f.same("who may tell", get(list(get(s.properties("AlarmsPolicy"), "PolicyDocument", "Statement"))[0], "Condition"),
				object{"StringEquals": object{"aws:SourceAccount": ref("AWS::AccountId")}})
			return f.err()
		},
		breaks: []edit{
			without("AlarmActions: [!Ref Alarms]"), without("OKActions: [!Ref Alarms]"), without("TreatMissingData: notBreaching"),
			{"SNS::Topic\n    Properties:\n      KmsMasterKeyId:", "SNS::Topic\n    Properties:\n      Key:"},
			{"Resource: !Ref Alarms\n            Condition: {StringEquals", "Resource: !Ref Alarms\n            Condition: {StringLike"},
		},
	},
	{
		name: "each dead-letter queue has an alarm",
		holds: func(s stack) error {
			var f faults
			for _, queue := range s.of("AWS::SQS::Queue") {
				if strings.HasSuffix(queue, "Dead") {
					f.watched(s, watch{"AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", getAtt(queue + ".QueueName")}, "GreaterThanThreshold", 0, "notBreaching")
				}
			}
			return f.err()
		},
		breaks: []edit{
			{"MetricName: ApproximateNumberOfMessagesVisible", "MetricName: NumberOfMessagesSent"},
			{"Value: !GetAtt EventsDead.QueueName", "Value: !GetAtt EventsQueue.QueueName"},
			{"Value: !GetAtt RetryDead.QueueName", "Value: !GetAtt EventsDead.QueueName"},
			{"Value: !GetAtt SlowDead.QueueName", "Value: !GetAtt EventsDead.QueueName"},
			{"Value: !GetAtt TickDead.QueueName", "Value: !GetAtt EventsDead.QueueName"},
		},
	},
	{
		name: "what waits too long has an alarm",
		holds: func(s stack) error {
			var f faults
			f.watched(s, watch{"Ringback", string(gateway.DueAge), "Service", ref("AWS::StackName")}, "GreaterThanThreshold", 300, "notBreaching")
			f.watched(s, watch{"AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", getAtt("EventsQueue.QueueName")}, "GreaterThanThreshold", 300, "notBreaching")
			f.watched(s, watch{"AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", getAtt("RetryQueue.QueueName")}, "GreaterThanThreshold", 1800, "notBreaching")
			f.watched(s, watch{"AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", getAtt("SlowQueue.QueueName")}, "GreaterThanThreshold", 1800, "notBreaching")
			f.same("SERVICE", get(s.globals, "Environment", "Variables", "SERVICE"), ref("AWS::StackName"))
			return f.err()
		},
		breaks: []edit{
			without("MetricName: OldestDue"), without("MetricName: ApproximateAgeOfOldestMessage"), {"Threshold: 1800", "Threshold: 600"},
			{"Threshold: 300", "Threshold: 30000"}, without("SERVICE: !Ref AWS::StackName"),
		},
	},
	{
		name: "each function's errors have an alarm, and the throttles of those that nobody calls by HTTP",
		holds: func(s stack) error {
			var f faults
			throttled := map[string]bool{}
			for _, m := range list(s.properties("Throttles")["Metrics"]) {
				metric := get(m, "MetricStat", "Metric")
				if get(metric, "MetricName") == "Throttles" && get(m, "MetricStat", "Stat") == "Sum" {
					throttled[text(list(get(metric, "Dimensions"))[0])] = true
				}
			}
			for _, name := range s.functions() {
				f.watched(s, watch{"AWS/Lambda", "Errors", "FunctionName", ref(name)}, "GreaterThanThreshold", 0, "notBreaching")
				called := s.properties(name+"Integration") != nil // API Gateway answers 503, which ServerErrors sees
				if !called && !throttled[text(object{"Name": "FunctionName", "Value": ref(name)})] {
					f.add("nobody is told of throttles of %s", name)
				}
			}
			f.same("sum of throttles", list(s.properties("Throttles")["Metrics"])[0], object{"Id": "all", "Expression": "SUM(METRICS())", "Label": "Throttles"})
			return f.err()
		},
		breaks: []edit{
			without("MetricName: Errors"), {"MetricName: Throttles, Dimensions: [{Name: FunctionName, Value: !Ref Worker}]", "MetricName: Throttles, Dimensions: [{Name: FunctionName, Value: !Ref Retry}]"},
			without(`- {Id: all, Expression: SUM(METRICS()), Label: Throttles}`),
		},
	},
	{
		name: "a callback that was throttled or met a failure has an alarm",
		holds: func(s stack) error {
			var f faults
			namespace := object{"Fn::Sub": "Ringback/${AWS::StackName}"}
			f.watched(s, watch{namespace, "ThrottledCallbacks", "", nil}, "GreaterThanThreshold", 0, "notBreaching")
			f.watched(s, watch{"AWS/ApiGateway", "5xx", "ApiId", ref("HttpApi")}, "GreaterThanThreshold", 0, "notBreaching")
			p := s.properties("ThrottledCallbacksFilter")
			f.same("the filter's group", p["LogGroupName"], ref("AccessLog"))
			f.same("the filter", p["FilterPattern"], `{ $.status = "429" && $.routeKey = "ANY /callbacks/*" }`)
			f.same("the filter's metric", p["MetricTransformations"], []any{object{"MetricNamespace": namespace, "MetricName": "ThrottledCallbacks", "MetricValue": "1"}})
			return f.err()
		},
		breaks: []edit{
			without("MetricName: ThrottledCallbacks"), without(`MetricName: 5xx`), {`$.status = "429"`, `$.status = 429`}, {"ANY /callbacks/*", "POST /callbacks/*"},
			without("LogGroupName: !Ref AccessLog"),
		},
	},
	{
		name: "a tick that is missing has an alarm, also if nothing is heard any more, but not before the first",
		holds: func(s stack) error {
			var f faults
			p := s.properties("MissingTick")
			ran := list(p["Metrics"])
			if len(ran) != 2 {
				f.add("MissingTick has %d metrics, want the ticks and how many count", len(ran))
				return f.err()
			}
			// "Using math expressions with CloudWatch metrics": FILL with REPEAT fills
			// nothing before the first value.
			f.same("what counts", get(ran[0], "Expression"), "FILL(ticks, 0) + 0 * FILL(ticks, REPEAT)")
			f.same("ticks", []any{get(ran[1], "Id"), get(ran[1], "ReturnData"), get(ran[1], "MetricStat")}, []any{"ticks", false, object{
				"Metric": object{"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": []any{object{"Name": "FunctionName", "Value": ref("Retry")}}},
				"Period": 60, "Stat": "Sum",
			}})
			f.same("when it is missing", []any{p["ComparisonOperator"], p["Threshold"], p["EvaluationPeriods"], p["DatapointsToAlarm"], p["TreatMissingData"]},
				[]any{"LessThanThreshold", 1, 8, 5, "ignore"})
			f.same("whether a stack that is paused alarms", []any{s.with(object{"Paused": "true"}).properties("MissingTick")["ActionsEnabled"], p["ActionsEnabled"]}, []any{false, true})
			return f.err()
		},
		breaks: []edit{
			without("TreatMissingData: ignore # as long as nothing is heard it stays as it is"), {"MetricName: Invocations", "MetricName: Errors"},
			without("ComparisonOperator: LessThanThreshold"), {", REPEAT)", ", 0)"}, without("ActionsEnabled: !If [IsPaused, false, true]"), {"DatapointsToAlarm: 5", "DatapointsToAlarm: 8"},
		},
	},
	{
		name:   "the dashboard shows metrics that there are",
		holds:  dashboard,
		breaks: []edit{{`"Ringback","RefusedCallbacks"`, `"Ringback","RefusedCalls"`}, {`{"widgets":[`, `{"widgets":`}, {"${Worker}", "${Workers}"}},
	},
}

// watch names a metric: its namespace and name, and its only dimension.
type watch struct {
	namespace any
	metric    string
	dimension string // empty: none
	value     any
}

// watched wants one alarm on the metric, with a limit.
func (f *faults) watched(s stack, w watch, operator string, threshold int, missing string) {
	var dimensions any
	if w.dimension != "" {
		dimensions = []any{object{"Name": w.dimension, "Value": w.value}}
	}
	want := text([]any{w.namespace, w.metric, dimensions, operator, threshold, missing})
	for _, name := range s.of("AWS::CloudWatch::Alarm") {
		p := s.properties(name)
		got := text([]any{p["Namespace"], p["MetricName"], p["Dimensions"], p["ComparisonOperator"], p["Threshold"], p["TreatMissingData"]})
		if got == want && p["Statistic"] != nil && number(p["Period"]) > 0 && number(p["EvaluationPeriods"]) > 0 {
			return
		}
	}
	f.add("no alarm is %s", want)
}

var ringbackMetrics = []gateway.Metric{
	gateway.Callbacks, gateway.RefusedCallbacks, gateway.Events, gateway.AttemptsSucceeded, gateway.AttemptsFailed, gateway.DeliveryLatency, gateway.DueAge,
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z]+)[^}]*\}`)

func dashboard(s stack) error {
	var f faults
	body := fmt.Sprint(get(s.properties("Dashboard"), "DashboardBody", "Fn::Sub"))
	for _, m := range placeholder.FindAllStringSubmatch(body, -1) {
		if m[1] != "AWS" && s.resources[m[1]] == nil {
			f.add("the dashboard names %s, which is no resource", m[0])
		}
	}
	var board struct {
		Widgets []struct{ Properties struct{ Metrics [][]any } }
	}
	if err := json.Unmarshal([]byte(body), &board); err != nil {
		f.add("the dashboard is no JSON: %v", err)
	}
	shown := 0
	for _, w := range board.Widgets {
		for _, m := range w.Properties.Metrics {
			shown++
			if name := gateway.Metric(fmt.Sprint(m[1])); m[0] == "Ringback" && !slices.Contains(ringbackMetrics, name) {
				f.add("the dashboard shows %s, which nobody counts", name)
			}
		}
	}
	if shown < 20 {
		f.add("the dashboard shows %d metrics, want the gateway's, the queues' and the functions'", shown)
	}
	return f.err()
}
