package bill

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud/awsproxy"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/gateway"
	"ringback/shared/schedule"
	"ringback/shared/test/proofs"
)

var update = flag.Bool("update", false, "write the tables into the README, counting all rows")

// bills are the rows of the table, each with the most that it may cost, in US
// dollars per million; 0: as it comes. Where nothing fails the write units an
// event are exact. Where a tenth does, whose turn it is moves the sum by cents;
// of 1200 events it stays ten standard deviations below the budget.
var bills = []struct {
	name string
	load
	budget float64
}{
	{"1 registration, none failing", load{events: 100, fanOut: 1}, 3.95},
	{"1 registration, slow", load{events: 400, fanOut: 1, slow: true}, 9.00},
	{"1 registration, 1 % failing", load{events: 400, fanOut: 1, failing: 1, schedule: retried}, 0},
	{"1 registration, 10 % failing", load{events: 1200, fanOut: 1, failing: 10, schedule: retried}, 6.90},
	{"10 registrations, none failing", load{events: 100, fanOut: 10}, 0},
	{"10 registrations, 1 % failing", load{events: 200, fanOut: 10, failing: 1, schedule: retried}, 0},
	{"10 registrations, 10 % failing", load{events: 200, fanOut: 10, failing: 10, schedule: retried}, 0},
	{"history `failures`, none failing", load{events: 100, fanOut: 1, history: gateway.FailureHistory}, 3.30},
	{"history `failures`, 10 % failing", load{events: 1200, fanOut: 1, failing: 10, history: gateway.FailureHistory, schedule: retried}, 6.40},
	{"history `failures`, no natural key, none failing", load{provider: smartBots, events: 100, fanOut: 1, history: gateway.FailureHistory}, 2.70},
	{"history `failures`, no natural key, 10 % failing",
		load{provider: smartBots, events: 1200, fanOut: 1, failing: 10, history: gateway.FailureHistory, schedule: retried}, 5.65},
	{"dead endpoint, 10 deliveries, `standard`", load{events: 10, fanOut: 1, failing: 100}, 0},
	{"dead endpoint, 50 deliveries, `every-5-minutes`",
		load{events: 50, fanOut: 1, failing: 100, schedule: schedule.Schedule{Name: "every-5-minutes"}}, 120},
	{"dead endpoint, 50 deliveries, three waits", load{events: 50, fanOut: 1, failing: 100, schedule: retried, plays: 16}, 0}, // one costs $14 or $20 of DynamoDB
}

// TestBillStaysWithinItsBudgets counts the rows in which at most a few deliveries
// fail, or at full length the whole table, which it compares with the README.
func TestBillStaysWithinItsBudgets(t *testing.T) {
	dynamoDB, prices := dynamotest.Endpoint(t), ListPrices()
	var rows []Row
	for n, b := range bills {
		if testing.Short() && n > 0 {
			break
		}
		if few := b.failing <= 1 && b.events*b.fanOut <= 1000; !few && !proofs.Full() && !*update {
			continue
		}
		u := b.count(t, dynamoDB)
		rows = append(rows, Row{b.name, u})
		t.Logf("%s: %+v", b.name, u)
		if usd := prices.Of(u).Total() * million; b.budget > 0 && usd > b.budget {
			t.Errorf("%s: $%.4f per million, want at most $%.2f", b.name, usd, b.budget)
		}
		if b.failing == 0 && !b.slow {
			b.checkCounts(t, u)
		}
	}
	table := prices.Table(rows)
	t.Logf("\n%s", table)
	if len(rows) < len(bills) {
		return
	}
	if err := compareReadme("bill", table); err != nil {
		t.Error(err)
	}
}

// checkCounts compares what an event that is accepted at once needs with what
// the design allows: a write for the event, without which a history of failures
// does if there is no natural key to claim; one for each delivery, none with a
// history of failures; a read unit and 1.5 requests to SQS at most. Beside these
// there is a write of what is known of the tenant's endpoints, now and then.
func (l load) checkCounts(t *testing.T, u Usage) {
	t.Helper()
	writes := float64(1 + l.fanOut)
	switch {
	case l.history == gateway.FailureHistory && l.provider == smartBots:
		writes = 0
	case l.history == gateway.FailureHistory:
		writes = 1
	}
	if u.WriteUnits < writes || u.WriteUnits > writes+0.02 || u.ReadUnits > 1 || u.SQSRequests > 1.5 {
		t.Errorf("an event with %d registrations and history %q: %v write units, %v read units, %v SQS requests; want %v, at most 1, at most 1.5",
			l.fanOut, l.history, u.WriteUnits, u.ReadUnits, u.SQSRequests, writes)
	}
}

// TestWarmCallbackIsOneRequestToSQS counts everything that a callback needs
// before it is acknowledged, once its source is known.
func TestWarmCallbackIsOneRequestToSQS(t *testing.T) {
	dynamoDB := dynamotest.Endpoint(t)
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		w := newWorld(t, dynamoDB)
		w.prepare(load{fanOut: 1})
		w.callBack()
		w.reset()
		w.callBack()
		if got := w.meters.dynamo.Counts(); len(got) > 0 {
			t.Errorf("a warm callback asks DynamoDB for %v, want nothing", got)
		}
		want := map[string]awsproxy.Count{"SQS.SendMessageBatch": {Requests: 1, Chunks: 1}}
		if got := w.meters.sqs.Counts(); !maps.Equal(got, want) {
			t.Errorf("a warm callback asks SQS for %v, want %v", got, want)
		}
	})
}

const readme = "../../../README.md"

// compareReadme returns an error if the README holds another table between the
// marks of that name; with -update it writes this one. A README without the
// marks has no table.
func compareReadme(name, table string) error {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	b, err := os.ReadFile(readme)
	if os.IsNotExist(err) {
		return nil
	}
	before, rest, found := strings.Cut(string(b), begin)
	stands, after, closed := strings.Cut(rest, end)
	switch {
	case err != nil || !found:
		return err
	case !closed:
		return fmt.Errorf("%s: no %s after %s", readme, end, begin)
	case *update:
		return os.WriteFile(readme, []byte(before+begin+table+end+after), 0o644)
	}
	return sameTable(stands, table)
}

// sameTable returns an error unless both tables say the same, about: whose turn
// it is moves retries into more or fewer batches.
func sameTable(stands, want string) error {
	a, b := strings.Split(strings.TrimSpace(stands), "\n"), strings.Split(strings.TrimSpace(want), "\n")
	if len(a) != len(b) {
		return fmt.Errorf("the table of the README has %d lines, want %d: go test ./shared/bench/bill -update", len(a), len(b))
	}
	for i := range a {
		x, y := strings.Split(a[i], "|"), strings.Split(b[i], "|")
		for n := range min(len(x), len(y)) {
			if !sameCell(x[n], y[n]) || len(x) != len(y) {
				return fmt.Errorf("the README says %q where %q is counted, in %q: go test ./shared/bench/bill -update", x[n], y[n], b[i])
			}
		}
	}
	return nil
}

func sameCell(a, b string) bool {
	x, errX := strconv.ParseFloat(strings.Trim(a, " *"), 64)
	y, errY := strconv.ParseFloat(strings.Trim(b, " *"), 64)
	if errX != nil || errY != nil {
		return a == b
	}
	switch {
	case !strings.Contains(b, "**"):
		return math.Abs(x-y) <= max(0.15, 0.20*y)
	case y > 10: // most of a dead endpoint's hangs on when each probe falls
		return math.Abs(x-y) <= 0.12*y
	}
	return math.Abs(x-y) <= 0.05*y
}

func TestTableThatDiffersIsSeen(t *testing.T) {
	table := ListPrices().Table([]Row{{"a", Usage{HTTPRequests: 1}}, {"b", Usage{WriteUnits: 1}}})
	for _, tt := range []struct {
		name, stands string
		same         bool
	}{
		{"the same", table, true},
		{"a cent more", strings.Replace(table, "1.00 |", "1.01 |", 1), true},
		{"a sum of 4 % more", strings.Replace(table, "**1.00**", "**1.04**", 1), true},
		{"another price", strings.Replace(table, "1.00 |", "1.30 |", 1), false},
		{"another sum", strings.Replace(table, "**1.00**", "**1.10**", 1), false},
		{"another name", strings.Replace(table, "| a |", "| c |", 1), false},
		{"a row less", strings.Replace(table, "| a |", "", 1), false},
		{"another day", strings.Replace(table, ListPrices().Day, "2025-01-01", 1), false},
		{"nothing", "", false},
	} {
		if err := sameTable(tt.stands, table); (err == nil) != tt.same {
			t.Errorf("%s: %v, want same %v", tt.name, err, tt.same)
		}
	}
}

func TestPricesMultiply(t *testing.T) {
	u := Usage{
		HTTPRequests: 1, Ingest: Function{1, 0.003}, Worker: Function{0.2, 0.015}, Retry: Function{0.1, 0},
		SQSRequests: 1.4, FairRequests: 0.1, WriteUnits: 2, ReadUnits: 1, LogBytes: 200, EgressBytes: 3000,
	}
	got := fmt.Sprintf("%.4f", ListPrices().Of(u.Each(1/million)))
	want := "{1.0000 0.2400 0.5700 0.2600 1.3750 0.1000 0.2700}"
	if got != want {
		t.Errorf("Of(%+v) = %s, want %s", u, got, want)
	}
	if rest := u.Each(2).Without(u.Each(2)); rest != (Usage{}) {
		t.Errorf("half of it without half of it is %+v, want nothing", rest)
	}
}

// TestAssumedMemoryIsDeployed compares what the bill is computed with and what
// template.yaml gives the functions.
func TestAssumedMemoryIsDeployed(t *testing.T) {
	b, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	globals, resources, _ := strings.Cut(string(b), "\nResources:\n")
	for _, want := range []int{ingestMemory, retryMemory} {
		if line := fmt.Sprintf("MemorySize: %d\n", want); strings.Count(globals, line) != 1 {
			t.Errorf("template.yaml: want one %q for all functions", line)
		}
	}
	if line := fmt.Sprintf("    small: {Workers: 2, Slow: 2, Batch: 10, Window: 0, Memory: %d,", workerMemory); strings.Count(globals, line) != 1 {
		t.Errorf("template.yaml: want one %q for the worker", line)
	}
	if strings.Count(resources, "MemorySize:") != 1 {
		t.Error("template.yaml: a function besides the worker has a memory of its own")
	}
}
