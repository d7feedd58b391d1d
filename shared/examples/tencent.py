"""A handler of Tencent Cloud Chat's webhooks that knows nothing of Ringback.

    TOKEN=... SDKAPPID=1400000001 python3 tencent.py 9000

It checks Sign as Tencent makes it, with the console's authentication token, and
answers as Tencent wants it. It works unchanged behind a registration in raw
format whose raw_token is TOKEN. Python 3.11, standard library alone. Port 0
takes any.
"""
import hashlib
import hmac
import http.server
import json
import os
import sys
import time
import urllib.parse

TOKEN, SDKAPPID = os.environ["TOKEN"], os.environ["SDKAPPID"]


def signed(query):
    """Tells whether Tencent made query within the last minute."""
    at = query.get("RequestTime", "")
    want = hashlib.sha256((TOKEN + at).encode()).hexdigest()
    return hmac.compare_digest(query.get("Sign", ""), want) and at.isdigit() and abs(time.time() - int(at)) <= 60


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        if not signed(query) or query.get("SdkAppid") != SDKAPPID:
            return self.answer(403, {"ActionStatus": "FAIL", "ErrorInfo": "not Tencent", "ErrorCode": 1})
        print(query["CallbackCommand"], body.decode(errors="replace"), flush=True)
        self.answer(200, {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})

    def answer(self, status, packet):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(packet).encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Webhook)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
