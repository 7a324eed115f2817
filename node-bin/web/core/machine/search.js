// Looking for a server that reaches a leader, while posts are accepted without one. A port of protocol/src/client/search.rs, whose rules it has.

import { errTag, isFinal, okTag } from "./values.js";

/** Answers without a leader after which another server is tried. */
const LEADERLESS = 3;

// What a round has found of a server; the best first.
const UNTRIED = 0;
/** It has the session, and no leader. */
const FOUND_LEADERLESS = 1;
/** It cannot be reached, or does not even know the session. */
const USELESS = 2;

/** Something was accepted without a leader, and no leader was heard of since. */
class Search {
  /** What this round has found, or the last one while none is under way. */
  found = new Map();
  /** All were tried; another round begins then at the earliest. */
  restUntil = null;
  /** Rounds that have found no leader. */
  rounds = 0;

  /** A round is under way, and the server before accepts what is posted. */
  knowsOneThatAccepts() {
    return this.restUntil === null && [...this.found.values()].includes(FOUND_LEADERLESS);
  }

  /** The list of servers has changed: `place` has the new number of an old one, or undefined. */
  renumber(place) {
    const found = new Map();
    for (const [server, what] of this.found) if (place(server) !== undefined) found.set(place(server), what);
    this.found = found;
  }
}

/** Whether an answer can only come from a node that reaches a leader. */
function isOfALeader(about, result) {
  if ("Ok" in result) return ["Done", "NextNumber"].includes(okTag(result));
  return about.kind === "Number" && isFinal(result);
}

export const search = {
  /** What an answer says about whether the present server reaches a leader. True: it does not. */
  weigh(about, result) {
    const [ok, err] = [okTag(result), errTag(result)];
    if (ok === "Accepted" || ["NoLeader", "TooFewCopies", "OutboxFull"].includes(err)) {
      if (this.leaderless === 0) this.leaderlessSince = this.now;
      this.leaderless += 1;
      if (ok === "Accepted" || err === "TooFewCopies" || this.mayGoAhead(about, result)) this.search ??= new Search();
      return true;
    }
    const says = !["Pong", "Load", "Tentative"].includes(ok) && (!this.search || isOfALeader(about, result));
    if (says) {
      this.leaderless = 0;
      this.search = null;
    }
    return false;
  },

  /** Goes on to another server where the present one was found without a leader, and it is time to. */
  lookElsewhere() {
    const hasSession = this.line.kind === "connected" && this.line.signedIn;
    // One that does not even know the session accepts nothing: another one does.
    const hurries = !hasSession && this.search !== null && this.search.knowsOneThatAccepts();
    if (this.leaderless < (hurries ? 1 : LEADERLESS) || this.config.servers <= 1) return;
    if (!this.search || !hasSession) {
      // It may be cut off from the others: somebody else may know a leader.
      this.outputs.push({ type: "Disconnect" });
      this.moveOn();
      return;
    }
    const isResting = this.search.restUntil !== null && this.now < this.search.restUntil;
    if (isResting || this.now < this.leaderlessSince + this.config.timing.again / 2) return;
    if (this.search.restUntil !== null) {
      this.search.restUntil = null;
      this.search.found.clear();
    }
    if (!this.hasFound(FOUND_LEADERLESS)) {
      this.outputs.push({ type: "Disconnect" });
      this.leave(this.afterFailure());
    }
  },

  /** The present server fails; while resting that is remembered, too, so that the way leads to one that accepts. True: a round is under way, and goes on without a pause. */
  failsInSearch() {
    return !this.hasFound(USELESS);
  },

  /** Writes down what the present server is. True: all were tried, or there is no search. */
  hasFound(what) {
    if (!this.search) return true;
    const { rest, rest_max: most } = this.config.timing;
    this.search.found.set(this.server, what);
    if (this.search.restUntil === null && this.search.found.size >= this.config.servers) {
      this.search.restUntil = this.now + Math.min(rest * 2 ** Math.min(this.search.rounds, 16), most);
      this.search.rounds += 1;
    }
    return this.search.restUntil !== null;
  },

  /** Servers that a round has not tried come first, those that were of no use last. Without a search all are alike. */
  rankInSearch(server) {
    return this.search?.found.get(server) ?? UNTRIED;
  },

  /** How long a connection may take to open: while another server would accept what is posted, hardly longer than that one's took. */
  connectPatience() {
    const { probe, patience } = this.config.timing;
    if (!this.search?.knowsOneThatAccepts()) return patience;
    return Math.min(Math.max(this.openedIn * 4, probe), patience);
  },
};
