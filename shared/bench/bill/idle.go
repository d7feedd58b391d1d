package bill

import (
	"fmt"
	"strings"
	"time"
)

// What an idle gateway asks AWS for in a month.
const (
	month   = 30 * 24 * time.Hour
	minutes = float64(month / time.Minute)

	// Lambda polls each queue with five long polls at a time, of 20 s each, and with
	// no fewer where MaximumConcurrency is set.
	// "Configuring scaling behavior for SQS event source mappings".
	pollers  = 5
	longPoll = 20 * time.Second
)

// Idle is what AWS meters of a gateway in a month in which no callback comes.
type Idle struct {
	Mappings     float64 // of queues to the worker
	Tick         Usage   // one run of the schedule, with nothing to hand out
	AlarmMetrics float64 // that alarms watch: one that sums several watches each
	Series       float64 // of metrics of our own that a tick writes
	Dashboards   float64
	Secrets      float64
}

// An IdleCost is US dollars a month.
type IdleCost struct {
	Polls, Schedule, Alarms, Series, Dashboard, Secrets float64
}

// Total adds c up.
func (c IdleCost) Total() float64 {
	return c.Polls + c.Schedule + c.Alarms + c.Series + c.Dashboard + c.Secrets
}

// OfIdle returns what a month of i costs.
func (p Prices) OfIdle(i Idle) IdleCost {
	return IdleCost{
		Polls:     p.SQSRequest.of(i.Mappings * pollers * float64(month/longPoll)),
		Schedule:  minutes*p.Of(i.Tick).Total() + p.ScheduledRun.of(minutes),
		Alarms:    p.AlarmMetric.of(i.AlarmMetrics),
		Series:    p.Series.of(i.Series),
		Dashboard: p.Dashboard.of(i.Dashboards),
		Secrets:   p.Secret.of(i.Secrets),
	}
}

// IdleTable returns what a month of i costs as a Markdown table.
func (p Prices) IdleTable(i Idle) string {
	c := p.OfIdle(i)
	var b strings.Builder
	fmt.Fprintf(&b, "| $ a month | polls of %.0f queues | schedule | %.0f metrics with alarms | own metrics | dashboard | secrets | **all** |\n",
		i.Mappings, i.AlarmMetrics)
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|\n| an idle gateway |")
	for _, usd := range []float64{c.Polls, c.Schedule, c.Alarms, c.Series, c.Dashboard, c.Secrets} {
		fmt.Fprintf(&b, " %.2f |", usd)
	}
	fmt.Fprintf(&b, " **%.2f** |\n", c.Total())
	return b.String()
}
