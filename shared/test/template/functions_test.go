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
			for _, name := range s.functions() {
				limit, _ := s.environment(name)["GOMEMLIMIT"].(string)
				mib, err := strconv.Atoi(strings.TrimSuffix(limit, "MiB"))
				if memory := number(s.properties(name)["MemorySize"]); err != nil || mib < memory*3/4 || mib > memory*9/10 {
					f.add("%s: GOMEMLIMIT %q for %d MB, want three quarters to nine tenths", name, limit, memory)
				}
			}
			return f.err()
		},
		breaks: []edit{without("GOMEMLIMIT: 215MiB # 84 % of the memory")},
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
			}
			return f.err()
		},
		breaks: []edit{
			without("LogFormat: JSON"), without("SystemLogLevel: WARN"), {"ApplicationLogLevel: DEBUG", "ApplicationLogLevel: WARN"},
			without("LoggingConfig: {LogGroup: !Ref WorkerLog}"), {"LogGroup: !Ref ApiLog", "LogGroup: !Ref WorkerLog"},
			{"{RetentionInDays: !Ref LogRetentionDays}", "{}"},
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

// newVersions wants every parameter that a function's properties depend on in
// the description of Settings, which may have 1000 characters, and no function
// without the versions that follow it.
func newVersions(s stack) error {
	var f faults
	said := s.used(s.properties("Settings")["Description"])
	for _, name := range s.functions() {
		p := s.properties(name)
		f.same(name+"'s versions", []any{p["AutoPublishAliasAllProperties"], p["VersionDescription"]}, []any{true, ref("Settings")})
		// These two go to other resources.
		p["Events"], p["DeploymentPreference"] = nil, nil
		for used := range s.used(p) {
			if s.parameters[used] != nil && used != "CertificateArn" && !said[used] {
				f.add("Settings does not name %s, which %s depends on", used, name)
			}
		}
	}
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
