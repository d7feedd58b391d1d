package simulation

import (
	"os"
	"runtime"
	"sync"
	"testing"
)

// A bug is planted into the gateway to see that the simulation finds it.
type bug struct {
	name    string
	patches []patch
}

const (
	fewBugs   = 6    // that are searched for unless SIM_BUGS=all
	bugSeeds  = 2000 // within which each must be found
	bugsShare = 50   // seeds that a process plays before it is asked again
)

// bugs are mistakes that are easily made here. Those of the second half were
// made, and found by the simulation.
var bugs = []bug{
	{"a callback is acknowledged though it was not sent", []patch{{"shared/gateway/ingest.go",
		"return len(as), g.enqueue(ctx, as)", "g.enqueue(ctx, as)\n\treturn len(as), nil"}}},
	{"a message is deleted though it was not dealt with", []patch{{"shared/gateway/fanout.go",
		"again = append(again, ms[i].Receipt)", "_ = i"}}},
	{"there is no fence", []patch{{"shared/gateway/delivery.go",
		"return d.Claim == claim && (", "return d.Claim >= claim && ("}}},
	{"an event that another run has is acknowledged", []patch{{"shared/gateway/fanout.go",
		"return &busyError{er.Lease}", "return nil"}}},
	{"a lane is left without a look at what was appended", []patch{{"shared/gateway/lanes.go",
		"left = l.Seq == seen", "left = l.Seq >= seen"}}},
	{"a revoked grant still counts at a retry", []patch{{"shared/gateway/redeliver.go",
		"case verdict == Cancelled:", "case verdict == Cancelled && d.Made == 0:"}}},
	{"an event is claimed without a lease", []patch{{"shared/gateway/begin.go",
		"case now.Before(er.Lease) && er.Run != run &&", "case now.After(er.Lease) && now.Before(er.Lease) && er.Run != run &&"}}},
	{"attempts are counted when they are handed out", []patch{{"shared/gateway/delivery.go",
		"\td.Claim++\n\td.Lost++\n", "\td.Claim++\n\td.Made++\n\td.Lost++\n"}}},
	{"a hand-out has no hold", []patch{{"shared/gateway/delivery.go",
		"d.due = start.Add(min(hold, longestHold))", "d.due = start.Add(min(hold, 0))"}}},
	{"a change is not published", []patch{{"shared/gateway/publication.go",
		"\tif err := g.publish(ctx, r.Source); err != nil {\n\t\treturn r, err\n\t}\n\tif r.State == Removed {", "\tif r.State == Removed {"}}},
	{"a change is published before its entries are written", []patch{{"shared/gateway/publication.go",
		"\tif err := g.addHints(ctx, r, add); err != nil {\n\t\treturn r, err\n\t}\n", ""}, {"shared/gateway/publication.go",
		"\treturn r, g.dropHints(ctx, dropped)", "\tif err := g.addHints(ctx, r, add); err != nil {\n\t\treturn r, err\n\t}\n\treturn r, g.dropHints(ctx, dropped)"}}},
	{"any revision is written over", []patch{{"shared/gateway/deliveries.go",
		"g.Store.Put(ctx, row, was)", "g.Store.Put(ctx, row, AnyRev)"}}},
	{"whoever comes runs a lane", []patch{{"shared/gateway/lanes.go",
		"if l.Runner != runner {", "if l.Runner != runner && l.Runner == \"\" {"}}},
	{"a provider's repeat is delivered again", []patch{{"shared/gateway/begin.go",
		"case er.Token != token:\n\t\treturn repeat", "case er.Token != token:\n\t\treturn resumed"}, {"shared/gateway/fanout.go",
		"case answer == resumed:", "case answer == resumed && a.token == er.Token:"}}},
	{"each attempt has an id of its own", []patch{{"shared/gateway/deliver.go",
		`set(h, "Webhook-Id", id)`, `set(h, "Webhook-Id", id+fmt.Sprint(now.Unix()))`}}},
	{"a release does not look for stragglers", []patch{{"shared/gateway/jobs.go",
		"ended && pass == 1, err", "ended, err"}}},
	{"the last item of a callback is left out", []patch{{"shared/gateway/message.go",
		"if n > 0 && size > maxPackedBytes {", "if n > 2 && n == len(as)-1 || n > 0 && size > maxPackedBytes {"}, {"shared/gateway/message.go",
		"as = as[n:]", "as = as[n:]\n\t\tif n > 2 && len(as) == 1 {\n\t\t\tbreak\n\t\t}"}}},
	{"a disabled tenant's deliveries are cancelled", []patch{{"shared/gateway/may.go",
		"return Held, whyTenant, nil", "return Cancelled, whyTenant, nil"}}},

	{"a resend of what succeeded is recorded nowhere", []patch{{"shared/gateway/delivery.go",
		"d.Status == Succeeded && !d.Manual {", "d.Status == Succeeded {"}}},
	{"a lane drops its head though nothing is known of it", []patch{{"shared/gateway/lanes.go",
		"if ended, err := g.settle(ctx, d, e, r, rev); ended || err != nil {\n\t\treturn err", "if ended, err := g.settle(ctx, d, e, r, rev); ended || err != nil {\n\t\tg.dropHead(ctx, run, w)\n\t\treturn err"}}},
	{"a resumed event keeps no payload", []patch{{"shared/gateway/begin.go",
		"if !stored.Erased {", "if false {"}}},
	{"who asks again to disable is told that it is so", []patch{{"shared/gateway/publication.go",
		"if err != nil || changed {\n\t\treturn r, err\n\t}\n\treturn r, g.publish(ctx, r.Source)", "return r, err"}}},
	{"a tenant that is enabled again asks in vain", []patch{{"shared/gateway/tenants.go",
		"&& g.now().Sub(t.Since) < takenUp", "&& g.now().Sub(t.Since) <= 0"}}},
	{"a lane forgets its turn by the rate", []patch{{"shared/gateway/lanes.go",
		"d.Paced = run.lane.Paced == w.key(run.key).SK", "d.Paced = false"}}},
	{"there is no wait after attempt 0", []patch{{"shared/gateway/schedule.go",
		"if s.Len() > 0 {", "if s.Len() >= 0 {"}}},
	{"what is recovered is over time", []patch{{"shared/gateway/circuit.go",
		"later(d.Created, d.Anew)", "d.Created"}}},
}

// TestPlantedBugsAreFound plants each bug into a build of its own and plays
// seeds until one fails. SIM_BUGS=all searches for all of them, which takes some
// minutes.
func TestPlantedBugsAreFound(t *testing.T) {
	wanted := bugs
	if os.Getenv("SIM_BUGS") != "all" {
		wanted = bugs[:fewBugs]
	}
	places := make(chan struct{}, runtime.NumCPU())
	var searches sync.WaitGroup
	for _, b := range wanted {
		searches.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(b.name, func(t *testing.T) { search(t, b) })
		})
	}
	searches.Wait()
}

// search plays seeds on a build with b until one fails.
func search(t *testing.T, b bug) {
	program := build(t, b.patches...)
	for from := uint64(0); from < bugSeeds; from += bugsShare {
		if r := play(t, program, from, bugsShare, stopVariable+"=1"); len(r.broken) > 0 {
			t.Logf("found: %.300s", r.broken[0])
			return
		}
		if t.Failed() {
			return
		}
	}
	t.Errorf("not found in %d seeds: %s", bugSeeds, b.name)
}
