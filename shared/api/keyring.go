package api

import (
	"context"
	"net/http"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

// A keyRingAPI has the calls about the key ring.
type keyRingAPI struct{ *server }

func (s keyRingAPI) addKeyRing() {
	add(s.server, operation{id: "reseal", method: http.MethodPost, path: "/v1/reseal", status: http.StatusAccepted,
		summary: "Seal all secrets under the key that stands first in the ring",
		more: "A job; rows stay readable meanwhile. When it is done with none skipped, and no process has the former ring, the other keys can go. " +
			"Run again, it deals with what was sealed under another key since."}, s.reseal)
}

func (s keyRingAPI) reseal(ctx context.Context, c control.Caller, in *Once) (*created[job], error) {
	return s.started(ctx, c, *in, in, func(id string) (gateway.Job, error) { return s.transfer.StartReseal(ctx, id) })
}
