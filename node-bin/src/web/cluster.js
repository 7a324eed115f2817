// The way to the cluster: knows its members, moves to the next one when the present one fails, and goes on there.
// A token is valid on every node, a post carries a key, the stream goes on from cursors: so moving loses and doubles nothing.

const ANSWER_WITHIN = 4000;   // ms; a node holds a request without a leader for 500
const LOOK_EVERY = 4000;      // ms between looks at the cluster: a frozen node shows no other sign
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An answer that will not change by asking again. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.kind = String(problem.type || "").replace("urn:tertulia:", "");
    this.status = problem.status;
  }
}

/** Whoever asked has signed out: nobody waits for the answer, and nobody else may ask it under their own name. */
export class SignedOut extends Error {}

export function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Cluster extends EventTarget {
  constructor() {
    super();
    this.members = [location.origin];
    this.at = 0;
    this.token = null;
    this.view = null;         // the last /api/v1/cluster
    this.cursors = () => ({});
    this.socket = null;
    this.alive = false;       // whether the stream is followed
    this.failures = 0;        // in a row
    this.look();
  }

  get address() { return this.members[this.at]; }

  /** Leaves `from` for the next member, unless somebody has left it already. */
  move(from) {
    if (from !== this.address) return;
    this.at = (this.at + 1) % this.members.length;
    this.failures += 1;
    this.view = null;
    this.tell("moved");
    if (this.token) this.follow();
  }

  tell(what, detail) { this.dispatchEvent(new CustomEvent(what, { detail })); }

  async fetch(address, token, method, path, body, key) {
    const headers = {};
    if (token) headers.Authorization = "Bearer " + token;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const response = await fetch(address + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN), credentials: "omit", cache: "no-store",
    });
    const answer = await response.json();
    if (response.ok) { this.failures = 0; return answer; }
    if (response.status >= 500) throw new Error(answer.detail);
    throw new Refused(answer);
  }

  /** Asks until some node answers, always as whoever is signed in now. What changes anything must have a key, the same for all its attempts. */
  async call(method, path, body, key) {
    const token = this.token;
    for (let attempt = 0; ; attempt += 1) {
      if (this.token !== token) throw new SignedOut();
      const address = this.address;
      try {
        return await this.fetch(address, token, method, path, body, key);
      } catch (error) {
        if (this.token !== token) throw new SignedOut();
        if (error instanceof Refused) {
          if (error.status === 401 && token) this.tell("expired");
          throw error;
        }
        this.move(address);
        await pause(Math.min(100 * 2 ** Math.min(attempt, 5), 2000) * (0.5 + Math.random() / 2));
      }
    }
  }

  get(path) { return this.call("GET", path); }
  post(path, body, key = freshKey()) { return this.call("POST", path, body, key); }

  /** Looks at the cluster from time to time: who is in it, who leads, and whether this node still answers. */
  async look() {
    for (;;) {
      const address = this.address;
      try {
        const view = await this.fetch(address, null, "GET", "/api/v1/cluster");
        if (address === this.address) this.seen(view);
      } catch (error) {
        this.move(address);
      }
      await pause(this.view ? LOOK_EVERY : 700);
    }
  }

  seen(view) {
    this.view = view;
    const address = this.address;
    const known = view.nodes.map((node) => node.address.replace(/\/$/, "")).filter(Boolean);
    // The page's own address stays: a proxy may be all that this browser reaches.
    this.members = [...new Set([location.origin, ...known, address])];
    this.at = this.members.indexOf(address);
    this.tell("looked");
  }

  /** Opens the stream at the present node and goes on from the cursors. */
  follow() {
    const former = this.socket;
    const address = this.address;
    this.alive = false;
    const socket = new WebSocket(address.replace(/^http/, "ws") + "/api/v1/stream");
    this.socket = socket;
    if (former) former.close();
    const late = setTimeout(() => socket.close(), ANSWER_WITHIN);
    socket.onopen = () => socket.send(JSON.stringify({ token: this.token, cursors: this.cursors() }));
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      const frame = JSON.parse(data);
      if (frame.type === "following") {
        clearTimeout(late);
        this.alive = true;
        this.failures = 0;
      }
      if (frame.type === "error" && frame.problem.status === 401) this.tell("expired");
      this.tell(frame.type, frame);
    };
    socket.onclose = async () => {
      clearTimeout(late);
      if (socket !== this.socket || !this.token) return;
      this.alive = false;
      this.tell("moved");
      await pause(Math.min(150 * 2 ** Math.min(this.failures, 4), 2000) * (0.5 + Math.random() / 2));
      if (socket !== this.socket || !this.token) return;
      if (this.members.length > 1) this.move(address); else this.follow();
    };
  }

  forget() {
    this.token = null;
    const socket = this.socket;
    this.socket = null;
    this.alive = false;
    if (socket) socket.close();
  }
}
