package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// aliasURI is an alias as the SAM CLI finds the function in it too, which it
// does not in !Ref X.Alias (CfnApiProvider).
const aliasURI = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${%s.Arn}:live/invocations"

// routes returns those of the HTTP API, with the function that serves each.
func routes(s stack) map[string]string {
	out := map[string]string{
		"ANY /v1/{proxy+}":      "Api",
		"ANY /api/simple.html":  "Api",
		"GET /openapi.json":     "Api",
		"GET /healthz":          "Api",
		"GET /console":          "Api",
		"ANY /console/{proxy+}": "Api",
	}
	for provider, function := range s.callbackFunctions() {
		out["ANY /callbacks/"+provider+"/{source}/{key}"] = function
		out["ANY /callbacks/"+provider+"/{proxy+}"] = function
	}
	return out
}

// httpRules are about the HTTP API.
var httpRules = []rule{
	{
		name: "each route leads to its function",
		holds: func(s stack) error {
			var f faults
			got := map[string]string{}
			for _, name := range s.of("AWS::ApiGatewayV2::Route") {
				target := fmt.Sprint(get(s.properties(name), "Target", "Fn::Sub"))
				got[fmt.Sprint(s.properties(name)["RouteKey"])] = strings.TrimSuffix(strings.TrimPrefix(target, "integrations/${"), "Integration}")
			}
			f.same("routes", got, routes(s))
			for _, name := range slices.Compact(slices.Sorted(maps.Values(routes(s)))) {
				p := s.properties(name + "Integration")
				f.same(name+"Integration", []any{p["IntegrationType"], p["IntegrationUri"], p["PayloadFormatVersion"]}, []any{"AWS_PROXY", object{"Fn::Sub": fmt.Sprintf(aliasURI, name)}, "2.0"})
				p = s.properties(name + "Permission")
				f.same(name+"Permission", []any{p["Action"], p["FunctionName"], p["Principal"]},
					[]any{"lambda:InvokeFunction", ref(name + ".Alias"), "apigateway.amazonaws.com"})
			}
			return f.err()
		},
		breaks: []edit{
			{"RouteKey: GET /healthz", "RouteKey: GET /health"}, {"${DirectIntegration}", "${ApiIntegration}"}, {"callbacks/direct/{proxy+}", "callbacks/direct/{source}"},
			without(`PayloadFormatVersion: "2.0"`), {":live/invocations", "/invocations"}, {"functions/${Api.Arn}", "functions/${Worker.Arn}"},
			{"FunctionName: !Ref Direct.Alias", "FunctionName: !Ref Direct"}, without("Principal: apigateway.amazonaws.com"),
		},
	},
	{
		name: "the SAM CLI finds the API: no other resource that may have routes stands before it",
		holds: func(s stack) error {
			var f faults
			f.same("the first resource", s.first, "HttpApi")
			return f.err()
		},
		breaks: []edit{{"Resources:\n", "Resources:\n  A: {Type: AWS::Serverless::Function}\n"}},
	},
	{
		name: "only this API may call the functions, each on its own routes",
		holds: func(s stack) error {
			var f faults
			const api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${HttpApi}/*/*"
			f.same("caller of Api", s.properties("ApiPermission")["SourceArn"], object{"Fn::Sub": api})
			for provider, name := range s.callbackFunctions() {
				f.same("caller of "+name, s.properties(name + "Permission")["SourceArn"], object{"Fn::Sub": api + "/callbacks/" + provider + "/*"})
			}
			return f.err()
		},
		breaks: []edit{{":${HttpApi}/*/*", ":*"}, {"/callbacks/direct/*\"", "\""}},
	},
	{
		name:  "callbacks may come at 2,000 a second, management calls at 50, or as many as the size says",
		holds: throttles,
		breaks: []edit{
			{"Callbacks: 2000", "Callbacks: 200"}, {"Burst: 4000", "Burst: 400"}, {"Calls: 50}", "Calls: 500}"}, {"Callbacks: 3000", "Callbacks: 2000"},
			without("ANY /v1/{proxy+}: {ThrottlingRateLimit: !FindInMap [Sizes, !Ref Size, Calls], ThrottlingBurstLimit: !FindInMap [Sizes, !Ref Size, Calls]}"),
			{"GET /console: {ThrottlingRateLimit: !FindInMap [Sizes, !Ref Size, Calls]", "GET /console: {ThrottlingRateLimit: 5000"},
			{"GET /healthz: {", "GET /health: {"}, {"HealthRoute, ", ""}, {"RouteKey: GET /healthz", "RouteKey: GET /health"},
		},
	},
	{
		name: "the access log holds neither path nor query",
		holds: func(s stack) error {
			var f faults
			p := sub(s.properties("Stage"), "AccessLogSettings")
			f.same("its group", p["DestinationArn"], getAtt("AccessLog.Arn"))
			var got map[string]string
			format, _ := p["Format"].(string)
			if err := json.Unmarshal([]byte(format), &got); err != nil {
				f.add("a line of the access log is no JSON: %v", err)
			}
			f.same("a line", got, map[string]string{
				"requestId": "$context.requestId", "routeKey": "$context.routeKey", "status": "$context.status",
				"latency": "$context.responseLatency", "sourceIp": "$context.identity.sourceIp",
			})
			return f.err()
		},
		breaks: []edit{
			{`"routeKey":"$context.routeKey",`, `"routeKey":"$context.routeKey","path":"$context.path",`}, {`"routeKey":"$context.routeKey"`, `"routeKey":"$context.path"`},
			{`"latency":"$context.responseLatency",`, ""}, without("DestinationArn: !GetAtt AccessLog.Arn"),
		},
	},
	{
		name: "the stage shows in no path and deploys by itself",
		holds: func(s stack) error {
			var f faults
			p := s.properties("Stage")
			f.same("stage", []any{p["StageName"], p["AutoDeploy"]}, []any{"$default", true})
			f.same("protocol", s.properties("HttpApi")["ProtocolType"], "HTTP")
			return f.err()
		},
		breaks: []edit{{"StageName: $default", "StageName: live"}, without("AutoDeploy: true")},
	},
	{
		name: "a domain is put in front, and the other address closed, only on demand",
		holds: func(s stack) error {
			var f faults
			f.same("whether it is closed", s.properties("HttpApi")["DisableExecuteApiEndpoint"], object{"Fn::If": []any{"ExecuteApiClosed", true, false}})
			f.same("ExecuteApiClosed", s.conditions["ExecuteApiClosed"], object{"Fn::And": []any{
				object{"Condition": "HasDomain"}, object{"Fn::Equals": []any{ref("CloseExecuteApi"), "true"}},
			}})
			f.same("default of CloseExecuteApi", get(s.parameters["CloseExecuteApi"], "Default"), "false")
			for _, name := range []string{"Domain", "DomainMapping"} {
				f.same("condition of "+name, get(s.resources[name], "Condition"), "HasDomain")
			}
			f.same("condition of DomainTarget", get(s.outputs["DomainTarget"], "Condition"), "HasDomain")
			f.same("PUBLIC_URL", get(s.globals, "Environment", "Variables", "PUBLIC_URL"), object{"Fn::If": []any{
				"HasDomain", object{"Fn::Sub": "https://${DomainName}"}, getAtt("HttpApi.ApiEndpoint"),
			}})
			f.same("security policy", get(list(s.properties("Domain")["DomainNameConfigurations"])[0], "SecurityPolicy"), "TLS_1_2")
			return f.err()
		},
		breaks: []edit{
			without("DisableExecuteApiEndpoint: !If [ExecuteApiClosed, true, false]"), {"!And [!Condition HasDomain, !Equals [!Ref Close", "!And [!Condition OwnKeyRing, !Equals [!Ref Close"},
			without("Condition: HasDomain"), {", SecurityPolicy: TLS_1_2", ""},
			{`PUBLIC_URL: !If [HasDomain, !Sub "https://${DomainName}"`, `PUBLIC_URL: !If [HasDomain, !Sub "http://${DomainName}"`},
		},
	},
}

// throttles wants the default settings to be those of the callbacks, and a
// setting for each other route that the stage is told of after the route.
func throttles(s stack) error {
	var f faults
	p := s.properties("Stage")
	f.same("callbacks", p["DefaultRouteSettings"], object{"ThrottlingRateLimit": 2000, "ThrottlingBurstLimit": 4000})
	for size, least := range map[string]int{"medium": 2000, "large": 10_000} {
		d := s.with(object{"Size": size}).properties("Stage")
		if rate := number(get(d, "DefaultRouteSettings", "ThrottlingRateLimit")); rate < least*5/4 {
			f.add("size %s lets %d callbacks a second in, want a quarter more than it carries: %d", size, rate, least)
		}
	}
	settings := sub(p, "RouteSettings")
	after := list(get(s.resources["Stage"], "DependsOn"))
	known := map[string]bool{}
	for _, name := range s.of("AWS::ApiGatewayV2::Route") {
		key := fmt.Sprint(s.properties(name)["RouteKey"])
		known[key] = true
		if strings.Contains(key, "/callbacks/") {
			continue
		}
		f.same(key, settings[key], object{"ThrottlingRateLimit": 50, "ThrottlingBurstLimit": 50})
		if !slices.Contains(after, any(name)) {
			f.add("the stage may be told of %s before it is made", name)
		}
	}
	for _, key := range names(settings) {
		if !known[key] || strings.Contains(key, "/callbacks/") {
			f.add("settings of %s, which is no route of the API function", key)
		}
	}
	return f.err()
}
