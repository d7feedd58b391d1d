package bill

import (
	"fmt"
	"strings"
)

// A Row is one line of the table.
type Row struct {
	Name string
	Usage
}

// Table returns rows as a Markdown table of US dollars per million, since what
// stands in a row is the usage of one, with a line that says what is assumed.
func (p Prices) Table(rows []Row) string {
	var b strings.Builder
	b.WriteString("| $ per million | API Gateway | ingest | SQS | worker | DynamoDB | logs | egress | **all** |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range rows {
		c := p.Of(r.Usage)
		fmt.Fprintf(&b, "| %s |", r.Name)
		for _, usd := range []float64{c.API, c.Ingest, c.SQS, c.Worker, c.DynamoDB, c.Logs, c.Egress} {
			fmt.Fprintf(&b, " %.2f |", usd*million)
		}
		fmt.Fprintf(&b, " **%.2f** |\n", c.Total()*million)
	}
	fmt.Fprintf(&b, "\nList prices of %s on %s, without free tier. Events of 1 KiB; %d messages an invocation of the worker, %d of the slow queue; an endpoint that "+
		"accepts or refuses answers within %v, a slow one takes %v; %d bytes of egress an attempt. A delivery that fails is accepted at its "+
		"fourth attempt. Some 200 to 1,300 events an hour: the more, the less each costs, as they share what an instance reads every "+
		"few seconds. Left out are storage and what an idle gateway uses, which is below.\n",
		p.Region, p.Day, Batch, SlowBatch, AcceptTime, SlowTime, EgressBytes)
	return b.String()
}
