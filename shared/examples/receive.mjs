// An endpoint of Ringback's deliveries: Node 20 and the library of Standard
// Webhooks.
//
//     npm install standardwebhooks
//     SIGNING_SECRET=whsec_... GATEWAY=ringback.example node receive.mjs 9000
//
// SIGNING_SECRET is what the registration was created with, GATEWAY the host of
// the gateway's address. Port 0 takes any.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.SIGNING_SECRET);
const gateway = process.env.GATEWAY ?? "";

const seen = new Set(); // webhook-ids; a real one keeps them in its database

// verified tells whether the gateway sent body with headers, and just now.
function verified(headers, body) {
  try {
    webhook.verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

// handle does the work. Put it aside if it takes long: the gateway waits 15 s.
function handle(event) {
  console.log(event.type, JSON.stringify(event.data));
}

// receive answers a delivery with a status.
function receive(headers, body) {
  if (!verified(headers, body)) return 401;
  const id = headers["webhook-id"];
  if (!seen.has(id)) {
    handle(JSON.parse(body));
    seen.add(id);
    if (seen.size > 10_000) seen.delete(seen.values().next().value);
  }
  return 204;
}

// consent answers the ownership challenge: to the gateway, and to nobody else.
function consent(headers, response) {
  const origin = headers["webhook-request-origin"] ?? "";
  response.setHeader("allow", "POST");
  if (gateway && origin.toLowerCase() === gateway) {
    response.setHeader("webhook-allowed-origin", origin);
    response.setHeader("webhook-allowed-rate", "*");
  }
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  if (request.method === "OPTIONS") return consent(request.headers, response);
  if (request.method !== "POST") return response.writeHead(405).end();
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => response.writeHead(receive(request.headers, Buffer.concat(parts))).end());
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
