// Which server to be connected to. A port of protocol/src/client/choice.rs, whose rules it has. Times are milliseconds, figures microseconds.

import { earliest } from "./values.js";

/** What a thousandth of load counts for, in microseconds. */
const LOAD_WEIGHT = 100;

/** What is known of one server. */
class Server {
  /** Smoothed, in microseconds. */
  roundTrip = null;
  load = 0;
  /** In a row. */
  failures = 0;
  avoidedUntil = 0;
  /** Probes in a row at which it was clearly better than the present server. */
  better = 0;

  figure() {
    return this.roundTrip === null ? null : this.roundTrip + this.load * LOAD_WEIGHT;
  }

  measured(roundTrip, load) {
    const sample = Math.trunc(roundTrip * 1000);
    this.roundTrip = this.roundTrip === null ? sample : Math.trunc((this.roundTrip * 7 + sample) / 8);
    this.load = load ?? this.load;
  }
}

export class Choosing {
  constructor(servers, now) {
    this.servers = Array.from({ length: servers }, () => new Server());
    /** Since when the present server has the session. */
    this.since = now;
    this.measureAt = now;
    this.probeAt = now;
    /** The server that is being probed, and since when: {of, since}. */
    this.probing = null;
    /** The one that was probed last: they take turns. */
    this.probed = 0;
    /** A move that is decided, unless it is no good any more by then: {to, at}. */
    this.moving = null;
  }
}

/** Compares tuples of numbers. */
function compareTuples(a, b) {
  for (let nth = 0; nth < a.length; nth += 1) if (a[nth] !== b[nth]) return a[nth] < b[nth] ? -1 : 1;
  return 0;
}

export const choice = {
  /** The list of servers has changed. `was`: for each of the new list its place in the old one, or null. A present server that is gone is left; with an empty list nothing is done. */
  setServers(now, was) {
    this.now = now;
    if (was.length === 0) return;
    const place = (old) => {
      const found = was.indexOf(old);
      return found < 0 ? undefined : found;
    };
    const { choosing } = this;
    choosing.servers = was.map((old) => choosing.servers[old] ?? new Server());
    this.config.servers = was.length;
    const { moving, probing } = choosing;
    choosing.moving = moving && place(moving.to) !== undefined ? { ...moving, to: place(moving.to) } : null;
    choosing.probing = probing && place(probing.of) !== undefined ? { ...probing, of: place(probing.of) } : null;
    choosing.probed = place(choosing.probed) ?? 0;
    this.search?.renumber(place);
    const present = place(this.server);
    if (present !== undefined) {
      this.server = present;
      return;
    }
    this.server = was.length - 1;
    if (this.line.kind === "connecting" || this.line.kind === "connected") {
      this.outputs.push({ type: "Disconnect" });
      this.leave(this.best(null));
    } else {
      this.server = this.best(null);
    }
  },

  /** What a probe has found: {roundTrip, permille}, the round trip of `Load` and its answer, or null. */
  handleProbed(now, server, found) {
    this.now = now;
    const rules = this.config.timing.choice;
    if (!rules || this.choosing.probing?.of !== server) return;
    this.choosing.probing = null;
    if (!found) {
      this.avoid(server);
      return;
    }
    const known = this.choosing.servers[server];
    if (!known) return;
    known.measured(found.roundTrip, found.permille);
    known.failures = 0;
    known.avoidedUntil = now;
    known.better = this.isClearlyBetter(server) ? known.better + 1 : 0;
    const hasStayed = now >= this.choosing.since + rules.stay;
    if (known.better >= rules.in_a_row && hasStayed && !this.choosing.moving) {
      this.choosing.moving = { to: server, at: now + this.within(0, rules.spread) };
    }
  },

  /** The present server has answered something without waiting for others. */
  measured(roundTrip, load) {
    if (this.config.timing.choice) this.choosing.servers[this.server]?.measured(roundTrip, load);
  },

  /** The session is on the present server. */
  settledDown() {
    const rules = this.config.timing.choice;
    if (!rules) return;
    this.choosing.since = this.now;
    this.choosing.measureAt = this.now;
    this.choosing.moving = null;
    for (const server of this.choosing.servers) server.better = 0;
    this.choosing.probeAt = this.now + this.within(rules.probe / 2, rules.probe);
  },

  /** The present server has done something for this client. */
  isOfUse() {
    const known = this.choosing.servers[this.server];
    if (known) known.failures = 0;
  },

  /** Where to go when the present server is given up. */
  afterFailure() {
    this.avoid(this.server);
    return this.best(this.server);
  },

  avoid(server) {
    const rules = this.config.timing.choice;
    const known = this.choosing.servers[server];
    if (!rules || !known) return;
    known.better = 0;
    const pause = Math.min(rules.avoid_min * 2 ** Math.min(known.failures, 16), rules.avoid_max);
    known.failures += 1;
    known.avoidedUntil = this.now + this.within(pause / 2, pause);
  },

  /** The best of those that are not avoided, in a search of those that it has not tried; the order of the list, from the one after the present, decides between equals. */
  best(givenUp) {
    const count = Math.max(this.config.servers, 1);
    const first = givenUp === null ? 0 : (givenUp + 1) % count;
    const order = (server) => {
      const known = this.choosing.servers[server] ?? new Server();
      const avoided = known.avoidedUntil > this.now;
      const figure = avoided ? known.avoidedUntil : known.figure() ?? Infinity;
      return [this.rankInSearch(server), Number(avoided), figure, (server + count - first) % count];
    };
    let [best, least] = [0, order(0)];
    for (let server = 1; server < count; server += 1) {
      const place = order(server);
      if (compareTuples(place, least) < 0) [best, least] = [server, place];
    }
    return best;
  },

  isClearlyBetter(server) {
    const rules = this.config.timing.choice;
    const other = this.choosing.servers[server]?.figure() ?? null;
    const present = this.choosing.servers[this.server]?.figure() ?? null;
    if (!rules || other === null || present === null) return false;
    const isAvoided = this.choosing.servers[server].avoidedUntil > this.now;
    const gain = Math.max(0, present - other);
    return !isAvoided && gain > rules.gain * 1000 && gain * 100 > present * rules.gain_percent;
  },

  /** What is due on a connection that has the session. */
  choose() {
    const rules = this.config.timing.choice;
    if (!rules) return;
    const { choosing, now } = this;
    if (choosing.probing && now >= choosing.probing.since + this.config.timing.patience) {
      const { of } = choosing.probing;
      choosing.probing = null;
      this.avoid(of);
    }
    if (!(this.line.kind === "connected" && this.line.signedIn)) return;
    if (choosing.moving && now >= choosing.moving.at) {
      const { to } = choosing.moving;
      choosing.moving = null;
      if (this.isClearlyBetter(to)) {
        this.outputs.push({ type: "Disconnect" });
        this.leave(to);
        return;
      }
    }
    if (now >= choosing.measureAt) {
      choosing.measureAt = now + rules.measure;
      this.send({ kind: "Load" }, "Load");
    }
    if (now >= choosing.probeAt && !choosing.probing) {
      choosing.probeAt = now + this.within(rules.probe / 2, rules.probe);
      this.probeNext();
    }
  },

  probeNext() {
    const { choosing, now } = this;
    const count = this.config.servers;
    for (let turn = 1; turn <= count; turn += 1) {
      const server = (choosing.probed + turn) % Math.max(count, 1);
      const known = choosing.servers[server];
      if (server === this.server || !known || known.avoidedUntil > now) continue;
      choosing.probed = server;
      choosing.probing = { of: server, since: now };
      this.outputs.push({ type: "Probe", server });
      return;
    }
  },

  /** When `choose` has something to do. */
  chooseAt() {
    if (!this.config.timing.choice) return null;
    const { probing, probeAt, moving, measureAt } = this.choosing;
    return earliest([probing ? probing.since + this.config.timing.patience : probeAt, moving?.at, measureAt]);
  },
};
