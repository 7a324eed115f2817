// The host of the client machine, in the one tab of a browser that runs the session: opens its connections, keeps its records, tells the time, and tells all tabs what comes of it.
//
// - After each input all outputs are taken, in order, and told as one *step*: {events: [[type, detail]], status?, pending?, tails?, cursors?}. So no tab draws between two of them.
// - Records go to the database in the order in which they are handed out (`#write`), and the machine is told how far they are durable. A post is sent only after that.
// - A command has a *tag*, by which the tabs know it: its number in the seam (session.js). It stands beside the machine's record, so that the next run, or another tab's, knows it, too.
// - After a long time away the rooms are not replayed event by event: following them begins now, and the screen is told what it skips.
// - Every command begins in the inbox. More of them than the machine's window holds stay there, and are given to it as it settles others.

import { CHOICE, Client, TIMING, WindowFull } from "./machine.js";
import { keyText } from "./machine/kept.js";
import { Superseded } from "./keep.js";
import { request, serversOf } from "./http.js";
import { messageId } from "./id.js";
import { done, pending, tentative, why } from "./shown.js";
import { Wire, probe } from "./wire.js";

/** A page is one of many clients of its node, and open all day: it asks for a sign of life, and for a better node, less often than a terminal does. */
const TIMES = { ...TIMING, keep_alive: 2500, choice: { ...CHOICE, measure: 15_000, probe: 30_000, stay: 60_000 } };
const WINDOW = 32;
const LOOK_EVERY = 5000;   // ms between looks at the cluster
const LOOK_SOON = 700;     // while there is no leader, or no connection
const LAZY = 400;          // ms that records may wait to which nothing is due
const NOTE_EVERY = 60_000; // ms between notes that the session is followed
const AWAY = 900_000;      // ms without such a note after which nothing is replayed
const TOLD = 500;          // tags of commands that are settled, remembered against an entry of the inbox that comes late

const now = () => performance.now();

/** The token's hex digits as the gateway's numbers. */
const bytes = (hex) => hex.match(/../g).map((byte) => parseInt(byte, 16));

export class Host {
  #keep; #session; #epoch; #tell; #machine; #wire; #timer = null;
  #isStopped = false;
  #servers;
  /** By the machine's numbers: {tag, at}; and back. */
  #notes = new Map();
  #numbers = new Map();
  /** Commands that the machine has no room for: {tag, command, at}. */
  #waiting = [];
  #settled = [];
  #asks = new Map();
  /** Changes that are to be written, through which of the machine's, and whether something waits for them. */
  #changes = []; #through = 0; #isUrgent = false; #writing = null; #lazy = null;
  /** The problem, and the API's form of the event, of the input under way. */
  #problem = null;
  #shown = new WeakMap();
  #status;
  /** The pending commands that the tabs were told last, as text. */
  #told = "[]";
  #leaderless = 0;
  #looking = null;
  #noted = -Infinity;
  /** Rooms that are not replayed, and where the former run was in them. */
  #skipped = new Map();

  /**
   * `taken`: what the keep said when this tab took over; `members`, `followed`: what it knows of the cluster, and when the session was followed last. `tell(step)`: tells all tabs. `ended(why)`: the session is over ({kind, detail}), or another tab runs it (null).
   */
  constructor(keep, taken, { members = [], followed = 0 }, tell, ended) {
    this.#keep = keep;
    this.#epoch = taken.epoch;
    this.#session = taken.session;
    this.#tell = tell;
    this.ended = ended;
    this.#servers = serversOf(members);
    const { user, token } = taken.session;
    const config = { name: user.name, token: bytes(token), servers: this.#servers.length, timing: TIMES, window: WINDOW };
    const isAway = followed < Date.now() - AWAY;
    this.#machine = this.#resume(config, taken.records.filter((row) => !(isAway && this.#skip(row))));
    for (const { key, note } of taken.records) if (key.command !== undefined) this.#note(key.command, note ?? { tag: -key.command, at: 0 });
    const known = new Set(this.#numbers.keys());
    this.#waiting = taken.inbox.filter(({ tag }) => !known.has(tag)).sort((a, b) => a.tag - b.tag);
    this.#status = { server: null, connected: false, signedIn: false, leader: true, since: Date.now(), members: this.#servers };
    this.#wire = new Wire({
      connected: () => this.#input(() => this.#machine.handleConnected(now())),
      disconnected: () => this.#input(() => this.#machine.handleDisconnected(now())),
      reply: (reply, problem) => this.#input(() => this.#machine.handleReply(now(), reply), problem),
      event: (event, shown) => {
        this.#shown.set(event, shown);
        this.#input(() => this.#machine.handleEvent(now(), event), shown.why);
      },
      error: () => { /* The connection ends, and the next sign-in says more. */ },
    });
  }

  /** Whether a record is a room's place, which is given up. */
  #skip({ name, key, record }) {
    if (key.cursor === undefined) return false;
    this.#skipped.set(record.room, record.cursor);
    this.#changes.push({ drop: name });
    return true;
  }

  /** Records that this version cannot read are those of a newer one, or damaged: the session goes on without them. */
  #resume(config, records) {
    const kept = records.map(({ key, record }) => ({ key, record }));
    try {
      return this.#keep.isDurable ? Client.resume(config, kept, now()) : new Client(config, now());
    } catch (error) {
      console.warn("what was kept cannot be used", error);
      this.#changes.push(...records.map(({ name }) => ({ drop: name })));
      return Client.resume(config, [], now());
    }
  }

  start() {
    this.#input(() => this.#machine.followAll(now()));
    this.#look();
  }

  /** Another tab goes on, or nobody does. */
  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lazy);
    clearTimeout(this.#looking);
    this.#wire.disconnect();
    for (const { reject } of this.#asks.values()) reject(new Superseded());
  }

  /** What is not written yet is handed to the database: nobody may look at this page for a while. */
  flush() {
    this.#write();
  }

  // ---- what tabs ask

  /** Has a command done, which stands in the inbox. */
  submit({ tag, command, at }) {
    if (this.#numbers.has(tag) || this.#settled.includes(tag) || this.#waiting.some((other) => other.tag === tag)) return;
    this.#replaceRead(command);
    this.#waiting.push({ tag, command, at });
    this.#input(() => {});
  }

  /** Only the last mark of what was read counts: one that was never sent gives way. */
  #replaceRead({ Read: read }) {
    if (!read) return;
    const isSame = ({ command }) => command.Read?.room.Id === read.room.Id && command.Read.seq <= read.seq;
    for (const entry of this.#waiting.filter(isSame)) this.withdraw(entry.tag);
    for (const [number, command, status] of this.#machine.open()) {
      if (status === "waiting" && isSame({ command })) this.withdraw(this.#notes.get(number).tag);
    }
  }

  /** Takes back what was certainly never sent: whether it was so. */
  withdraw(tag) {
    const waits = this.#waiting.findIndex((entry) => entry.tag === tag);
    const number = this.#numbers.get(tag);
    let isTaken = waits >= 0;
    this.#input(() => {
      if (waits >= 0) {
        this.#waiting.splice(waits, 1);
        this.#change({ unbox: tag }, false);
        this.#forgetTag(tag);
      } else if (number !== undefined && this.#machine.withdraw(now(), number) !== null) {
        isTaken = true;
        this.#forgetNote(number);
      }
    });
    return isTaken;
  }

  /** Asks something that changes nothing; a promise of its result as the gateway spells it. */
  ask(question) {
    return new Promise((resolve, reject) => {
      this.#input(() => this.#asks.set(this.#machine.ask(now(), question), { resolve, reject }));
    });
  }

  /** Commands that other tabs have put into the inbox. */
  async readInbox() {
    const entries = await this.#keep.inbox();
    if (this.#isStopped) return;
    for (const entry of entries.sort((a, b) => a.tag - b.tag)) if (entry.of === this.#session.id) this.submit(entry);
  }

  /** All that a tab shows. */
  snapshot() {
    const tails = {};
    for (const room of this.#machine.tails.keys()) tails[room] = this.#tail(room);
    return { events: [], status: this.#status, pending: this.#pending(), tails, cursors: Object.fromEntries(this.#machine.cursors), isWhole: true };
  }

  #tail(room) {
    return this.#machine.tail(room).map(tentative);
  }

  #pending() {
    // From its number on a message's id is known, also to a page that was loaded anew and has not heard yet that it was accepted.
    const id = (wire) => (wire === null ? null : messageId(this.#session.id, wire));
    const given = this.#machine.open().map(([number, command, status, wire]) => pending(this.#notes.get(number), command, status, id(wire)));
    return [...given, ...this.#waiting.map((entry) => pending(entry, entry.command, "waiting"))];
  }

  // ---- the machine

  /** One input, and all that comes of it. */
  #input(act, problem = null) {
    if (this.#isStopped) return;
    this.#problem = problem;
    const step = { events: [] };
    act();
    this.#feed();
    this.#drain(step);
    // What has settled may have made room.
    if (this.#feed()) this.#drain(step);
    this.#problem = null;
    this.#seeStatus(step);
    step.pending = this.#pending();
    if (this.#changes.length > 0) this.#writeSoon();
    if (!this.#isStopped) this.#schedule();
    const told = JSON.stringify(step.pending);
    if (step.events.length > 0 || told !== this.#told) this.#tell(step);
    this.#told = told;
  }

  /** Gives the machine what it has room for: whether there was anything. */
  #feed() {
    let fed = 0;
    while (this.#waiting.length > 0) {
      const [{ tag, command, at }] = this.#waiting;
      try {
        this.#note(this.#machine.submit(now(), command), { tag, at });
      } catch (error) {
        if (error instanceof WindowFull) break;
        throw error;
      }
      this.#waiting.shift();
      // Its record is among the outputs: both are written in one transaction.
      this.#change({ unbox: tag }, false);
      fed += 1;
    }
    return fed > 0;
  }

  #drain(step) {
    for (let output = this.#machine.pollOutput(); output; output = this.#machine.pollOutput()) this.#take(output, step);
  }

  #take(output, step) {
    const { type, number } = output;
    switch (type) {
      case "Connect": this.#wire.connect(this.#servers[output.server]); break;
      case "Disconnect": this.#wire.disconnect(); break;
      case "Send": this.#wire.send(output.request); break;
      case "SignedIn": this.#lookSoon(0); break;
      case "Keep": this.#kept(output.change, output.record, step); break;
      case "Forget":
        this.#through = output.change.serial;
        this.#change({ drop: keyText(output.change.key) }, false);
        break;
      case "Settled": {
        const result = "Ok" in output.result ? { ok: done(output.result.Ok) } : { refused: why(this.#problem, output.result.Err) };
        step.events.push(["settled", { number: this.#forgetNote(number), result }]);
        break;
      }
      case "Unclear": step.events.push(["unclear", { number: this.#forgetNote(number) }]); break;
      case "Accepted":
        step.events.push(["accepted", { number: this.#notes.get(number)?.tag, id: output.id, copies: output.copies }]);
        this.#lookSoon(LOOK_SOON);
        break;
      case "Answered":
        this.#asks.get(output.ask)?.resolve(output.result);
        this.#asks.delete(output.ask);
        break;
      case "Deliver": this.#deliver(output.event, step); break;
      case "Tail":
        (step.tails ??= {})[output.room] = this.#tail(output.room);
        step.events.push(["tail", { room: output.room }]);
        break;
      case "Withdrawn":
        step.events.push(["withdrawn", { room: output.room, id: output.post.id, message: tentative(output.post), why: why(this.#problem, output.refusal) }]);
        break;
      case "Unfollowed": step.events.push(["unfollowed", { room: output.room.Id ?? output.room.Name }]); break;
      case "Probe": this.#probe(output.server); break;
      case "Rejected": this.#rejected(output.refusal); break;
      default: throw new Error(`the machine asks for something unknown: ${type}`);
    }
  }

  #deliver(event, step) {
    const shown = this.#shown.get(event);
    step.events.push(["deliver", shown]);
    if (event.cursor > 0) (step.cursors ??= {})[event.room] = event.cursor;
  }

  async #probe(server) {
    const address = this.#servers[server];
    const found = await probe(address, now);
    const place = this.#servers.indexOf(address);
    if (place >= 0) this.#input(() => this.#machine.handleProbed(now(), place, found));
  }

  #rejected(refusal) {
    const reason = { ...why(this.#problem, refusal), pending: this.#pending() };
    this.stop();
    this.ended(reason);
  }

  #schedule() {
    clearTimeout(this.#timer);
    const next = this.#machine.pollTimeout();
    if (next === null) return;
    this.#timer = setTimeout(() => this.#input(() => this.#machine.handleTimeout(now())), Math.max(0, Math.ceil(next - now())));
  }

  // ---- tags

  #note(number, note) {
    this.#notes.set(number, note);
    this.#numbers.set(note.tag, number);
  }

  #forgetTag(tag) {
    this.#settled.push(tag);
    if (this.#settled.length > TOLD) this.#settled.shift();
  }

  /** A command is settled: its tag. */
  #forgetNote(number) {
    const { tag } = this.#notes.get(number);
    this.#notes.delete(number);
    this.#numbers.delete(tag);
    this.#forgetTag(tag);
    return tag;
  }

  // ---- what is kept

  #kept({ serial, key, sync }, record, step) {
    this.#through = serial;
    if (key.cursor !== undefined) this.#sawPlace(record, step);
    const note = key.command === undefined ? undefined : this.#notes.get(key.command);
    this.#change({ put: { name: keyText(key), of: this.#session.id, key, record, note } }, sync);
  }

  /** A room is followed from this place on: what lies before it, since the last time, is skipped. */
  #sawPlace({ room, cursor }, step) {
    const last = this.#skipped.get(room);
    if (last === undefined) return;
    this.#skipped.delete(room);
    (step.cursors ??= {})[room] = cursor;
    if (cursor > last) step.events.push(["deliver", { type: "skipped", room, from: last + 1, cursor }]);
  }

  #change(change, isUrgent) {
    this.#changes.push(change);
    this.#isUrgent ||= isUrgent;
  }

  #writeSoon() {
    if (this.#isUrgent) this.#write(); else this.#lazy ??= setTimeout(() => this.#write(), LAZY);
  }

  /** Writes what has come up, one transaction after the other. */
  async #write() {
    clearTimeout(this.#lazy);
    this.#lazy = null;
    if (this.#writing || this.#changes.length === 0) return;
    const [changes, through, isUrgent] = [this.#changes, this.#through, this.#isUrgent];
    [this.#changes, this.#isUrgent] = [[], false];
    this.#writing = this.#keep.write(this.#epoch, changes, isUrgent);
    try {
      await this.#writing;
    } catch (error) {
      if (error instanceof Superseded) {
        this.stop();
        this.ended(null);
        return;
      }
      // The disk is full, say. What was to be kept is in memory, and the session goes on as in a private window.
      console.warn("the browser keeps nothing more", error);
    }
    this.#writing = null;
    this.#input(() => this.#machine.handleKept(now(), through));
    if (this.#isUrgent) this.#write();
  }

  // ---- the cluster

  #seeStatus(step) {
    const { line, server } = this.#machine;
    const connected = line.kind === "connected";
    const before = this.#status;
    const seen = {
      server: this.#servers[server] ?? null, connected, signedIn: connected && line.signedIn, leader: this.#leaderless < 2, members: this.#servers,
    };
    if (Object.keys(seen).every((name) => seen[name] === before[name])) return;
    const isNews = seen.server !== before.server || seen.signedIn !== before.signedIn || seen.leader !== before.leader;
    this.#status = { ...seen, since: isNews ? Date.now() : before.since };
    step.status = this.#status;
    step.events.push(["status", this.#status]);
  }

  #lookSoon(within) {
    clearTimeout(this.#looking);
    this.#looking = setTimeout(() => this.#look(), within);
  }

  /** Looks at the cluster: who is in it, and whether this side has a leader. */
  async #look() {
    clearTimeout(this.#looking);
    const { server, signedIn } = this.#status;
    try {
      const list = signedIn ? [server] : [...new Set([server, ...this.#servers])];
      const view = await request(() => list, "GET", "/api/v1/cluster", { within: 2000 });
      if (this.#isStopped) return;
      this.#leaderless = view.leader === null ? this.#leaderless + 1 : 0;
      const members = view.nodes.map(({ address }) => address);
      this.#input(() => this.#setServers(members));
    } catch {
      // Whether a server is given up is for the machine to find out.
    }
    const isWell = this.#status.signedIn && this.#leaderless === 0;
    if (this.#status.signedIn && now() >= this.#noted + NOTE_EVERY) {
      this.#noted = now();
      this.#keep.set("followed", Date.now()).catch(() => {});
    }
    if (!this.#isStopped) this.#lookSoon(isWell ? LOOK_EVERY : LOOK_SOON);
  }

  #setServers(members) {
    const servers = serversOf(members);
    if (servers.join() === this.#servers.join()) return;
    const was = servers.map((server) => this.#servers.indexOf(server)).map((place) => (place < 0 ? null : place));
    this.#servers = servers;
    this.#machine.setServers(now(), was);
    this.#keep.set("members", members).catch(() => {});
  }
}
