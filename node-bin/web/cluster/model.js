// What is known of the cluster, put together from what each of its nodes says.
//
// Nodes may differ: who is cut off knows another term, or no leader. What counts as *the* leader is the claim with the highest term among those that are fresh; who says so of itself goes before others, and
// what was heard before the home node lost its leader does not count against that.

import { duration, nodes } from "./format.js";

const FRESH = 3000;          // ms that an answer counts
const KEEP = 15 * 60e3;      // ms of the timeline that are kept
const EVENTS = 60;
const SAMPLE = 1000;         // ms between points of the chart
const TIMELY = 2500;         // ms without a leader that are worth a word of their own

export class Model extends EventTarget {
  constructor() {
    super();
    this.home = location.origin;
    this.seen = new Map();       // node -> { view, at, ok, why, home }
    this.demo = null;            // what the demo's control says
    this.trouble = "";           // … if it does not
    this.word = "";              // what came of the last button
    this.roundTrips = new Map(); // "1-2" -> µs, as a leader said last
    this.rates = new Map();      // node -> { messages, applied } a second
    this.segments = [];          // { from, to, leader, term }
    this.samples = [];           // { at, value }
    this.events = [];            // { at, text, kind }
    this.warned = new Set();
    this.lastEvent = -1;
    this.totals = [];
    this.began = Date.now();
    setInterval(() => this.tick(), 250);
  }

  changed() { this.dispatchEvent(new Event("change")); }

  // ---- what is heard

  homeIs(address) {
    this.home = address;
    this.changed();
  }

  /** A node's view of the cluster; `live`: from the stream of the page's home. */
  saw(view, address, live) {
    const id = view.node;
    const before = this.seen.get(id);
    const at = Date.now();
    const hadLeader = before && before.ok && before.view.leader !== null;
    const lostLeaderAt = view.leader === null ? (hadLeader || !before ? at : before.lostLeaderAt) : 0;
    this.seen.set(id, { view, at, ok: true, why: "", home: live, lostLeaderAt });
    if (live) {
      this.homeNode = id;
      for (const [other, entry] of this.seen) entry.home = other === id;
    }
    this.measure(id, view, at);
    if (view.round_trips.length) {
      for (const { a, b, us } of view.round_trips) this.roundTrips.set(pairOf(a, b), us);
    }
    if (view.vitals && view.vitals.control) this.control = view.vitals.control;
    this.watchLeader();
    this.changed();
  }

  lost(address, why) {
    for (const [id, entry] of this.seen) {
      if (this.address(id) === address || (entry.home && address === this.home)) { entry.ok = false; entry.why = why; entry.home = false; }
    }
    this.changed();
  }

  sawDemo(state) {
    this.demo = state;
    this.trouble = "";
    const first = this.lastEvent < 0;
    for (const event of state.events) {
      if (event.number <= this.lastEvent) continue;
      this.lastEvent = event.number;
      this.note(event.text, event.at_ms, "deed", first);
    }
    if (first) this.lastEvent = Math.max(this.lastEvent, 0);
    this.watchLeader();
    this.changed();
  }

  lostDemo(why) {
    this.trouble = why;
    this.changed();
  }

  said(word) {
    this.word = word;
    this.changed();
  }

  /** How much a node does a second, over the last two seconds or so. */
  measure(id, view, at) {
    const known = this.rates.get(id) || { points: [] };
    const messages = view.vitals ? view.vitals.messages : 0;
    const points = known.points.filter((point) => at - point.at < 4000 && point.messages <= messages && point.applied <= view.applied);
    points.push({ at, messages, applied: view.applied });
    const first = points[0];
    const seconds = (at - first.at) / 1000;
    const known2 = seconds > 0.5;
    this.rates.set(id, {
      points,
      messages: known2 ? (messages - first.messages) / seconds : known.messages || 0,
      applied: known2 ? (view.applied - first.applied) / seconds : known.applied || 0,
    });
  }

  tick() {
    this.watchLeader();
    this.watchWarnings();
    this.sample();
    const oldest = Date.now() - KEEP;
    this.segments = this.segments.filter((segment) => segment.to > oldest);
    this.samples = this.samples.filter((sample) => sample.at > oldest);
    this.changed();
  }

  /** One more point of what is committed a second. */
  sample() {
    const at = Date.now();
    const load = this.demo && !this.trouble ? this.demo.load : null;
    const applied = Math.max(0, ...[...this.seen.values()].filter((entry) => entry.ok).map((entry) => entry.view.applied));
    const total = load ? load.committed : applied;
    if (this.totals.length && at - this.totals.at(-1).at < SAMPLE) return;
    // Over two seconds: what is told comes in pieces.
    this.totals = [...this.totals.filter((point) => at - point.at < 2.5 * SAMPLE && point.load === Boolean(load)), { at, total, load: Boolean(load) }];
    const first = this.totals[0];
    if (at > first.at) this.samples.push({ at, value: Math.max(0, total - first.total) / ((at - first.at) / 1000), asked: load ? load.per_second : null });
  }

  // ---- what follows from it

  /** The page's home sees the members; if it sees none, whoever was heard last. */
  get view() {
    const home = this.seen.get(this.homeNode);
    if (home && home.ok) return home.view;
    const fresh = [...this.seen.values()].sort((a, b) => b.ok - a.ok || b.at - a.at)[0];
    return fresh ? fresh.view : null;
  }

  members() {
    return this.view ? this.view.nodes.map((node) => ({ ...node, address: trimmed(node.address) })) : [];
  }

  address(id) {
    const node = this.members().find((member) => member.id === id);
    return node ? node.address : undefined;
  }

  /** Where a page can go: the home node by the name by which it was reached. */
  addresses() {
    const known = this.members().map((node) => (node.id === this.homeNode ? this.home : node.address)).filter(Boolean);
    return known.length ? known : [location.origin];
  }

  /** Whether the page's stream comes from this node. */
  isHome(id) {
    const entry = this.seen.get(id);
    return Boolean(entry) && entry.home && entry.ok;
  }

  inDemo(id) { return this.demo ? this.demo.nodes.find((node) => node.id === id) : undefined; }

  /** The demo knows that it does not run, or stands still. */
  isDown(id) {
    const node = this.inDemo(id);
    return Boolean(node) && !this.trouble && node.state !== "running";
  }

  /** What this node said lately, or null. */
  fresh(id) {
    const entry = this.seen.get(id);
    return entry && entry.ok && Date.now() - entry.at < (entry.home ? 2 * FRESH : FRESH) && !this.isDown(id) ? entry.view : null;
  }

  isAlive(id) { return this.fresh(id) !== null; }

  /** { leader, term } as above; leader null: nobody reaches one. undefined: nothing is known. */
  get truth() {
    const homeEntry = this.seen.get(this.homeNode);
    const lostAt = homeEntry && homeEntry.ok && homeEntry.view.leader === null && !this.isDown(this.homeNode) ? homeEntry.lostLeaderAt : 0;
    const claims = [];
    let heard = false;
    let term = 0;
    for (const [id, entry] of this.seen) {
      const view = this.fresh(id);
      if (!view) continue;
      heard = true;
      term = Math.max(term, view.term);
      if (view.leader === null || this.isDown(view.leader) || entry.at < lostAt) continue;
      claims.push({ leader: view.leader, term: view.term, self: view.leader === id, at: entry.at });
    }
    if (!heard) return undefined;
    claims.sort((a, b) => b.term - a.term || b.self - a.self || b.at - a.at);
    return claims.length ? { leader: claims[0].leader, term: claims[0].term } : { leader: null, term };
  }

  /** What a leader alone knows, from the leader. */
  get leaderView() {
    const truth = this.truth;
    return truth && truth.leader !== null ? this.fresh(truth.leader) : null;
  }

  /** leader, follower, candidate, alone (reaches no leader), paused, ended, silent, unknown */
  state(id) {
    const demo = this.trouble ? undefined : this.inDemo(id);
    if (demo && demo.state !== "running") return demo.state;
    const view = this.fresh(id);
    if (!view) return this.seen.has(id) ? "silent" : "unknown";
    const truth = this.truth;
    if (truth && truth.leader === id) return "leader";
    const self = view.nodes.find((node) => node.id === id);
    if (self && self.role === "candidate") return "candidate";
    return view.leader === null ? "alone" : "follower";
  }

  isCut(a, b) {
    return Boolean(this.demo) && !this.trouble && this.demo.cuts.some(([x, y]) => (x === a && y === b) || (x === b && y === a));
  }

  /** up, cut (by the demo), down, unknown */
  link(a, b) {
    if (this.isCut(a, b)) return "cut";
    if (!this.isAlive(a) || !this.isAlive(b)) return "down";
    const says = (from, to) => {
      const view = this.fresh(from);
      const node = view && view.nodes.find((other) => other.id === to);
      return node ? node.reachable : undefined;
    };
    const [one, other] = [says(a, b), says(b, a)];
    if (one === undefined && other === undefined) return "unknown";
    return one || other ? "up" : "down";
  }

  roundTrip(a, b) { return this.roundTrips.get(pairOf(a, b)); }

  /** Who hears whom, by links: groups of living nodes, the largest first. */
  sides() {
    const living = this.members().map((node) => node.id).filter((id) => this.isAlive(id));
    const sides = [];
    const left = new Set(living);
    for (const id of living) {
      if (!left.delete(id)) continue;
      const side = [id];
      for (const from of side) {
        for (const to of living) {
          if (left.has(to) && ["up", "unknown"].includes(this.link(from, to))) { left.delete(to); side.push(to); }
        }
      }
      sides.push(side.sort((a, b) => a - b));
    }
    return sides.sort((a, b) => b.length - a.length || a[0] - b[0]);
  }

  /** How many entries a node lacks of the leader's log, or null. */
  behind(id) {
    const view = this.leaderView;
    const node = view && view.nodes.find((other) => other.id === id);
    if (!node || node.behind === null) return null;
    return node.behind;
  }

  /** The place of a node in the line of leaders: 1 leads next; 0: none. */
  turn(id) {
    const view = this.leaderView || this.view;
    const truth = this.truth;
    if (!view) return 0;
    const line = view.succession.filter((other) => !truth || other !== truth.leader);
    return line.indexOf(id) + 1;
  }

  warnings() {
    const warnings = [];
    const say = (id, text, bad) => warnings.push({ key: `${id} ${text}`, id, text, bad });
    for (const { id } of this.members()) {
      const view = this.fresh(id);
      if (!view) continue;
      for (const other of view.diverged) {
        say(id, `Node ${id} finds that the state of node ${other.node} differs from its own since entry ${other.since}. This must not happen: keep both data folders and report it.`, true);
      }
      if (view.repairing) say(id, `Node ${id}: its log has lost something and is being repaired from the others.`, true);
      if (view.stalled) say(id, `Node ${id}: its disk owes a write for too long.`, false);
      if (view.waiting_for.length) say(id, `The first election waits for ${nodes(view.waiting_for)}.`, false);
      for (const { node, ms } of view.clocks_ahead) say(id, `The clock of node ${node} is ${duration(ms * 1000)} ahead of that of node ${id}.`, false);
      const { disk } = view.vitals || {};
      if (disk && disk.free !== null && disk.free < 1e9) say(id, `Node ${id}: less than 1 GB is free on its disk.`, true);
    }
    const seen = new Set();
    return warnings.filter((warning) => !seen.has(warning.text) && seen.add(warning.text));
  }

  watchWarnings() {
    const now = this.warnings();
    for (const { key, text } of now) {
      if (!this.warned.has(key)) this.note(text, Date.now(), "warning");
    }
    this.warned = new Set(now.map((warning) => warning.key));
  }

  // ---- the past

  watchLeader() {
    const truth = this.truth;
    if (!truth) return;
    const now = Date.now();
    const last = this.segments.at(-1);
    // Who has just begun to look has not asked everybody yet.
    if (!last && truth.leader === null && now - this.began < TIMELY) return;
    if (last && last.leader === truth.leader && (truth.leader === null || last.term === truth.term)) {
      last.to = now;
      if (truth.leader === null && now - last.from > TIMELY && !last.said && this.segments.length > 1) {
        last.said = true;
        this.note("nobody leads", now, "leader");
      }
      return;
    }
    if (last) last.to = now;
    this.segments.push({ from: now, to: now, ...truth });
    if (!last || truth.leader === null) return;
    const before = last.leader === null ? this.segments.at(-3) : last;
    if (before && before.leader === truth.leader && before.term === truth.term) return;
    const gap = before && last.leader === null && last.to - last.from > 5 ? `, ${duration((last.to - last.from) * 1000)} after the last one was lost` : "";
    this.note(`node ${truth.leader} leads term ${truth.term}${gap}`, now, "leader");
  }

  note(text, at, kind, quiet = false) {
    this.events.push({ text, at, kind });
    this.events.sort((a, b) => a.at - b.at);
    this.events = this.events.slice(-EVENTS);
    if (!quiet) this.dispatchEvent(new CustomEvent("note", { detail: text }));
  }
}

export const pairOf = (a, b) => `${Math.min(a, b)}-${Math.max(a, b)}`;

const trimmed = (address) => address.replace(/\/$/, "");
