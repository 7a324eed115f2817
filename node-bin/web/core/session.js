// What the screen stands on: this device's session, whichever node answers, whichever tab runs it.
//
// One tab of a browser runs the session: it has the machine (host.js) and the one connection. The others show the same: they hear each step over a BroadcastChannel. Each tab puts its
// commands into the database's inbox. When that tab goes, another one goes on from the records (lock.js, keep.js). Nobody has to know which one it is.
//
// What differs from what one may expect:
// - The number of a command is any whole number, unique in this browser and ascending in this tab. It stays the same over reloads and from tab to tab.
// - `withdraw` is asynchronous: the tab that runs the session answers.
// - `deliver`: each tab gets each room's events once and in order, from where it was when it began. Events that it is not told one by one (a quarter of an hour without any page, or
//   a tab that slept through a change of tabs) come as one frame {type: "skipped", room, from, cursor}: read the history.
// - "settled" has the outcome's own fields: {ok: {room, seq, id, at}}. "withdrawn" also has the `message`. "rejected" also has `pending`, what was not sent any more.
// - `Session.http` asks without a session: the settings before the sign-in, say.

import { Host } from "./host.js";
import { Refused, Unreachable, request, serversOf } from "./http.js";
import { openKeep } from "./keep.js";
import { lead } from "./lock.js";
import { pending } from "./shown.js";

export { Refused, Unreachable };

const CHANNEL = "tertulia";
const ATTACH_WITHIN = 1500;    // ms until a tab shows itself, though the one that runs the session says nothing
const SIGN_OUT_WITHIN = 3000;
const TYPING_EVERY = 3000;
/** Commands that may wait. */
const MOST_PENDING = 1000;

/** Too many commands wait: let some of them be sent first. */
export class Full extends Error {
  constructor() {
    super("too many messages wait to be sent: try again when some of them are");
    this.name = "Full";
    this.kind = "full";
  }
}

/** What this browser keeps, opened once a page. */
let opened = null;
const keepOfPage = () => (opened ??= openKeep());
const keptMembers = async (keep) => (await keep.get("members").catch(() => null)) ?? [];

/** The last number that this tab has drawn. */
let lastTag = 0;

/** Ascending, and hardly another tab's: milliseconds since 2020 and 14 drawn bits. */
function drawTag() {
  const drawn = (Date.now() - 1_577_836_800_000) * 2 ** 14 + Math.trunc(Math.random() * 2 ** 14);
  lastTag = Math.max(drawn, lastTag + 1);
  return lastTag;
}

const roomRef = (room) => (typeof room === "number" ? { Id: room } : { Name: String(room) });

const LOGGED_OUT = { kind: "logged-out", detail: "this device was signed out", pending: [] };

export class Session extends EventTarget {
  #keep; #token; #channel = null; #host = null; #release = () => {}; #isOver = false;
  #attached; #attach;
  #state;
  /** Commands of this tab that the tab which runs the session has not named yet, by their tags. */
  #own = new Map();
  /** Of each room the last event that this tab was told. */
  #seen = new Map();
  /** Questions to the tab that runs the session: {message, resolve, reject}. */
  #questions = new Map();
  #nextQuestion = 1;
  #typed = new Map();

  /** The session of this device that was kept, or null. */
  static async resume() {
    const keep = await keepOfPage();
    const kept = await keep.session().catch(() => null);
    return kept && new Session(keep, kept).#begin();
  }

  /** Signs in, and keeps the session. Throws Refused or Unreachable. */
  static async open({ name, password, register, invite, device }) {
    const keep = await keepOfPage();
    const servers = serversOf(await keptMembers(keep));
    const body = { name, ...(password && { password }), ...(register && { register: true }), ...(invite && { invite }), ...(device && { device }) };
    const opened = await request(() => servers, "POST", "/api/v1/sessions", { body });
    const session = { user: { id: opened.user, name: opened.name }, id: String(opened.session), token: opened.token };
    await keep.beginSession(session);
    return new Session(keep, session).#begin();
  }

  /** As `http`, of nobody. */
  static async http(method, path, body, { key, within, signal } = {}) {
    const servers = serversOf(await keptMembers(await keepOfPage()));
    return request(() => servers, method, path, { body, key, within, signal });
  }

  /** Keeps the members' addresses, which somebody has learned who is not signed in. */
  static async know(members) {
    const keep = await keepOfPage();
    if ((await keptMembers(keep)).join() !== members.join()) await keep.set("members", members).catch(() => {});
  }

  constructor(keep, { user, id, token }) {
    super();
    this.#keep = keep;
    this.#token = token;
    this.user = user;
    this.id = id;
    const servers = serversOf([]);
    const status = { server: servers[0], connected: false, signedIn: false, leader: true, since: Date.now(), members: servers };
    this.#state = { status, pending: [], tails: {}, cursors: {} };
    this.#attached = new Promise((resolve) => { this.#attach = resolve; });
  }

  // ---- what is asked of it

  get status() { return this.#state.status; }

  post(room, text, { replyTo } = {}) {
    return this.#submit(replyTo ? { Respond: { room: roomRef(room), to: replyTo, text } } : { Post: { room: roomRef(room), text } });
  }

  edit(room, seq, text) { return this.#submit({ Edit: { room: roomRef(room), seq, text } }); }
  delete(room, seq) { return this.#submit({ Delete: { room: roomRef(room), seq } }); }
  react(room, seq, emoji, on) { return this.#submit({ React: { room: roomRef(room), seq, emoji, on } }); }
  pin(room, seq, on) { return this.#submit({ Pin: { room: roomRef(room), seq, on } }); }
  read(room, seq) { return this.#submit({ Read: { room: roomRef(room), seq } }); }
  join(room) { return this.#submit({ Join: { room: roomRef(room) } }); }
  leave(room) { return this.#submit({ Leave: { room: roomRef(room) } }); }

  /** Takes back a command that was certainly never sent: a promise of whether it was so. */
  async withdraw(number) {
    const isTaken = this.#host ? this.#host.withdraw(number) : await this.#question({ withdraw: number });
    if (isTaken) this.#own.delete(number);
    return isTaken;
  }

  /** Commands of a room that are not settled, in order; of all rooms, if none is named. */
  pending(room) {
    const own = Array.from(this.#own.values(), (entry) => pending(entry, entry.command, "waiting"));
    const all = [...this.#state.pending, ...own];
    return room === undefined ? all : all.filter((command) => command.room === room);
  }

  /** Tentative messages of a room, in their order. */
  tail(room) { return this.#state.tails[room] ?? []; }

  /** The last event of a room that was delivered, or null. */
  cursor(room) { return this.#state.cursors[room] ?? null; }

  /** REST at the present server, and at others if that one does not answer. Throws Refused, or Unreachable after some seconds (`within`, ms). */
  http(method, path, body, { key, within, signal } = {}) {
    const servers = () => [...new Set([this.status.server, ...this.status.members])];
    return request(servers, method, path, { body, key, within, signal, token: this.#token });
  }

  /** A question of the gateway's, which changes nothing; its result as the gateway spells it. */
  async ask(question) {
    if (this.#host) return this.#host.ask(question);
    return this.#question({ ask: question });
  }

  /** A hint to those who look at the room; said once in a while, however often it is called. */
  typing(room) {
    const at = performance.now();
    if (at - (this.#typed.get(room) ?? -Infinity) < TYPING_EVERY || !this.status.signedIn) return;
    this.#typed.set(room, at);
    this.http("POST", `/api/v1/rooms/${encodeURIComponent(room)}/typing`, undefined, { within: 1500 }).catch(() => {});
  }

  /** Signs this device out, as far as a server can be reached, and forgets all that was kept. */
  async close() {
    if (this.#isOver) return;
    await this.http("DELETE", "/api/v1/sessions/current", undefined, { within: SIGN_OUT_WITHIN }).catch(() => {});
    this.#channel?.postMessage({ of: this.id, over: LOGGED_OUT });
    this.#stop();
    await this.#keep.beginSession(null).catch(() => {});
  }

  // ---- which tab runs it

  async #begin() {
    if (this.#keep.isDurable && globalThis.BroadcastChannel) {
      this.#channel = new BroadcastChannel(CHANNEL);
      this.#channel.onmessage = ({ data }) => this.#heard(data);
      this.#say({ hello: true });
    }
    this.#lead();
    addEventListener("pagehide", this.#hidden);
    addEventListener("pageshow", this.#back);
    document.addEventListener("visibilitychange", this.#flush);
    await Promise.race([this.#attached, new Promise((resolve) => { setTimeout(resolve, ATTACH_WITHIN); })]);
    return this;
  }

  #lead() {
    this.#release = lead(this.#keep, () => this.#takeOver());
  }

  #flush = () => { this.#host?.flush(); };

  /** A page that may come back does not hold on to the session meanwhile. */
  #hidden = ({ persisted }) => {
    this.#flush();
    if (persisted) this.#yield();
  };

  #back = ({ persisted }) => {
    if (!persisted || this.#isOver) return;
    this.#say({ hello: true });
    this.#lead();
  };

  #yield() {
    this.#host?.stop();
    this.#host = null;
    this.#release();
  }

  async #takeOver() {
    if (this.#isOver) return;
    let taken;
    const known = {};
    try {
      taken = await this.#keep.takeOver();
      for (const what of ["members", "followed"]) known[what] = await this.#keep.get(what);
    } catch (error) {
      console.warn("what was kept cannot be read", error);
      taken = { epoch: 0, session: { user: this.user, id: this.id, token: this.#token }, records: [], inbox: [] };
    }
    if (taken.session?.token !== this.#token) {
      this.#end(LOGGED_OUT);
      return;
    }
    this.#host = new Host(this.#keep, taken, known, (step) => this.#tell(step), (why) => this.#ended(why));
    this.#tell(this.#host.snapshot());
    this.#host.start();
    // What came into the inbox just now.
    if (this.#keep.isDurable) this.#host.readInbox().catch(() => {});
  }

  #tell(step) {
    this.#say({ step });
    this.#apply(step);
  }

  /** The host has stopped: the session is over, or (null) another tab runs it. */
  async #ended(why) {
    if (why) {
      this.#say({ over: why });
      await this.#keep.beginSession(null).catch(() => {});
      this.#end(why);
      return;
    }
    this.#host = null;
    this.#release();
    const kept = await this.#keep.session().catch(() => null);
    if (kept?.token === this.#token) this.#lead(); else this.#end(LOGGED_OUT);
  }

  #stop() {
    this.#isOver = true;
    this.#yield();
    this.#channel?.close();
    this.#channel = null;
    removeEventListener("pagehide", this.#hidden);
    removeEventListener("pageshow", this.#back);
    document.removeEventListener("visibilitychange", this.#flush);
    for (const { reject } of this.#questions.values()) reject(new Unreachable("logged-out", "the session has ended"));
    this.#questions.clear();
  }

  #end(why) {
    if (this.#isOver) return;
    this.#stop();
    this.#emit("rejected", why);
  }

  // ---- between tabs

  #say(message) {
    this.#channel?.postMessage({ of: this.id, ...message });
  }

  #heard(message) {
    if (message.of !== this.id || this.#isOver) return;
    const { step, hello, poke, entry, question, answer, over } = message;
    if (over) this.#end(over);
    else if (step && !this.#host) this.#apply(step);
    else if (answer) this.#answered(answer);
    else if (this.#host && hello) this.#say({ step: this.#host.snapshot() });
    else if (this.#host && poke) this.#host.readInbox().catch(() => {});
    else if (this.#host && entry) this.#host.submit(entry);
    else if (this.#host && question) this.#serve(question);
  }

  /** Something that the tab which runs the session answers; asked again when that is another one. */
  #question(what) {
    return new Promise((resolve, reject) => {
      const question = { id: `${this.#nextQuestion} ${lastTag} ${Math.random()}`, ...what };
      this.#nextQuestion += 1;
      this.#questions.set(question.id, { question, resolve, reject });
      this.#say({ question });
    });
  }

  async #serve({ id, withdraw, ask }) {
    const host = this.#host;
    // What is to be taken back may only just have come into the inbox.
    if (ask === undefined) await host.readInbox().catch(() => {});
    const result = ask === undefined ? host.withdraw(withdraw) : await host.ask(ask).catch(() => undefined);
    if (result !== undefined) this.#say({ answer: { id, result } });
  }

  #answered({ id, result }) {
    this.#questions.get(id)?.resolve(result);
    this.#questions.delete(id);
  }

  /** What this tab has asked the former one. */
  #askAgain() {
    for (const [id, { question, resolve }] of this.#questions) {
      if (!this.#host) {
        this.#say({ question });
        continue;
      }
      this.#questions.delete(id);
      resolve(question.ask === undefined ? this.#host.withdraw(question.withdraw) : this.#host.ask(question.ask));
    }
  }

  // ---- commands

  #submit(command) {
    if (this.#isOver) throw new Unreachable("logged-out", "the session has ended");
    if (this.#state.pending.length + this.#own.size >= MOST_PENDING) throw new Full();
    const entry = { tag: drawTag(), of: this.id, command, at: Date.now() };
    this.#own.set(entry.tag, entry);
    this.#box(entry);
    this.#host?.submit(entry);
    return entry.tag;
  }

  /** For the tab that runs the session, now or later. */
  async #box(entry) {
    try {
      await this.#keep.box(entry);
      if (!this.#host) this.#say({ poke: true });
    } catch (error) {
      console.warn("a command is not kept", error);
      if (!this.#host) this.#say({ entry });
    }
  }

  // ---- what is told

  #apply(step) {
    const state = this.#state;
    const events = step.isWhole ? this.#takeWhole(step) : step.events;
    if (step.status) state.status = step.status;
    if (step.pending) {
      state.pending = step.pending;
      for (const { number } of step.pending) this.#own.delete(number);
    }
    for (const [type, { number }] of events) if (type === "settled" || type === "unclear") this.#own.delete(number);
    if (!step.isWhole) {
      Object.assign(state.tails, step.tails);
      Object.assign(state.cursors, step.cursors);
    }
    for (const [type, detail] of events) {
      if (type === "deliver") this.#deliver(detail); else this.#emit(type, detail);
    }
  }

  /** All that there is, from a tab that has just taken over, or that this one has just met. What is news in it. */
  #takeWhole({ status, pending: open, tails, cursors }) {
    const before = this.#state;
    const hasTail = (room) => before.tails[room]?.length > 0 || tails[room]?.length > 0;
    const rooms = [...new Set([...Object.keys(before.tails), ...Object.keys(tails)])].filter(hasTail);
    const numbers = new Set(open.map(({ number }) => number));
    const gone = before.pending.filter(({ number }) => !numbers.has(number));
    this.#state = Object.assign(before, { tails, cursors });
    for (const [room, cursor] of Object.entries(cursors)) if (!this.#seen.has(Number(room))) this.#seen.set(Number(room), cursor);
    this.#attach();
    queueMicrotask(() => this.#askAgain());
    return [
      ...rooms.map((room) => ["tail", { room: Number(room) }]),
      // The former tab ended before it could tell what became of them.
      ...gone.map(({ number }) => ["unclear", { number }]),
      ["status", status],
    ];
  }

  #deliver(frame) {
    const { room, cursor } = frame;
    if (cursor === undefined) {
      this.#emit("deliver", frame);
      return;
    }
    const last = this.#seen.get(room);
    if (last !== undefined && cursor <= last) return;
    this.#seen.set(room, cursor);
    const begins = frame.type === "skipped" ? frame.from : cursor;
    if (last !== undefined && begins > last + 1) this.#emit("deliver", { type: "skipped", room, from: last + 1, cursor: begins - 1 });
    this.#emit("deliver", frame);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
