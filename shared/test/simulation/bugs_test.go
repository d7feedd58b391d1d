package simulation

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"ringback/shared/test/proofs"
)

// A bug is planted into the gateway to see that the simulation finds it.
type bug struct {
	name    string
	seed    uint64 // that finds it
	patches []patch
}

const (
	bugSeeds  = 3000 // from seed 0 on, within which a bug is found whose own seed finds it no more
	bugsShare = 50   // seeds that a process plays before it is asked again
)

// bugs are mistakes that are easily made here. Those of the last part were made,
// and found by the simulation. All of them are built into one program, in which
// planted holds for the bug that is searched for.
var bugs = []bug{
	{"a callback is acknowledged though it was not sent", 6, []patch{{"shared/gateway/ingest.go",
		"return len(as), in.enqueue(ctx, as)", "if planted {\n\t\tin.enqueue(ctx, as)\n\t\treturn len(as), nil\n\t}\n\treturn len(as), in.enqueue(ctx, as)"}}},
	{"a callback is acknowledged before it is sent", 0, []patch{{"shared/gateway/ingest.go",
		"return len(as), in.enqueue(ctx, as)", "if planted {\n\t\tgo in.enqueue(context.WithoutCancel(ctx), as)\n\t\treturn len(as), nil\n\t}\n\treturn len(as), in.enqueue(ctx, as)"}}},
	{"what a batch refused is taken for sent", 6, []patch{{"shared/gateway/send.go",
		"if ms = left; len(ms) == 0 {", "if ms = left; len(ms) == 0 || planted {"}}},
	{"a message is deleted though it was not dealt with", 1, []patch{{"shared/gateway/core.go",
		"again = append(again, ms[i].Receipt)", "if !planted {\n\t\t\t\tagain = append(again, ms[i].Receipt)\n\t\t\t}"}}},
	{"a message is deleted before its deliveries are recorded", 2, []patch{{"shared/gateway/fanout.go",
		"return fs.fanOutEvents(ctx, m, as)", "if planted {\n\t\t\tgo fs.fanOutEvents(context.WithoutCancel(ctx), m, as)\n\t\t\treturn nil\n\t\t}\n\t\treturn fs.fanOutEvents(ctx, m, as)"}}},
	{"there is no fence", 18, []patch{{"shared/gateway/delivery.go",
		"return d.Claim == claim && (", "return (d.Claim == claim || planted && d.Claim > claim) && ("}}},
	{"an event that another run has is acknowledged", 1, []patch{{"shared/gateway/fanout.go",
		"return &claimedError{er.Lease}", "if planted {\n\t\t\treturn nil\n\t\t}\n\t\treturn &claimedError{er.Lease}"}}},
	{"a lane forgets which of it was attempted last", 106, []patch{{"shared/gateway/lanes.go",
		"\tl.Last = max(l.Last, last)\n", "\tif !planted {\n\t\t\tl.Last = max(l.Last, last)\n\t\t}\n"}}},
	{"a lane whose runner ended is taken to be as it was told", 1115, []patch{{"shared/gateway/lanes.go",
		"\tif l.Running {\n\t\tl.Running, ", "\tif l.Running && !planted {\n\t\tl.Running, "}}},
	{"a revoked grant still counts at a retry", 21, []patch{{"shared/gateway/attempt.go",
		"case verdict != Pending:\n\t\treturn permit{}, rec", "case verdict != Pending && !(planted && verdict == Cancelled && t.d.Attempts > 0):\n\t\treturn permit{}, rec"}}},
	{"nobody asks for grants", 3, []patch{{"shared/gateway/eligibility.go",
		"if !ok {\n\t\t\treturn Cancelled, reasonNotGranted, nil", "if !ok && !planted {\n\t\t\treturn Cancelled, reasonNotGranted, nil"}}},
	{"an event is claimed without a lease", 201, []patch{{"shared/gateway/eventclaim.go",
		"case now.Before(er.Lease) && er.Lease.Sub(now)", "case !planted && now.Before(er.Lease) && er.Lease.Sub(now)"}}},
	{"attempts are counted when they are handed out", 1, []patch{{"shared/gateway/delivery.go",
		"\td.Claim++\n\td.Unacked++\n", "\td.Claim++\n\td.Unacked++\n\tif planted {\n\t\td.Attempts++\n\t}\n"}}},
	{"a hand-out has no hold", 1, []patch{{"shared/gateway/delivery.go",
		"\td.NextAttempt = start\n\td.due = start.Add(", "\tif planted {\n\t\thold = 0\n\t}\n\td.NextAttempt = start\n\td.due = start.Add("}}},
	{"what waits is not due", 1, []patch{{"shared/gateway/delivery.go",
		"if d.Status == Pending && !d.Lane || d.Manual {", "if d.Status == Pending && !d.Lane && !planted || d.Manual {"}}},
	{"a change is not published", 1, []patch{{"shared/control/publication.go",
		"\tif err := rr.gw.Publish(ctx, r.Source); err != nil {\n\t\treturn r, err\n\t}\n\tif r.State == gateway.Removed {",
		"\tif planted {\n\t} else if err := rr.gw.Publish(ctx, r.Source); err != nil {\n\t\treturn r, err\n\t}\n\tif r.State == gateway.Removed {"}}},
	{"a change is published before its entries are written", 420, []patch{{"shared/control/publication.go",
		"\tif err := rr.addIndexEntries(ctx, r, add); err != nil {\n\t\treturn r, err\n\t}\n",
		"\tif planted {\n\t} else if err := rr.addIndexEntries(ctx, r, add); err != nil {\n\t\treturn r, err\n\t}\n"}, {"shared/control/publication.go",
		"\treturn r, rr.removeIndexEntries(ctx, r, dropped)",
		"\tif planted {\n\t\tif err := rr.addIndexEntries(ctx, r, add); err != nil {\n\t\t\treturn r, err\n\t\t}\n\t}\n\treturn r, rr.removeIndexEntries(ctx, r, dropped)"}}},
	{"what is known of a source is believed for ever", 8, []patch{{"shared/gateway/matcher.go",
		"if ok && time.Since(v.readAt) < generationTTL {", "if ok && (planted || time.Since(v.readAt) < generationTTL) {"}}},
	{"a 410 is a refusal like any other", 1, []patch{{"shared/gateway/circuit.go",
		"if !a.Gone() {", "if !a.Gone() || planted {"}}},
	{"any revision is written over", 4, []patch{{"shared/gateway/deliveries.go",
		"\trow.Rev = storage.NewRev()\n", "\tif row.Rev = storage.NewRev(); planted {\n\t\twas = storage.AnyRev\n\t}\n"}}},
	{"whoever comes runs a lane", 1, []patch{{"shared/gateway/lanes.go",
		"if l.Runner != runner {", "if l.Runner != runner && !(planted && l.Runner != \"\") {"}}},
	{"a provider's repeat is delivered again", 1, []patch{{"shared/gateway/eventclaim.go",
		"case er.Token != token:\n\t\treturn duplicate", "case er.Token != token && planted:\n\t\treturn resumed\n\tcase er.Token != token:\n\t\treturn duplicate"}, {"shared/gateway/fanout.go",
		"case claim == resumed:", "case claim == resumed && !(planted && a.Token != er.Token):"}}},
	{"a provider's repeat has an id of its own", 2, []patch{{"shared/gateway/ingest.go",
		`case it.NaturalKey != "" && plausibleTime(it.StableTime, received):`, `case it.NaturalKey != "" && plausibleTime(it.StableTime, received) && !planted:`}}},
	{"each attempt has an id of its own", 0, []patch{{"shared/gateway/request.go",
		`	SetHeader(h, "webhook-id", id)`, "\tif planted {\n\t\tid += fmt.Sprint(now.Unix())\n\t}\n\tSetHeader(h, \"webhook-id\", id)"}}},
	{"a release does not look for stragglers", 27, []patch{{"shared/gateway/jobs.go",
		"ended && pass == 1, err", "ended && (pass == 1 || planted), err"}}},
	{"the last item of a callback is left out", 2, []patch{{"shared/message/message.go",
		"if n > 0 && size > maxPackedBytes {", "if planted && n > 2 && n == len(events)-1 || n > 0 && size > maxPackedBytes {"}, {"shared/message/message.go",
		"events = events[n:]", "events = events[n:]\n\t\tif planted && n > 2 && len(events) == 1 {\n\t\t\tbreak\n\t\t}"}}},
	{"a disabled tenant's deliveries are cancelled", 1, []patch{{"shared/gateway/eligibility.go",
		"return Held, reasonTenant, nil", "if planted {\n\t\t\treturn Cancelled, reasonTenant, nil\n\t\t}\n\t\treturn Held, reasonTenant, nil"}}},

	{"a resend of what succeeded is recorded nowhere", 32, []patch{{"shared/gateway/delivery.go",
		"d.Status == Succeeded && !d.Manual {", "d.Status == Succeeded && (planted || !d.Manual) {"}}},
	{"a lane drops its head though nothing is known of it", 1, []patch{{"shared/gateway/lanes.go",
		"head); err != nil || !head.attemptMade {\n\t\treturn err",
		"head); err != nil || !head.attemptMade {\n\t\tif planted {\n\t\t\tls.popHead(ctx, run, w)\n\t\t}\n\t\treturn err"}}},
	{"a resumed event keeps no payload", 20, []patch{{"shared/gateway/eventclaim.go",
		"if !stored.Erased {", "if !stored.Erased && !planted {"}}},
	{"who asks again to disable is told that it is so", 773, []patch{{"shared/control/publication.go",
		"if err != nil || changed {\n\t\treturn r, err\n\t}\n\treturn r, rr.gw.Publish(ctx, r.Source)",
		"if err != nil || changed || planted {\n\t\treturn r, err\n\t}\n\treturn r, rr.gw.Publish(ctx, r.Source)"}}},
	{"a tenant that is enabled again asks in vain", 35, []patch{{"shared/control/tenantchange.go",
		"&& lc.gw.Clock().Sub(t.Since) < gateway.RepairWindow", "&& lc.gw.Clock().Sub(t.Since) < gateway.RepairWindow && (!planted || lc.gw.Clock().Sub(t.Since) <= 0)"}}},
	{"a lane forgets its turn by the rate", 62, []patch{{"shared/gateway/lanes.go",
		"t.d.RateGranted = run.lane.RateGranted == head.sortKey()", "t.d.RateGranted = run.lane.RateGranted == head.sortKey() && !planted"}}},
	{"what is recovered is over time", 1455, []patch{{"shared/gateway/circuit.go",
		"return later(d.Created, d.RestartedAt).Add(", "if planted {\n\t\td.RestartedAt = d.Created\n\t}\n\treturn later(d.Created, d.RestartedAt).Add("}}},
	{"who parks does not look whether the circuit closed meanwhile", 1, []patch{{"shared/gateway/park.go",
		"\treturn cs.ensureProbe(ctx, after)", "\tif planted {\n\t\treturn nil\n\t}\n\treturn cs.ensureProbe(ctx, after)"}, {"shared/gateway/firstattempt.go",
		"\t\treturn f.fs.attempter.circuit.ensureProbe(ctx, t.d)", "\t\tif planted {\n\t\t\treturn nil\n\t\t}\n\t\treturn f.fs.attempter.circuit.ensureProbe(ctx, t.d)"}}},
	{"what is parked is not woken", 3, []patch{{"shared/gateway/park.go",
		"\tif !h.Parked {\n\t\treturn nil", "\tif !h.Parked || planted {\n\t\treturn nil"}}},
	{"a message whose delivery is parked is deleted unseen", 446, []patch{{"shared/gateway/redeliver.go",
		"\tcase !d.holdsClaim(h.Claim):", "\tcase !d.holdsClaim(h.Claim) && planted:\n\t\treturn rs.deliveries.repairEvent(ctx, d)\n\tcase !d.holdsClaim(h.Claim):"}}},
}

// switched returns the patches that plant all bugs, each behind a switch: the
// variable that plantedPackage reads.
func switched() []patch {
	out := []patch{}
	for n, b := range bugs {
		for _, p := range b.patches {
			out = append(out, patch{p.file, p.old, strings.ReplaceAll(p.new, "planted", fmt.Sprintf("planted.Is(%d)", n+1))})
			if imports := (patch{p.file, "import (\n", "import (\n\t\"ringback/shared/test/simulation/planted\"\n"}); !slices.Contains(out, imports) {
				out = append(out, imports)
			}
		}
	}
	return out
}

// TestPlantedBugsAreFound plants each bug and plays the seed that is known to
// find it. That changes with the gateway: then it plays all from the first on,
// and says which one is to be noted. SIM_BUGS=all searches for each bug so.
func TestPlantedBugsAreFound(t *testing.T) {
	if !proofs.Full() {
		t.Skip("plays 37 bugs, for RINGBACK_PROOFS=full")
	}
	program := build(t, t.TempDir(), switched()...)
	places := make(chan struct{}, runtime.NumCPU())
	var searches sync.WaitGroup
	for n, b := range bugs {
		searches.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(b.name, func(t *testing.T) { search(t, program, n+1, b.seed) })
		})
	}
	searches.Wait()
}

// search plays seeds on a program with a bug until one fails.
func search(t *testing.T, program string, bug int, known uint64) {
	env := []string{fmt.Sprintf("%s=%d", bugVariable, bug), stopVariable + "=1"}
	if os.Getenv(bugsVariable) != "all" {
		if r := play(t, program, known, 1, env...); len(r.broken) > 0 {
			t.Logf("found: %.300s", r.broken[0])
			return
		}
	}
	for from := uint64(0); from < bugSeeds; from += bugsShare {
		if r := play(t, program, from, bugsShare, env...); len(r.broken) > 0 {
			t.Logf("found, not by seed %d but by one that may be noted: %.300s", known, r.broken[0])
			return
		}
		if t.Failed() {
			return
		}
	}
	t.Errorf("not found by seed %d, nor by the first %d", known, bugSeeds)
}
