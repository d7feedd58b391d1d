// Package bill computes what the gateway costs on AWS from what AWS meters. Its
// test counts that, request by request, so that a change which makes a delivery
// dearer is seen before the invoice is.
package bill

// A Price is what AWS asks for a number of units.
type Price struct {
	USD    float64
	Per    float64 // units
	Unit   string
	Source string // title of the page that states it
}

// of returns what n units cost.
func (p Price) of(n float64) float64 { return n * p.USD / p.Per }

// Prices are the list prices of a region on a day, without the free tier and
// without volume discounts.
type Prices struct {
	Region, Day string

	HTTPRequest   Price
	LambdaRequest Price
	LambdaTime    Price
	SQSRequest    Price
	FairRequest   Price // on top of it
	WriteUnit     Price
	ReadUnit      Price
	Logs          Price
	Egress        Price

	ScheduledRun Price
	AlarmMetric  Price
	Series       Price
	Dashboard    Price
	Secret       Price
}

const (
	million  = 1e6
	gigabyte = 1e9
)

// ListPrices are those that the README's table is made with.
func ListPrices() Prices {
	return Prices{
		Region: "us-east-1", Day: "2026-11-22",
		HTTPRequest: Price{1.00, million, "HTTP API requests, each up to 512 KB",
			"Cost optimization - Best Practices for Designing Amazon API Gateway Private APIs"},
		LambdaRequest: Price{0.20, million, "invocations", "AWS Lambda Pricing; Price List API, publication 2026-09-19"},
		LambdaTime:    Price{0.0000133334, 1, "GB-seconds on arm64", "AWS Lambda Pricing; Price List API, publication 2026-09-19"},
		SQSRequest:    Price{0.40, million, "requests to standard queues, each up to 64 KiB", "Amazon SQS Pricing: Complete Guide"},
		FairRequest:   Price{0.10, million, "requests that send with a message group, besides", "Amazon SQS Pricing: Complete Guide"},
		WriteUnit:     Price{0.625, million, "on-demand write units of 1 KB", "Amazon DynamoDB Pricing; Price List API 2026-09-29"},
		ReadUnit:      Price{0.125, million, "on-demand read units of 4 KB", "Amazon DynamoDB Pricing; Price List API 2026-09-29"},
		Logs:          Price{0.50, gigabyte, "bytes of logs", "Amazon CloudWatch Logs pricing"},
		Egress:        Price{0.09, gigabyte, "bytes to the internet", "AWS Lambda (functions) - pricing regimes"},

		ScheduledRun: Price{1.00, million, "invocations by EventBridge Scheduler", "Amazon EventBridge Pricing"},
		AlarmMetric:  Price{0.10, 1, "metrics that an alarm watches, a month", "Amazon CloudWatch Pricing"},
		Series:       Price{0.30, 1, "custom metrics, a month", "Amazon CloudWatch Pricing"},
		Dashboard:    Price{3.00, 1, "dashboards, a month", "Amazon CloudWatch Pricing"},
		Secret:       Price{0.40, 1, "secrets, a month", "AWS Secrets Manager Pricing"},
	}
}

// A Function is what Lambda meters of one function.
type Function struct {
	Invocations float64
	GBSeconds   float64
}

// Usage is what AWS meters.
type Usage struct {
	HTTPRequests float64
	Ingest       Function
	Worker       Function
	Retry        Function
	SQSRequests  float64 // each up to 64 KiB
	FairRequests float64 // those of them that send with a message group
	WriteUnits   float64
	ReadUnits    float64
	LogBytes     float64
	EgressBytes  float64
}

// Each returns u for one of n.
func (u Usage) Each(n float64) Usage {
	for _, v := range u.values() {
		*v /= n
	}
	return u
}

// Without returns what of u is not of v.
func (u Usage) Without(v Usage) Usage {
	less := v.values()
	for i, n := range u.values() {
		*n -= *less[i]
	}
	return u
}

// values returns all figures of u, in their order.
func (u *Usage) values() []*float64 {
	return []*float64{
		&u.HTTPRequests, &u.Ingest.Invocations, &u.Ingest.GBSeconds, &u.Worker.Invocations, &u.Worker.GBSeconds,
		&u.Retry.Invocations, &u.Retry.GBSeconds, &u.SQSRequests, &u.FairRequests, &u.WriteUnits, &u.ReadUnits, &u.LogBytes, &u.EgressBytes,
	}
}

// A Cost is US dollars by service.
type Cost struct {
	API, Ingest, SQS, Worker, DynamoDB, Logs, Egress float64
}

// Total adds c up.
func (c Cost) Total() float64 {
	return c.API + c.Ingest + c.SQS + c.Worker + c.DynamoDB + c.Logs + c.Egress
}

// Of returns what u costs. The retry function stands with the worker.
func (p Prices) Of(u Usage) Cost {
	function := func(f Function) float64 { return p.LambdaRequest.of(f.Invocations) + p.LambdaTime.of(f.GBSeconds) }
	return Cost{
		API:      p.HTTPRequest.of(u.HTTPRequests),
		Ingest:   function(u.Ingest),
		SQS:      p.SQSRequest.of(u.SQSRequests) + p.FairRequest.of(u.FairRequests),
		Worker:   function(u.Worker) + function(u.Retry),
		DynamoDB: p.WriteUnit.of(u.WriteUnits) + p.ReadUnit.of(u.ReadUnits),
		Logs:     p.Logs.of(u.LogBytes),
		Egress:   p.Egress.of(u.EgressBytes),
	}
}
