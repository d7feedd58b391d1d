package bill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud/dynamotest"
)

const idleBudget = 7.00 // US dollars a month

func TestIdleGatewayStaysWithinItsBudget(t *testing.T) {
	dynamoDB, prices := dynamotest.Endpoint(t), ListPrices()
	i := deployedIdle(t)
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		w := newWorld(t, dynamoDB)
		var lines bytes.Buffer
		w.retry.metrics.Out = io.MultiWriter(w.retry, &lines)
		w.tick() // fills caches
		lines.Reset()
		i.Tick = w.idle()
		i.Series = seriesOf(t, lines.Bytes())
	})
	c := prices.OfIdle(i)
	t.Logf("a month of %+v: $%+v", i, c)
	if c.Total() > idleBudget {
		t.Errorf("an idle gateway: $%.4f a month, want at most $%.2f", c.Total(), idleBudget)
	}
	if err := compareReadme("idle", prices.IdleTable(i)); err != nil {
		t.Error(err)
	}
}

func TestEachQueueIsPolledAllMonth(t *testing.T) {
	if got := fmt.Sprintf("%.4f", ListPrices().OfIdle(Idle{Mappings: 1}).Polls); got != "0.2592" {
		t.Errorf("the polls of one queue: $%s a month, want 0.2592: 648,000 requests", got)
	}
}

// deployedIdle counts in template.yaml what is billed by the month.
func deployedIdle(t *testing.T) Idle {
	t.Helper()
	b, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	count := func(line string) float64 { return float64(strings.Count(string(b), "\n"+line)) }
	sums := count("      Metrics:") // alarms that watch several metrics
	i := Idle{
		Mappings:     count("          Type: SQS"),
		AlarmMetrics: count("    Type: AWS::CloudWatch::Alarm") - sums + count("          MetricStat:"),
		Dashboards:   count("    Type: AWS::CloudWatch::Dashboard"),
		Secrets:      count("    Type: AWS::SecretsManager::Secret"),
	}
	if i.Mappings < 2 || i.AlarmMetrics < 10 || sums < 1 || i.Dashboards != 1 || i.Secrets < 2 {
		t.Errorf("template.yaml has %+v, want queues, alarms, a dashboard and secrets", i)
	}
	return i
}

// seriesOf returns how many metrics a line of CloudWatch's embedded metric
// format makes.
func seriesOf(t *testing.T, line []byte) float64 {
	t.Helper()
	var in struct {
		AWS struct {
			CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
		} `json:"_aws"`
	}
	if err := json.Unmarshal(line, &in); err != nil || len(in.AWS.CloudWatchMetrics) != 1 {
		t.Fatalf("metrics of a tick: %q: %v; want one line of metrics", line, err)
	}
	return float64(len(in.AWS.CloudWatchMetrics[0].Metrics))
}
