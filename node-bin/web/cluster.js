// The way to the cluster: knows its members, moves to the next one when the present one fails, and goes on there.
// A token is valid on every node, a post carries a key, the stream goes on from cursors: so moving loses and doubles nothing.

const ANSWER_WITHIN = 4000;   // ms; a node holds a request without a leader for 500
const LOOK_EVERY = 4000;      // ms between looks at the cluster: a frozen node shows no other sign
const LOOK_SOON = 700;        // while no node answers, or the one that does has no majority
const SEEK_WITHIN = 1000;     // ms that another node has to say whether it has one
// Refusals for want of a majority: asking the same of the next node in line would only make the page wander.
const NO_MAJORITY = ["no-leader", "too-few-copies", "outbox-full"];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An answer that will not change by asking again. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.kind = kindOf(problem);
    this.status = problem.status;
  }
}

const kindOf = (problem) => String(problem.type || "").replace("urn:tertulia:", "");

/** A node is well and cannot do this for want of a majority. */
export const isNoMajority = (error) => NO_MAJORITY.includes(error.kind);

/** The session for which something was asked has ended: nobody waits for the answer, and nothing is to be shown. */
export class Ended extends Error {
  constructor() { super("the session has ended"); }
}

/** From one sign-in, or sign-out, to the next. What is asked in a session has its token, or is not asked at all. */
class Session {
  constructor(token) {
    this.token = token;
    this.end = new AbortController();
  }
}

export function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Cluster extends EventTarget {
  constructor() {
    super();
    this.members = [location.origin];
    this.at = 0;
    this.session = new Session(null);
    this.view = null;         // the last /api/v1/cluster
    this.cursors = () => ({});
    this.socket = null;
    this.alive = false;       // whether the stream is followed
    this.failures = 0;        // in a row
    this.leaderless = 0;      // looks in a row at nodes that have no majority
    this.wake = () => {};     // looks at once
    this.look();
  }

  get token() { return this.session.token; }
  get address() { return this.members[this.at]; }

  /** Whether this side has known for more than a moment that it has no majority. An election is over sooner. */
  get cutOff() { return this.leaderless > 1; }

  /** Leaves `from` for the next member, or for a certain one, unless somebody has left it already. */
  move(from, to = this.at + 1) {
    if (from !== this.address) return;
    this.at = to % this.members.length;
    this.failures += 1;
    this.view = null;
    this.tell("moved");
    if (this.token) this.follow();
  }

  tell(what, detail) { this.dispatchEvent(new CustomEvent(what, { detail })); }

  /** One attempt. What is asked without a session is asked by nobody in particular. */
  async fetch(address, session, method, path, body, key, within = ANSWER_WITHIN) {
    const headers = {};
    if (session && session.token) headers.Authorization = "Bearer " + session.token;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const late = AbortSignal.timeout(within);
    const response = await fetch(address + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: session ? AbortSignal.any([late, session.end.signal]) : late, credentials: "omit", cache: "no-store",
    });
    const answer = await response.json();
    if (response.ok) { this.failures = 0; return answer; }
    if (response.status >= 500) throw Object.assign(new Error(answer.detail), { kind: kindOf(answer) });
    throw new Refused(answer);
  }

  /**
   * Asks until some node answers, or the session ends in which it was asked: then it is `Ended`, also if an answer came.
   * What changes anything must have a key, the same for all its attempts. With `impatient` a node that has no majority is answer enough: that is thrown, with its `kind`.
   */
  async call(method, path, body, key, impatient = false) {
    const session = this.session;
    const goesOn = () => { if (session !== this.session) throw new Ended(); };
    for (let attempt = 0; ; attempt += 1) {
      const address = this.address;
      try {
        const answer = await this.fetch(address, session, method, path, body, key);
        goesOn();
        return answer;
      } catch (error) {
        goesOn();
        if (error instanceof Refused) {
          if (error.status === 401 && session.token) this.tell("expired");
          throw error;
        }
        // A node that says so is well: whether another one has a majority is for `look` to find out.
        if (isNoMajority(error)) this.wake(); else this.move(address);
        if (impatient && isNoMajority(error)) throw error;
        await pause(Math.min(100 * 2 ** Math.min(attempt, 5), 2000) * (0.5 + Math.random() / 2));
        goesOn();
      }
    }
  }

  get(path) { return this.call("GET", path); }
  post(path, body, key = freshKey(), impatient = false) { return this.call("POST", path, body, key, impatient); }

  /** Looks at the cluster from time to time: who is in it, who leads, and whether this node still answers. */
  async look() {
    for (let nth = 0; ; nth += 1) {
      const address = this.address;
      try {
        const view = await this.fetch(address, null, "GET", "/api/v1/cluster");
        if (address === this.address) this.seen(view);
        if (view.leader === null) await this.seek(address, nth);
      } catch (error) {
        this.move(address);
      }
      const well = this.view && this.view.leader !== null;
      await Promise.race([pause(well ? LOOK_EVERY : LOOK_SOON), new Promise((wake) => { this.wake = () => pause(100).then(wake); })]);
    }
  }

  /** This node has no majority: another one may have, if it can be reached from here. They are asked in turn. */
  async seek(address, nth) {
    const others = this.members.filter((member) => member !== address);
    if (!others.length) return;
    const other = others[nth % others.length];
    try {
      const view = await this.fetch(other, null, "GET", "/api/v1/cluster", undefined, undefined, SEEK_WITHIN);
      if (view.leader !== null) this.move(address, this.members.indexOf(other));
    } catch (error) { /* It cannot be reached. */ }
  }

  seen(view) {
    this.view = view;
    this.leaderless = view.leader === null ? this.leaderless + 1 : 0;
    const address = this.address;
    const known = view.nodes.map((node) => node.address.replace(/\/$/, "")).filter(Boolean);
    // The page's own address stays: a proxy may be all that this browser reaches.
    this.members = [...new Set([location.origin, ...known, address])];
    this.at = this.members.indexOf(address);
    this.tell("looked");
  }

  /** Opens the stream at the present node and goes on from the cursors. */
  follow() {
    const session = this.session;
    const former = this.socket;
    const address = this.address;
    this.alive = false;
    const socket = new WebSocket(address.replace(/^http/, "ws") + "/api/v1/stream");
    this.socket = socket;
    if (former) former.close();
    const late = setTimeout(() => socket.close(), ANSWER_WITHIN);
    socket.onopen = () => socket.send(JSON.stringify({ token: session.token, cursors: this.cursors() }));
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket || session !== this.session) return;
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
      if (socket !== this.socket || session !== this.session) return;
      this.alive = false;
      this.tell("moved");
      await pause(Math.min(150 * 2 ** Math.min(this.failures, 4), 2000) * (0.5 + Math.random() / 2));
      if (socket !== this.socket || session !== this.session) return;
      if (this.members.length > 1) this.move(address); else this.follow();
    };
  }

  /** Begins a session and follows its stream. */
  begin(token) {
    this.forget();
    this.session = new Session(token);
    this.follow();
  }

  /** Ends the session and everything that was asked in it. */
  forget() {
    const former = this.session;
    this.session = new Session(null);
    former.end.abort();
    const socket = this.socket;
    this.socket = null;
    this.alive = false;
    if (socket) socket.close();
  }
}
