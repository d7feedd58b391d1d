package template

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ringback/shared/provider/all"
)

// Limits on the time of an invocation, in seconds.
const (
	longestAttempt = 15 // of a delivery
	gatewayWaits   = 30 // API Gateway for an answer ("Quotas for configuring and running an HTTP API")
	tickEvery      = 60
)

// callbackFunctions returns the function of each provider by the provider's
// name: the one whose folder is called as the provider's package.
func (s stack) callbackFunctions() map[string]string {
	out := map[string]string{}
	for provider, p := range all.Providers() {
		folder := path.Base(reflect.TypeOf(p).PkgPath())
		for _, name := range s.functions() {
			if strings.ToLower(name) == folder {
				out[provider] = name
			}
		}
	}
	return out
}

// callbackNames returns the functions of all providers.
func (s stack) callbackNames() []string {
	return slices.Sorted(maps.Values(s.callbackFunctions()))
}

// functionRules are about how functions are built and run.
var functionRules = []rule{
	{
		name: "the functions, one for each provider and three more, are built by the Makefile from the root",
		holds: func(s stack) error {
			var f faults
			f.same("functions", s.functions(), slices.Sorted(slices.Values(append(s.callbackNames(), "Api", "Retry", "Worker"))))
			f.same("functions of providers", slices.Sorted(maps.Keys(s.callbackFunctions())), slices.Sorted(maps.Keys(all.Providers())))
			for _, name := range s.functions() {
				f.same(name+"'s build", get(s.resources[name], "Metadata"),
					object{"BuildMethod": "makefile", "ContextPath": "functions", "WorkingDirectory": "."})
				p := s.properties(name)
				f.same(name+"'s code", p["CodeUri"], "functions/"+strings.ToLower(name)+"/")
				f.same(name+"'s runtime", p["Runtime"], "provided.al2023")
				f.same(name+"'s handler", p["Handler"], "bootstrap")
				f.same(name+"'s processor", p["Architectures"], []any{ref("Arch")})
			}
			return f.err()
		},
		breaks: []edit{
			without("Metadata: {BuildMethod: makefile, ContextPath: functions, WorkingDirectory: .}"),
			{"CodeUri: functions/", "CodeUri: "}, without("Runtime: provided.al2023"), without("Handler: bootstrap"),
			without("Architectures: [!Ref Arch]"),
		},
	},
	{
		name:  "each function has time for its work and no more",
		holds: timeouts,
		breaks: []edit{
			without("Timeout: 10"), without("MemorySize: 256"),
			{"Timeout: 30 # the longest", "Timeout: 16 # the longest"}, {"Timeout: 30 # the longest", "Timeout: 60 # the longest"},
			{"Timeout: 50 # less", "Timeout: 60 # less"}, {"Timeout: 29 # API", "Timeout: 31 # API"},
			{"TimeoutInMillis: 10000", "TimeoutInMillis: 5000"}, {"TimeoutInMillis: 30000", "TimeoutInMillis: 25000"},
		},
	},
	{
		name: "the memory limit of Go is under that of the function",
		holds: func(s stack) error {
			var f faults
			for _, size := range names(sub(s.mappings, "Sizes")) {
				s := s.with(object{"Size": size})
				for _, name := range s.functions() {
					limit, _ := s.environment(name)["GOMEMLIMIT"].(string)
					mib, err := strconv.Atoi(strings.TrimSuffix(limit, "MiB"))
					if memory := number(s.properties(name)["MemorySize"]); err != nil || mib < memory*3/4 || mib > memory*9/10 {
						f.add("%s of size %s: GOMEMLIMIT %q for %d MB, want three quarters to nine tenths", name, size, limit, memory)
					}
				}
			}
			return f.err()
		},
		breaks: []edit{without("GOMEMLIMIT: 215MiB # 84 % of the memory"), {"Memory: 1024, GoMemory: 860MiB", "Memory: 1024, GoMemory: 430MiB"}},
	},
	{
		name: "each function logs JSON to a group of its own, for a while",
		holds: func(s stack) error {
			var f faults
			for _, name := range s.functions() {
				f.same(name+"'s logging", s.properties(name)["LoggingConfig"], object{
					"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": ref(name + "Log"),
				})
			}
			for _, group := range s.of("AWS::Logs::LogGroup") {
				f.same(group+"'s days", s.properties(group)["RetentionInDays"], ref("LogRetentionDays"))
				f.same(group+"'s key", s.with(object{"KmsKeyArn": "key"}).properties(group)["KmsKeyId"], ref("KmsKeyArn"))
			}
			return f.err()
		},
		breaks: []edit{
			without("LogFormat: JSON"), without("SystemLogLevel: WARN"), {"ApplicationLogLevel: DEBUG", "ApplicationLogLevel: WARN"},
			without("LoggingConfig: {LogGroup: !Ref WorkerLog}"), {"LogGroup: !Ref ApiLog", "LogGroup: !Ref WorkerLog"},
			without("RetentionInDays: !Ref LogRetentionDays"),
			{"Logs::LogGroup\n    Properties:\n      RetentionInDays: !Ref LogRetentionDays\n      KmsKeyId:", "Logs::LogGroup\n    Properties:\n      RetentionInDays: !Ref LogRetentionDays\n      Key:"},
		},
	},
	{
		name: "a new version takes over as the operator says, and goes back on errors",
		holds: func(s stack) error {
			var f faults
			f.same("default of Deployment", get(s.parameters["Deployment"], "Default"), "AllAtOnce")
			f.same("Gradual", s.conditions["Gradual"], object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("Deployment"), "AllAtOnce"}}}})
			for _, name := range s.functions() {
				p := s.properties(name)
				f.same(name+"'s alias", p["AutoPublishAlias"], "live")
				f.same(name+"'s deployment", p["DeploymentPreference"], object{
					"Type":   ref("Deployment"),
					"Alarms": object{"Fn::If": []any{"Gradual", []any{ref(name + "Errors")}, []any{ref("AWS::NoValue")}}},
				})
			}
			return f.err()
		},
		breaks: []edit{
			without("AutoPublishAlias: live"), {"Default: AllAtOnce", "Default: Canary10Percent5Minutes"},
			{"DeploymentPreference: {Type: !Ref Deployment, ", "DeploymentPreference: {"}, {"[!Ref ApiErrors]", "[]"},
		},
	},
	{
		name:  "a changed parameter makes new versions of the functions",
		holds: newVersions,
		breaks: []edit{
			without("AutoPublishAliasAllProperties: true"), without("VersionDescription: !Ref Settings"),
			{" ${Size}", ""}, {" ${Paused}", ""}, {" ${Tracing}", ""}, without("Tracing: !Ref Tracing"), {"Memory: 512, GoMemory: 430MiB", "Memory: 256, GoMemory: 215MiB"},
			without("KEY_RING_SECRET: !If [OwnKeyRing, !Ref KeyRing, !Ref ExistingKeyRingArn] # all are told, so that all change with it"),
			{" ${Arch}", ""}, {" ${LogLevel}", ""}, {" ${HistoryHours}", ""}, {" ${FairQueues}", ""}, {" ${AllowEndpoints}", ""},
			{" ${ExistingRegistrationsTable}", ""}, {" ${ExistingDeliveriesTable}", ""}, {" ${ExistingKeyRingArn}", ""},
			{"Url: !If [HasDomain, !Ref DomainName, !Ref HttpApi]", "Url: !Ref HttpApi"}, without("MaxLength: 150"),
			{"MaxLength: 255", "MaxLength: 400"},
		},
	},
	{
		name: "the schedule runs Retry once a minute, and no run twice",
		holds: func(s stack) error {
			var f faults
			p := s.properties("Tick")
			f.same("the expression", p["ScheduleExpression"], "rate(1 minute)")
			f.same("the window", p["FlexibleTimeWindow"], object{"Mode": "OFF"})
			f.same("the target", p["Target"], object{
				"Arn": ref("Retry.Alias"), "RoleArn": getAtt("TickRole.Arn"),
				"RetryPolicy":      object{"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0},
				"DeadLetterConfig": object{"Arn": getAtt("TickDead.Arn")},
			})
			f.same("repeats of Retry", s.properties("Retry")["EventInvokeConfig"], object{"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0})
			return f.err()
		},
		breaks: []edit{
			{"rate(1 minute)", "rate(5 minutes)"}, without(`FlexibleTimeWindow: {Mode: "OFF"}`),
			without("RetryPolicy: {MaximumEventAgeInSeconds: 60, MaximumRetryAttempts: 0}"),
			without("DeadLetterConfig: {Arn: !GetAtt TickDead.Arn}"),
			without("EventInvokeConfig: {MaximumEventAgeInSeconds: 60, MaximumRetryAttempts: 0} # the next minute tries again"),
			{"Arn: !Ref Retry.Alias", "Arn: !GetAtt Retry.Arn"},
		},
	},
}

func timeouts(s stack) error {
	var f faults
	within := func(name string, least, most int) {
		if got := number(s.properties(name)["Timeout"]); got < least || got > most {
			f.add("%s may run for %d s, want %d to %d", name, got, least, most)
		}
	}
	for _, name := range s.functions() {
		if memory := number(s.properties(name)["MemorySize"]); memory < 256 {
			f.add("%s has %d MB, want at least 256", name, memory)
		}
	}
	for _, name := range s.callbackNames() {
		within(name, 5, 10)
	}
	within("Worker", longestAttempt+5, 30)
	within("Retry", 30, tickEvery-5)
	within("Api", 20, gatewayWaits-1)
	for _, name := range append(s.callbackNames(), "Api") {
		if ms := number(s.properties(name + "Integration")["TimeoutInMillis"]); ms < 1000*number(s.properties(name)["Timeout"]) || ms > 1000*gatewayWaits {
			f.add("API Gateway waits %d ms for %s, want at least its timeout", ms, name)
		}
	}
	return f.err()
}

// newVersions wants the description of Settings, which may have 1000 characters,
// to name the parameters that a function's properties depend on, and no others:
// Lambda refuses a version that differs in its description alone. Worker's has
// its size besides, and each size another memory.
func newVersions(settled stack) error {
	var f faults
	s := *settled.written
	said := s.used(s.properties("Settings")["Description"])
	for _, name := range s.functions() {
		p := s.properties(name)
		said, description := maps.Clone(said), any(ref("Settings"))
		if name == "Worker" {
			said["Size"], description = true, object{"Fn::Sub": "${Settings} ${Size}"}
		}
		f.same(name+"'s versions", []any{p["AutoPublishAliasAllProperties"], p["VersionDescription"]}, []any{true, description})
		// These go to other resources, or are no part of a version.
		p["Events"], p["DeploymentPreference"], p["ReservedConcurrentExecutions"] = nil, nil, nil
		used := s.used(p)
		for parameter := range s.parameters {
			if parameter != "CertificateArn" && used[parameter] != said[parameter] {
				f.add("%s: %s changes the function: %v, and its version's description: %v", name, parameter, used[parameter], said[parameter])
			}
		}
	}
	memories := map[int]bool{}
	for _, size := range list(get(s.parameters["Size"], "AllowedValues")) {
		memories[number(get(s.mappings, "Sizes", fmt.Sprint(size), "Memory"))] = true
	}
	f.same("different memories", len(memories), 3)
	f.same("CertificateArn without DomainName", s.conditions["HasDomain"], object{"Fn::And": []any{
		object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("DomainName"), ""}}}},
		object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("CertificateArn"), ""}}}},
	}})
	if n := longest(s); n > 1000 {
		f.add("the description of Settings may have %d characters, want at most 1000", n)
	}
	return f.err()
}

// longest returns how long the description of Settings may become.
func longest(s stack) int {
	n := 0
	words, _ := list(get(s.properties("Settings"), "Description", "Fn::Sub"))[0].(string)
	for _, word := range strings.Fields(words) {
		n++
		if !strings.HasPrefix(word, "${") {
			n += len(word)
		}
	}
	for name := range s.used(s.properties("Settings")["Description"]) {
		if name == "CertificateArn" {
			continue // stands in the condition alone
		}
		p := s.parameters[name]
		options := list(get(p, "AllowedValues"))
		switch {
		case len(options) > 0:
			n += len(fmt.Sprint(slices.MaxFunc(options, func(a, b any) int { return len(fmt.Sprint(a)) - len(fmt.Sprint(b)) })))
		case get(p, "MaxLength") != nil:
			n += number(get(p, "MaxLength"))
		case get(p, "MaxValue") != nil:
			n += len(fmt.Sprint(get(p, "MaxValue")))
		case p != nil:
			n += 1000
		}
	}
	return n
}
