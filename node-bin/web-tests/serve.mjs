// Serves the page with a stand-in session in place of a cluster, under the policy that nodes send: `node node-bin/web-tests/serve.mjs 22900`, then
// http://127.0.0.1:22900/?in (signed in), ?in&empty (nothing there yet), ?signin=invite (how signing in looks). On the console: `standin.cut(true)` and others.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { extname, join, normalize } from "node:path";

const here = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json" };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://page");
  const json = (value) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
  // Before somebody has signed in the page asks a node, and there is none.
  if (pathname.endsWith("/api/v1/settings")) return json({ sign_in: new URL(request.headers.referer ?? "http://page").searchParams.get("signin") || "open" });
  if (pathname.endsWith("/api/v1/cluster")) return json({ node: Number(/\/node\/(\d)/.exec(pathname)?.[1] ?? 2), leader: 1, term: 7, nodes: [1, 2, 3].map((id) => ({ id, role: id === 1 ? "leader" : "follower", standing: "voter", replaces: null, address: "" })) });
  const wanted = pathname === "/" ? "/index.html" : normalize(pathname);
  const file = wanted.startsWith("/core/session.js") ? join(here, "standin/session.js") : wanted === "/core/world.js" ? join(here, "standin/world.js") : join(here, "../web", wanted);
  try {
    const body = await readFile(file);
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": POLICY, "Cache-Control": "no-store" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}).listen(Number(process.argv[2] ?? 22900), "127.0.0.1");
