// REST at whichever member answers. A token is valid on every node, and what changes something carries a key, the same for all its attempts: so moving on loses and doubles nothing.

const ANSWER_WITHIN = 4000;  // ms; a node holds a request without a leader for 500
const WITHIN = 10_000;       // ms for all attempts
/** Where the page knows no more than its own node. */
const FIRST_PAUSE = 100;
const LAST_PAUSE = 1500;
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

/** An answer that will not change by asking again. `kind`: the problem's type without "urn:tertulia:". */
export class Refused extends Error {
  constructor({ type, title, status, detail, limit }, retryAfter = null) {
    super(detail || title || "the request was refused");
    this.name = "Refused";
    this.kind = String(type ?? "").replace("urn:tertulia:", "");
    this.status = status;
    this.detail = this.message;
    this.retryAfter = retryAfter;
    if (limit !== undefined) this.limit = limit;
  }
}

/** No server has given an answer for some seconds. `kind`: what the last one that said anything said ("no-leader", …), or "unreachable". */
export class Unreachable extends Error {
  constructor(kind, detail) {
    super(detail ?? "no server can be reached: try again later");
    this.name = "Unreachable";
    this.kind = kind;
    this.detail = this.message;
    this.status = 503;
  }
}

export const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** 128 random bits as text. */
export function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The servers to choose from: the page's own origin first, whatever the cluster says, then its members. A member that is this machine under another of its names is the page's own;
 * what a page of https may not reach is left out.
 */
export function serversOf(members, page = location) {
  const servers = [page.origin];
  for (const member of members) {
    let address;
    try {
      address = new URL(member);
    } catch {
      continue;
    }
    const isHere = address.port === page.port && LOOPBACK.includes(address.hostname) && LOOPBACK.includes(page.hostname);
    const isForbidden = page.protocol === "https:" && address.protocol !== "https:";
    if (!isHere && !isForbidden && !servers.includes(address.origin)) servers.push(address.origin);
  }
  return servers;
}

/** One attempt: the body of the answer. Throws Refused for whatever the server says instead. */
async function attempt(server, method, path, { body, key, token, within, signal }) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const late = AbortSignal.timeout(within);
  const response = await fetch(server + path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "omit", cache: "no-store", redirect: "error",
    signal: signal ? AbortSignal.any([late, signal]) : late,
  });
  const answer = await response.json();
  if (response.ok) return answer;
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  throw new Refused({ status: response.status, ...answer }, retryAfter);
}

/**
 * Asks until some server answers. `servers`: in the order in which they are tried; called before each attempt. `key`: what makes a change the same one when it is asked for again
 * (drawn, if nothing is said). Throws Refused, or after `within` ms Unreachable.
 */
export async function request(servers, method, path, { body, key, token, within = WITHIN, signal } = {}) {
  const until = performance.now() + within;
  const same = key ?? (method === "GET" ? undefined : freshKey());
  let last = null;
  for (let nth = 0; ; nth += 1) {
    const list = servers();
    const left = Math.min(ANSWER_WITHIN, until - performance.now());
    if (left <= 0 || list.length === 0) throw new Unreachable(last?.kind ?? "unreachable", last?.detail);
    let wait = 0;
    try {
      return await attempt(list[nth % list.length], method, path, { body, key: same, token, within: left, signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      if (error instanceof Refused) {
        if (error.status < 500 && error.status !== 429) throw error;
        // It may go better elsewhere, or later.
        last = error;
        if (error.status === 429) wait = (error.retryAfter ?? 1) * 1000;
        if (performance.now() + wait > until) throw error;
      }
    }
    // Each server once without a pause that counts, then with longer ones.
    const rounds = Math.trunc((nth + 1) / list.length);
    const most = rounds === 0 ? FIRST_PAUSE / 4 : Math.min(FIRST_PAUSE * 2 ** rounds, LAST_PAUSE);
    await pause(Math.max(wait, most * (0.5 + Math.random() / 2)));
  }
}
