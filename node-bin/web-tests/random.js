// The client machine of the pages in any order of events, drawn from a seed, before a small model of a cluster: servers that are lost, refuse for a while, lose their leader and accept,
// lag behind; a host whose records are durable late, and whose page ends at any time.
//
// What must hold, whatever comes:
// - each command is executed once, in the order of submission, and is settled (more than once only if the page ended just then);
// - each room's events are delivered in order and without gaps; once in the life of a page;
// - what a page was told as committed or withdrawn is not tentative on it again, and no message is twice in a tail;
// - nothing is sent without a connection, nor a command before the record of its number is durable.
//
// `run(seeds)` → {passed, failed: ["seed 7: what was wrong"]}.

import { CHOICE, Client, TIMING, WindowFull } from "../web/core/machine.js";

const SERVERS = 3;
const ROOM = 1;
const STEPS = 600;
const COMMANDS = 40;

/** A generator from a seed (mulberry32): the same draws everywhere. */
function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const check = (holds, says) => { if (!holds) throw new Error(says); };
const idOf = (number) => number.toString(16).padStart(32, "0");

/** The cluster: one session, one room, and what each server has applied of it. */
class Cluster {
  nextNumber = 1;
  /** The session's executed numbers, their outcomes, and texts in order. */
  outcomes = new Map();
  executed = [];
  /** The room's events. */
  events = [];
  /** Accepted without a leader, by the session's numbers: {command, id, order, copies}. */
  accepted = new Map();
  withdrawn = new Set();
  /** All that was ever accepted so, by its id: a server that is behind tells of it still. */
  stale = new Map();
  hasLeader = true;
  stamp = 1;

  execute(number, command) {
    const { text } = command.Post;
    this.executed.push(text);
    if (text.startsWith("bad")) {
      this.outcomes.set(number, { Err: { NotAMember: { room: ROOM } } });
      if (this.accepted.has(number)) this.withdrawn.add(idOf(number));
    } else {
      this.events.push(this.posted(number, text));
      const seq = this.events.length;
      this.outcomes.set(number, { Ok: { Done: { Posted: { room: ROOM, seq, id: idOf(number), at: seq } } } });
    }
    this.accepted.delete(number);
    this.nextNumber = number + 1;
  }

  posted(number, text) {
    const cursor = this.events.length + 1;
    const post = { seq: cursor, id: idOf(number), author: 1, author_name: "ada", text, at: cursor, more: {} };
    return { room: ROOM, cursor, kind: { Posted: post } };
  }

  /** Somebody else writes. */
  other() {
    this.events.push(this.posted(1e6 + this.events.length, "from another"));
  }

  submit({ identity: { Number: number }, first_unacked: firstUnacked, command }) {
    if (this.hasLeader) {
      for (const known of this.outcomes.keys()) if (known < firstUnacked) this.outcomes.delete(known);
      // What was accepted before goes first, as its outbox does.
      this.settleAccepted();
      if (number < this.nextNumber) return this.outcomes.get(number) ?? { Err: "Forgotten" };
      // A later one is held until its predecessors are there, and then not for ever.
      if (number > this.nextNumber) return { Err: "Unknown" };
      this.execute(number, command);
      return this.outcomes.get(number);
    }
    if (number < this.nextNumber) return { Err: { NoLeader: { since_ms: 500 } } };
    const known = this.accepted.get(number);
    const last = Math.max(this.nextNumber - 1, ...this.accepted.keys());
    if (!known && number !== last + 1) return { Err: { NoLeader: { since_ms: 500 } } };
    const copies = known ? Math.min(known.copies + 1, 2) : 1;
    this.stamp += 1;
    const order = known?.order ?? [this.stamp, { node: 1, boot: 1 }, number];
    this.accepted.set(number, { command, id: idOf(number), order, copies });
    for (const post of this.tentative()) this.stale.set(post.id, post);
    return { Ok: { Accepted: { id: idOf(number), copies } } };
  }

  settleAccepted() {
    for (const number of [...this.accepted.keys()].sort((a, b) => a - b)) this.execute(number, this.accepted.get(number).command);
  }

  tentative() {
    return Array.from(this.accepted.values(), ({ command, id, order, copies }) => ({
      id, author: 1, author_name: "ada", text: command.Post.text, reply_to: null, written_at: order[0], order, copies,
    }));
  }
}

/** The page, its database, its connection, and what was seen on it. */
class Run {
  constructor(seed) {
    this.random = dice(seed);
    this.cluster = new Cluster();
    this.now = 0;
    this.disk = new Map();
    this.submitted = [];
    this.settled = new Map();
    this.start();
  }

  below(bound) { return Math.trunc(this.random() * bound); }

  start() {
    const timing = { ...TIMING, choice: this.below(2) ? CHOICE : null };
    const config = { name: "ada", token: Array(32).fill(7), servers: SERVERS, window: 16, timing, random: this.random };
    this.client = Client.resume(config, [...this.disk.values()], this.now);
    this.client.followAll(this.now);
    /** Changes that are handed out and not durable. */
    this.unwritten = [];
    this.connection = null;
    this.replies = [];
    this.cursor = this.disk.get("cursor")?.record.cursor ?? null;
    this.shown = new Set();
    this.drain();
  }

  drain() {
    for (let output = this.client.pollOutput(); output; output = this.client.pollOutput()) this.take(output);
    const due = this.client.pollTimeout();
    check(due === null || due >= this.now - 20_000, "a timer is far in the past");
    this.checkTail();
  }

  take(output) {
    switch (output.type) {
      case "Connect": this.connection = { server: output.server, isOpen: false, sent: null }; this.replies = []; break;
      case "Disconnect": this.connection = null; this.replies = []; break;
      case "Send": this.sent(output.request); break;
      case "Keep": this.unwritten.push({ change: output.change, record: output.record }); break;
      case "Forget": this.unwritten.push({ change: output.change, record: null }); break;
      case "Settled": this.settle(output); break;
      case "Deliver": this.deliver(output.event); break;
      case "Withdrawn": this.shown.add(output.post.id); break;
      case "Accepted": break;
      case "Probe": this.client.handleProbed(this.now, output.server, this.below(2) ? { roundTrip: this.below(40), permille: 10 } : null); break;
      case "Unclear": throw new Error("nothing is unclear: no old copy was used");
      case "Rejected": throw new Error("the session is good");
      default:
    }
  }

  settle({ number, result }) {
    const text = this.submitted[number - 1];
    check(text !== undefined, `${number} was never submitted`);
    check(text.startsWith("bad") === "Err" in result, `${text}: ${JSON.stringify(result)}`);
    check(!this.settled.has(number) || this.settled.get(number) < this.life, `${number} settles twice in one life`);
    this.settled.set(number, this.life);
  }

  deliver({ cursor, kind }) {
    check(this.cursor === null || cursor === this.cursor + 1, `event ${cursor} comes after ${this.cursor}`);
    this.cursor = cursor;
    this.shown.add(kind.Posted.id);
  }

  checkTail() {
    const ids = this.client.tail(ROOM).map(({ id }) => id);
    for (const id of ids) check(!this.shown.has(id), `${id} is tentative again`);
    check(new Set(ids).size === ids.length, "a message is twice in its tail");
  }

  sent(request) {
    check(this.connection?.isOpen, "something is sent without a connection");
    const submit = request.ask.Submit;
    if (submit) {
      const { Number: number } = submit.identity;
      const kept = [...this.disk.values()].find(({ record }) => record.wire === number);
      check(kept, `number ${number} is sent before its record is durable`);
    }
    this.replies.push(request);
  }

  /** The server answers its oldest request. */
  reply() {
    const request = this.replies.shift();
    if (!request) return;
    const result = this.answer(request.ask);
    if (this.below(12) === 0) {
      // It was executed, and the answer is lost with the connection.
      this.lose();
      return;
    }
    if (result !== null) this.client.handleReply(this.now, { id: request.id, index: this.cluster.events.length + 1, result });
  }

  answer(ask) {
    const { cluster } = this;
    const name = typeof ask === "string" ? ask : Object.keys(ask)[0];
    const hiccup = this.below(10) === 0 ? [{ Err: { Busy: { retry_after_ms: 20 } } }, { Err: "Unknown" }, { Err: { TooOften: { retry_after_ms: 9 } } }][this.below(3)] : null;
    switch (name) {
      case "SignIn": return hiccup ?? { Ok: { SignedIn: { user: 1, session: 1, name: "ada", next_number: this.below(2) ? cluster.nextNumber : 1 } } };
      case "Submit": return hiccup ?? cluster.submit(ask.Submit);
      case "NextNumber": return hiccup ?? (cluster.hasLeader ? { Ok: { NextNumber: cluster.nextNumber } } : { Err: { NoLeader: { since_ms: 9 } } });
      case "FollowAll": {
        const [, after] = ask.FollowAll.after.find(([room]) => room === ROOM) ?? [ROOM, cluster.events.length];
        // A server that is behind begins earlier.
        this.connection.sent = Math.min(after, this.below(3) ? after : this.below(cluster.events.length + 1));
        return { Ok: { FollowingAll: { cursors: [[ROOM, this.connection.sent]] } } };
      }
      case "Tentative": return { Ok: { Tentative: { room: ROOM, cursor: cluster.events.length, posts: cluster.tentative() } } };
      case "Load": return { Ok: { Load: { permille: 10 } } };
      case "Ping": return { Ok: "Pong" };
      default: throw new Error(`nobody asks that: ${name}`);
    }
  }

  /** The server tells its next event; now and then one is lost on its way, or comes twice. */
  event() {
    const { connection, cluster } = this;
    if (!connection?.isOpen || connection.sent === null || connection.sent >= cluster.events.length) return;
    const at = connection.sent;
    if (this.below(15) !== 0) connection.sent += 1;
    if (this.below(20) !== 0) this.client.handleEvent(this.now, cluster.events[at]);
  }

  hint() {
    const { connection, cluster } = this;
    if (!connection?.isOpen) return;
    const told = [...cluster.withdrawn];
    const posts = cluster.tentative();
    const known = [...cluster.stale.values()].filter(({ id }) => this.shown.has(id));
    if (known.length > 0 && this.below(3) === 0) {
      // By a server that does not know yet what this page has seen.
      const kind = this.below(2) ? { Tail: known } : { Tentative: known[this.below(known.length)] };
      this.client.handleEvent(this.now, { room: ROOM, cursor: 0, kind });
    } else if (told.length > 0 && this.below(3) === 0) {
      const id = told[this.below(told.length)];
      this.client.handleEvent(this.now, { room: ROOM, cursor: 0, kind: { Withdrawn: { id, refusal: { NotAMember: { room: ROOM } } } } });
    } else if (this.below(3) === 0) {
      this.client.handleEvent(this.now, { room: ROOM, cursor: 0, kind: { Tail: posts } });
    } else if (posts.length > 0) {
      this.client.handleEvent(this.now, { room: ROOM, cursor: 0, kind: { Tentative: posts[this.below(posts.length)] } });
    }
  }

  lose() {
    this.connection = null;
    this.replies = [];
    this.client.handleDisconnected(this.now);
  }

  /** Some of what was handed out becomes durable. */
  write(count = 1 + this.below(this.unwritten.length + 1)) {
    const written = this.unwritten.splice(0, count);
    for (const { change, record } of written) {
      const name = typeof change.key === "string" ? change.key : `${Object.keys(change.key)[0]}${change.key.command ?? ""}`;
      if (record === null) this.disk.delete(name); else this.disk.set(name, { key: change.key, record });
    }
    if (written.length > 0) this.client.handleKept(this.now, written.at(-1).change.serial);
  }

  /** The page ends, with what is durable of it; another one begins. */
  restart() {
    this.write(this.below(this.unwritten.length + 1));
    // A command whose record was not durable was never the session's: it is as if it had not been submitted.
    const kept = [...this.disk.values()].filter(({ key }) => key.command !== undefined).map(({ key }) => key.command);
    const known = Math.max((this.disk.get("session")?.record.next_number ?? 1) - 1, ...kept);
    while (this.submitted.length > known) this.submitted.pop();
    this.life += 1;
    this.start();
  }

  life = 0;

  step(isFriendly) {
    const kinds = isFriendly ? 6 : 12;
    switch (this.below(kinds)) {
      case 0: this.reply(); break;
      case 1: if (this.connection && !this.connection.isOpen) this.open(); break;
      case 2: this.pass(this.below(4) ? this.below(60) : this.below(1500)); break;
      case 3: this.write(); break;
      case 4: this.event(); break;
      case 5: this.reply(); break;
      case 6: this.submit(); break;
      case 7: this.hint(); break;
      case 8: if (this.connection && this.below(4) === 0) this.lose(); break;
      case 9: this.cluster.other(); break;
      case 10: this.turn(); break;
      case 11: if (this.below(12) === 0) this.restart(); break;
      default:
    }
    this.drain();
  }

  open() {
    this.connection.isOpen = true;
    this.client.handleConnected(this.now);
  }

  pass(ms) {
    this.now += ms;
    const due = this.client.pollTimeout();
    if (due !== null && due <= this.now) this.client.handleTimeout(this.now);
  }

  turn() {
    if (this.below(4) !== 0) return;
    this.cluster.hasLeader = !this.cluster.hasLeader;
    if (this.cluster.hasLeader) this.cluster.settleAccepted();
  }

  submit() {
    if (this.submitted.length >= COMMANDS) return;
    const text = `${this.below(6) === 0 ? "bad" : "good"} ${this.life} ${this.submitted.length + 1} ${this.below(1e9)}`;
    try {
      const number = this.client.submit(this.now, { Post: { room: { Id: ROOM }, text } });
      check(number === this.submitted.length + 1, `the next number is ${number}`);
      this.submitted.push(text);
    } catch (error) {
      if (!(error instanceof WindowFull)) throw error;
    }
  }

  /** Whatever was wrong is over: everything settles. */
  finish() {
    this.cluster.hasLeader = true;
    this.cluster.settleAccepted();
    for (let nth = 0; nth < 20_000 && !this.isDone(); nth += 1) {
      this.step(true);
      if (nth % 8 !== 0) continue;
      this.pass(30);
      this.drain();
    }
    check(this.isDone(), `${this.client.unsettled} commands do not settle, events through ${this.cursor} of ${this.cluster.events.length}`);
    const wanted = this.submitted.filter((text) => this.cluster.executed.includes(text));
    check(wanted.length === this.submitted.length, "a command was not executed");
    check(new Set(this.cluster.executed).size === this.cluster.executed.length, "a command was executed twice");
    const order = this.cluster.executed.filter((text) => this.submitted.includes(text));
    check(order.join() === this.submitted.join(), `they were executed in another order: ${order.join()} instead of ${this.submitted.join()}`);
    check(this.submitted.every((_, at) => this.settled.has(at + 1)), "a command was never settled");
    check(this.client.tail(ROOM).length === 0, "a tail is left over");
  }

  isDone() {
    return this.client.unsettled === 0 && this.replies.length === 0 && (this.cursor === null || this.cursor === this.cluster.events.length) && this.client.tail(ROOM).length === 0;
  }
}

export function run(seeds = 200) {
  const failed = [];
  for (let seed = 1; seed <= seeds; seed += 1) {
    try {
      const one = new Run(seed);
      for (let nth = 0; nth < STEPS; nth += 1) one.step(false);
      one.finish();
    } catch (error) {
      failed.push(`seed ${seed}: ${error.stack.split("\n").slice(0, 4).join(" | ")}`);
    }
  }
  return { passed: seeds - failed.length, failed };
}
