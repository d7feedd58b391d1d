"""An endpoint of Ringback's deliveries: Python 3.11, and the library of Standard
Webhooks if it is there.

    pip install standardwebhooks
    SIGNING_SECRET=whsec_... GATEWAY=ringback.example python3 receive.py 9000

SIGNING_SECRET is what the registration was created with, GATEWAY the host of
the gateway's address. Port 0 takes any.
"""
import base64
import collections
import hmac
import http.server
import json
import os
import sys
import time

try:
    from standardwebhooks import Webhook
except ImportError:
    Webhook = None  # verified does the same by hand

KEY = base64.b64decode(os.environ["SIGNING_SECRET"].removeprefix("whsec_"))
GATEWAY = os.environ.get("GATEWAY", "")
TOLERANCE = 300  # seconds that a delivery may be old, or ahead

seen = collections.OrderedDict()  # webhook-ids; a real one keeps them in its database


def verified(headers, body):
    """Tells whether the gateway sent body with headers, and just now."""
    if Webhook:
        try:
            Webhook(os.environ["SIGNING_SECRET"]).verify(body, dict(headers.items()))
            return True
        except Exception:  # of several kinds, if a header is not what it should be
            return False
    try:
        id, at = headers["webhook-id"], headers["webhook-timestamp"]
        want = hmac.digest(KEY, f"{id}.{at}.".encode() + body, "sha256")
        given = [base64.b64decode(s[3:]) for s in headers["webhook-signature"].split() if s.startswith("v1,")]
        return abs(time.time() - int(at)) <= TOLERANCE and any(hmac.compare_digest(want, g) for g in given)
    except (TypeError, ValueError, AttributeError):  # a header is missing, or not what it should be
        return False


def handle(event):
    """Does the work. Put it aside if it takes long: the gateway waits 15 s."""
    print(event["type"], json.dumps(event["data"]), flush=True)


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not verified(self.headers, body):
            return self.answer(401)
        id = self.headers["webhook-id"]
        if id not in seen:
            handle(json.loads(body))
            seen[id] = True
            if len(seen) > 10_000:
                seen.popitem(last=False)
        self.answer(204)

    def do_OPTIONS(self):
        """The ownership challenge: consents to the gateway, and to nobody else."""
        origin = self.headers.get("webhook-request-origin", "")
        consent = {"allow": "POST"}
        if GATEWAY and origin.lower() == GATEWAY:
            consent |= {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"}
        self.answer(204, consent)

    def answer(self, status, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    print("verifying with standardwebhooks" if Webhook else "verifying by hand", flush=True)
    server.serve_forever()
