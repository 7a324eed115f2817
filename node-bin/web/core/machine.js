// The whole client, as a machine that does no I/O: sends, retries, changes server, delivers in order, once; over the end of its page, too.
//
// A faithful port of protocol/src/client: the same inputs and outputs under the same names, the same rules, held to docs/client-vectors.json. docs/CLIENT.md says what they are.
// Its host (session.js) opens connections, keeps records, shows messages and tells the time. After each input it takes all outputs (`pollOutput`, until null), in order, then asks
// for the next timeout and calls `handleTimeout` at that time. Times are milliseconds of a clock that never goes back.
//
// Outputs are objects with a `type`, the names and fields of the Rust enum: {type: "Connect", server}, {type: "Send", request}, {type: "Settled", number, result}, … Requests, answers,
// events and refusals stand as the gateway's enums do in JSON.
//
// What differs: records are plain objects instead of bytes (machine/kept.js); the drawn parts of pauses come from `config.random`.

import { Choosing, choice } from "./machine/choice.js";
import { WindowFull, commands } from "./machine/commands.js";
import { ResumeError, kept, stateOf } from "./machine/kept.js";
import { rooms } from "./machine/rooms.js";
import { search } from "./machine/search.js";
import { tail } from "./machine/tail.js";
import { SENT, WAITING, body, dueAt, earliest, errTag, isDue, isTemporary, okTag, renewed } from "./machine/values.js";

export { ResumeError, WindowFull };

/** How long things may take, in milliseconds. `choice`: how a server is chosen by latency and load (CHOICE); without it they take turns. */
export const TIMING = Object.freeze({
  patience: 2000, probe: 300, silence: 1000, keep_alive: 1000, backoff_min: 50, backoff_max: 2000, again: 1000, rest: 10_000, rest_max: 60_000,
  choice: null,
});

export const CHOICE = Object.freeze({
  measure: 5000, probe: 10_000, stay: 30_000, gain: 5, gain_percent: 20, in_a_row: 3, spread: 10_000, avoid_min: 1000, avoid_max: 60_000,
});

/** Whether an answer must hold what this client has seen. After a restart that is known again with the session's next number, which comes from a read index. */
const isOfOwnPast = (ask) => (ask.History?.at_least ?? null) !== null;

/** One client: one session, on one connection at a time. */
export class Client {
  /**
   * A client that connects at once, whose host keeps nothing. `config`: name, how ("Name", {LogIn: …}), device, token (32 numbers), servers (how many), first (the one to begin
   * with), timing, window (how far numbers may run ahead of the first unsettled one), random (a function that draws from [0, 1)).
   */
  constructor(config, now) {
    this.config = { how: "Name", device: "", first: 0, timing: TIMING, window: 32, random: Math.random, ...config };
    this.server = this.config.first % Math.max(this.config.servers, 1);
    /** {kind: "pausing", until}, {kind: "connecting", since}, {kind: "connected", signedIn} or {kind: "rejected"}. */
    this.line = { kind: "pausing", until: now };
    /** Attempts since something last went well. */
    this.failures = 0;
    /** Answers in a row that say that the server knows no leader, and when the first of them came. */
    this.leaderless = 0;
    this.leaderlessSince = now;
    this.search = null;
    /** How long the present connection, or the last one, took to open. */
    this.openedIn = 0;
    /** By the numbers that their submission returned, ascending. */
    this.commands = new Map();
    this.nextNumber = 1;
    /** The session's next number. */
    this.nextWire = 1;
    /** After a restart: the question for the session's next number, before whose answer nothing is sent. */
    this.check = null;
    /** The next number as the present server takes it: a later life of this client that the server knows of would have used it. */
    this.named = 1;
    /** The present server knows no leader who could answer the question, and of no later life: commands are sent before it is answered. */
    this.ahead = false;
    /** `on`: there is a host that keeps things. `given`: the number of the last change that was handed out. */
    this.journal = { on: false, given: 0 };
    /** Settled numbers of the session whose records are not durably forgotten, and the changes that forget them. */
    this.settling = new Map();
    this.asks = new Map();
    this.nextAsk = 1;
    this.follows = new Map();
    this.nextFollow = 1;
    this.all = null;
    /** Of each room the last event delivered, where something needs it. */
    this.cursors = new Map();
    this.tails = new Map();
    /** The last messages that were delivered as committed, or refused after they had been tentative. */
    this.remembered = [];
    /** As the last sign-in said. */
    this.user = null;
    this.choosing = new Choosing(this.config.servers, now);
    /** Requests under way on this connection: what each is about, and since when. */
    this.sent = new Map();
    this.nextRequest = 1;
    /** The furthest that any answer was from: see `ask`. */
    this.seen = 0;
    /** When the sign-in is sent (again). */
    this.signInAt = null;
    this.heard = now;
    this.outputs = [];
    this.now = now;
  }

  /**
   * A client that goes on where an earlier one ended, with its token, numbers, unsettled commands and cursors; or a new one where nothing was kept. Its host keeps what `Keep` and
   * `Forget` say, in their order, and tells by `handleKept` how far that is durable. `records`: [{key, record}]. Two clients must not go on from the same records: hosts lock them.
   * Throws ResumeError.
   */
  static resume(config, records, now) {
    const state = stateOf(records);
    const client = new Client(config, now);
    client.journal.on = true;
    if (!state) {
      client.keepSession(true);
      return client;
    }
    const { session } = state;
    if (session.name !== client.config.name) {
      throw new ResumeError("other-name", `what was kept is ${session.name}'s: use another place for another user`);
    }
    client.config.token = session.token;
    client.nextNumber = session.next_number;
    client.nextWire = session.next_wire;
    client.cursors = state.cursors;
    client.check = dueAt(now);
    for (const { number, wire, command } of state.commands) {
      client.nextNumber = Math.max(client.nextNumber, number + 1);
      client.nextWire = Math.max(client.nextWire, wire === null ? 0 : wire + 1);
      const stage = wire === null ? WAITING : dueAt(now);
      client.commands.set(number, { command, wire, stage, accepted: null, hurry: false, resumed: true, ahead: false });
    }
    return client;
  }

  /**
   * Asks something that changes nothing; repeated on another server until it is answered. Where `History` says `at_least`, that is raised to what this client's answers have shown, so
   * that what it was told of its own posts, and read before, is there again whichever server answers.
   */
  ask(now, ask) {
    this.now = now;
    const id = this.nextAsk;
    this.nextAsk += 1;
    this.asks.set(id, { ask, stage: dueAt(now) });
    return id;
  }

  /** Whether posts are accepted without a leader, and none was heard of since. */
  get isSearching() { return this.search !== null; }

  handleConnected(now) {
    this.now = now;
    if (this.line.kind !== "connecting") return;
    this.openedIn = Math.max(0, now - this.line.since);
    this.line = { kind: "connected", signedIn: false };
    this.heard = now;
    this.signInAt = now;
  }

  /** The connection is gone, or could not be opened. */
  handleDisconnected(now) {
    this.now = now;
    if (this.line.kind === "connecting" || this.line.kind === "connected") this.moveOn();
  }

  handleReply(now, { id, index, result }) {
    this.now = now;
    this.heard = now;
    const sent = this.sent.get(id);
    if (!sent) return;
    this.sent.delete(id);
    this.seen = Math.max(this.seen, index);
    const { about, at } = sent;
    const kind = okTag(result);
    if (kind === "Pong") this.measured(Math.max(0, now - at), null);
    if (kind === "Load") this.measured(Math.max(0, now - at), body(result.Ok).permille);
    const isLeaderless = this.weigh(about, result);
    this.answered(about, result);
    if (this.leaderless === 0 && !["SignIn", "Ping", "Load"].includes(about.kind)) this.isOfUse();
    if (isLeaderless) this.lookElsewhere();
  }

  answered(about, result) {
    switch (about.kind) {
      case "SignIn": this.signedIn(result); break;
      case "Number": this.answeredNumber(about.of, result); break;
      case "Ask": this.answeredAsk(about.of, result); break;
      case "Follow": this.answeredFollow(about.of, result); break;
      case "All": this.answeredAll(result); break;
      case "Tail": this.answeredTail(about.of, result); break;
      case "NextNumber": this.toldNextNumber(result); break;
      default:
    }
  }

  handleTimeout(now) {
    this.now = now;
    const { probe, keep_alive: keepAlive } = this.config.timing;
    if (this.isOverdue(now)) {
      this.outputs.push({ type: "Disconnect" });
      this.moveOn();
    }
    const isConnected = () => this.line.kind === "connected";
    if (isConnected() && this.silentFor(now) >= probe && !this.isProbing()) this.send({ kind: "Ping" }, "Ping");
    if (now >= this.heard + keepAlive && isConnected() && this.line.signedIn && this.sent.size === 0) this.send({ kind: "Ping" }, "Ping");
    this.choose();
  }

  /** Whether the present server is to be given up. */
  isOverdue(now) {
    const { patience, silence } = this.config.timing;
    switch (this.line.kind) {
      case "connecting": return now >= this.line.since + this.connectPatience();
      case "connected": {
        for (const { at } of this.sent.values()) if (now >= at + patience) return true;
        return this.silentFor(now) >= silence;
      }
      default: return false;
    }
  }

  /** The next output, or null: then ask for the next timeout. */
  pollOutput() {
    if (this.line.kind === "pausing" && this.now >= this.line.until) {
      this.line = { kind: "connecting", since: this.now };
      this.outputs.push({ type: "Connect", server: this.server, hello: { token: null } });
    } else if (this.line.kind === "connected") {
      if (this.line.signedIn) {
        this.sendDue();
      } else if (this.signInAt !== null && this.now >= this.signInAt) {
        this.signInAt = null;
        const { name, token, how, device } = this.config;
        const isPlain = how === "Name" && device === "";
        this.send({ kind: "SignIn" }, isPlain ? { SignIn: { name, token } } : { SignInAs: { name, token, device, how } });
      }
    }
    return this.outputs.shift() ?? null;
  }

  /** When `handleTimeout` is to be called, or null. */
  pollTimeout() {
    const { patience, silence, probe, keep_alive: keepAlive } = this.config.timing;
    switch (this.line.kind) {
      case "pausing": return this.line.until;
      case "connecting": return this.line.since + this.connectPatience();
      case "connected": {
        const { signedIn } = this.line;
        const times = [this.signInAt];
        for (const { at } of this.sent.values()) times.push(at + patience);
        const since = this.waitingSince();
        if (since !== null) times.push(since + (this.isProbing() ? silence : probe));
        if (signedIn) {
          for (const stage of this.stages()) if (stage.kind === "due") times.push(stage.at);
          if (this.sent.size === 0) times.push(this.heard + keepAlive);
          times.push(this.chooseAt());
        }
        return earliest(times);
      }
      default: return null;
    }
  }

  // ---- inside ----

  /** Everything that wants an answer and may be sent. */
  * stages() {
    const knowsItsPast = this.knowsItsNumbers();
    if (this.check !== null) yield this.check;
    // Before the session's next number is known nothing is sent.
    if (knowsItsPast) for (const { stage } of this.commands.values()) yield stage;
    for (const { ask, stage } of this.asks.values()) if (knowsItsPast || !isOfOwnPast(ask)) yield stage;
    for (const { stage } of this.follows.values()) yield stage;
    if (this.all) yield this.all.stage;
    for (const { stage } of this.tails.values()) if (stage) yield stage;
  }

  /** Since when something waits and nothing was heard; null where nothing waits. */
  waitingSince() {
    const oldest = earliest(Array.from(this.sent.values(), ({ at }) => at));
    return oldest === null ? null : Math.max(oldest, this.heard);
  }

  silentFor(now) {
    const since = this.waitingSince();
    return since === null ? 0 : Math.max(0, now - since);
  }

  isProbing() {
    for (const { about } of this.sent.values()) if (about.kind === "Ping") return true;
    return false;
  }

  send(about, ask) {
    const id = this.nextRequest;
    this.nextRequest += 1;
    this.sent.set(id, { about, at: this.now });
    this.outputs.push({ type: "Send", request: { id, ask } });
  }

  /** Sends everything that is due, commands in the order of their numbers. */
  sendDue() {
    const due = [];
    if (this.check !== null && isDue(this.check, this.now)) {
      this.check = SENT;
      due.push([{ kind: "NextNumber" }, "NextNumber"]);
    }
    const knowsItsPast = this.knowsItsNumbers();
    if (knowsItsPast) this.dueCommands(due);
    for (const [id, asked] of this.asks) {
      if (!isDue(asked.stage, this.now) || !(knowsItsPast || !isOfOwnPast(asked.ask))) continue;
      asked.stage = SENT;
      if (isOfOwnPast(asked.ask)) {
        const { History } = asked.ask;
        asked.ask = { History: { ...History, at_least: Math.max(this.seen, History.at_least) } };
      }
      due.push([{ kind: "Ask", of: id }, asked.ask]);
    }
    this.dueFollows(due);
    this.dueTails(due);
    for (const [about, ask] of due) this.send(about, ask);
  }

  dueCommands(due) {
    this.giveNumbers();
    const firstUnacked = this.firstUnacked();
    for (const [number, held] of this.commands) {
      if (held.wire === null || !isDue(held.stage, this.now)) continue;
      held.stage = SENT;
      const { wire, command } = held;
      due.push([{ kind: "Number", of: number }, { Submit: { identity: { Number: wire }, first_unacked: firstUnacked, command } }]);
    }
  }

  signedIn(result) {
    if (okTag(result) === "SignedIn") {
      const { user, name, next_number: named } = body(result.Ok);
      this.failures = 0;
      this.user = user;
      this.named = named;
      this.line = { kind: "connected", signedIn: true };
      this.settledDown();
      this.outputs.push({ type: "SignedIn", server: this.server, user, name });
    } else if ("Err" in result && !isTemporary(result.Err)) {
      this.line = { kind: "rejected" };
      this.outputs.push({ type: "Disconnect" }, { type: "Rejected", refusal: result.Err });
    } else {
      this.signInAt = this.retryAt(result);
    }
  }

  answeredAsk(ask, result) {
    const againAt = this.retryAt(result);
    const asked = this.asks.get(ask);
    if (!asked) return;
    if ("Err" in result && isTemporary(result.Err)) {
      asked.stage = dueAt(againAt);
      return;
    }
    this.asks.delete(ask);
    this.outputs.push({ type: "Answered", ask, result });
  }

  /** When to repeat what was refused for the moment: not before the server says. */
  retryAt(result) {
    const { again, backoff_min: pause, backoff_max: most } = this.config.timing;
    let askedFor = 0;
    switch (errTag(result)) {
      case "Busy": askedFor = Math.min(result.Err.Busy.retry_after_ms, most); break;
      // The request is kept there, and spreads.
      case "TooFewCopies": askedFor = again / 4; break;
      case "OutboxFull": askedFor = again; break;
      default:
    }
    return this.now + askedFor + this.jittered(pause);
  }

  /** Gives up the present server; everything unsettled is sent again to the next one. */
  moveOn() {
    const { backoff_min: min, backoff_max: max } = this.config.timing;
    const atOnce = this.failsInSearch();
    const next = this.afterFailure();
    const rounds = Math.trunc(this.failures / Math.max(this.config.servers, 1));
    const pause = Math.min(min * 2 ** Math.min(rounds, 16), max);
    this.failures += 1;
    this.leave(next);
    if (!atOnce) this.line = { kind: "pausing", until: this.now + this.jittered(pause) };
  }

  /** Goes to another server, at once if nothing else is said. */
  leave(next) {
    const { now } = this;
    this.server = next;
    this.leaderless = 0;
    this.ahead = false;
    this.line = { kind: "pausing", until: now };
    this.sent.clear();
    this.signInAt = null;
    if (this.check) this.check = renewed(this.check, now);
    for (const held of this.commands.values()) held.stage = renewed(held.stage, now);
    for (const asked of this.asks.values()) asked.stage = renewed(asked.stage, now);
    this.followAgain();
  }

  /** Between half of `pause` and all of it, so that many clients of one lost server do not come back at one moment. */
  jittered(pause) {
    return this.within(pause / 2, pause);
  }

  within(from, to) {
    return from + this.config.random() * (to - from);
  }
}

for (const part of [choice, commands, kept, rooms, search, tail]) Object.defineProperties(Client.prototype, Object.getOwnPropertyDescriptors(part));
