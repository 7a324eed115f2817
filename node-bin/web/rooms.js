// What this page knows of its rooms: messages by their place, so nothing is shown twice, and those that have no place yet; and posts that are not
// settled, kept with their keys, also over a reload of the page.

import { Ended, freshKey, isNoMajority } from "/cluster.js";

const HIGH = Number.MAX_SAFE_INTEGER;
const KEPT = "tertulia.unacknowledged";
const ASK_EVERY = 1000;        // ms between rounds of asking what became of accepted posts
const ASK_AGAIN = 5000;        // ms after which the same node without a majority is asked again
const UNKNOWN_FOR = 10000;     // ms after which a waiting message is given up that a node with a majority does not know

export class Room {
  constructor({ id, name }) {
    this.id = id;
    this.name = name;
    this.member = false;
    this.members = 0;
    this.messages = new Map();   // by seq
    this.ids = new Set();        // of these messages
    this.tail = new Map();       // by id: accepted somewhere, without a place; one that the present node does not know has `unknown`: since when
    this.notes = [];             // what became of others' messages that got no place
    this.loaded = false;         // whether the last page of history is here
    this.last = 0;               // everything from the first shown message through this seq is here
    this.top = 0;                // the newest seq that is here; above `last` there is a gap below it
    this.early = null;           // the newest message that came before the history
    this.unread = 0;
  }

  get first() { return this.messages.size ? Math.min(...this.messages.keys()) : this.last + 1; }

  keep(message) {
    this.messages.set(message.seq, message);
    this.ids.add(message.id);
    this.tail.delete(message.id);
  }

  add(message) {
    const known = this.messages.get(message.seq);
    if (known) {
      // The answer to a post says less of it than the stream.
      if (!known.author_id) this.keep(message);
      return false;
    }
    this.keep(message);
    this.top = Math.max(this.top, message.seq);
    while (this.messages.has(this.last + 1)) this.last += 1;
    return true;
  }

  get ahead() { return this.top > this.last; }

  sorted() { return [...this.messages.values()].sort((a, b) => a.seq - b.seq); }

  /** Those without a place, in the order in which they stand behind the others. */
  waiting() { return [...this.tail.values()].sort((a, b) => (a.order < b.order ? -1 : 1)); }

  /** A message without a place, or what is said of it has changed. Whether it is new here. */
  waits(message) {
    if (this.ids.has(message.id) || (this.early && this.early.id === message.id)) return false;
    const known = this.tail.has(message.id);
    this.tail.set(message.id, message);
    return !known;
  }

  /** All that the present node knows to be waiting. Of others, it may not have heard yet. */
  waitsFor(messages) {
    const known = new Set(messages.map((message) => message.id));
    for (const message of this.tail.values()) if (!known.has(message.id)) message.unknown ||= Date.now();
    return messages.filter((message) => this.waits(message));
  }

  /** Whether some waiting message is not known to the present node. With a majority there it gives up those that are unknown for long. */
  doubts(majority) {
    for (const { id, unknown } of this.tail.values()) {
      if (majority && unknown && Date.now() - unknown > UNKNOWN_FOR) this.tail.delete(id);
    }
    return [...this.tail.values()].some((message) => message.unknown);
  }

  async load(cluster) {
    const { messages } = await cluster.get(`/api/v1/rooms/${this.id}/messages?before=${HIGH}&limit=50`);
    if (messages.length && !this.messages.size) this.last = messages[0].seq - 1;
    for (const message of messages) this.add(message);
    this.loaded = true;
    if (this.early) this.add(this.early);
    if (this.ahead) await this.fill(cluster);
  }

  async loadEarlier(cluster) {
    const { messages } = await cluster.get(`/api/v1/rooms/${this.id}/messages?before=${this.first}&limit=50`);
    for (const message of messages) this.keep(message);
  }

  /** Fetches what lies between `last` and a message that came ahead of it. */
  async fill(cluster) {
    if (this.filling) return;
    this.filling = true;
    try {
      while (this.ahead) {
        const before = this.last;
        const { messages } = await cluster.get(`/api/v1/rooms/${this.id}/messages?after=${this.last}&limit=1000`);
        for (const message of messages) this.add(message);
        if (this.last === before) break;
      }
    } finally {
      this.filling = false;
    }
  }
}

/**
 * Posts in the order in which they were written, sent one at a time, each under one key until it is settled: committed, or refused for good. A node without a
 * majority accepts them; then they are asked for again, with the same key, at whatever node the page is at.
 */
export class Outbox {
  constructor(cluster, changed, committed) {
    this.cluster = cluster;
    this.changed = changed;
    this.committed = committed;
    this.posts = JSON.parse(sessionStorage.getItem(KEPT) || "[]");
    this.running = null;   // the session whose posts are being sent
    this.go = () => {};    // ends a pause
  }

  of(room) { return this.posts.filter((post) => post.room === room); }

  add(room, text) {
    this.posts.push({ room, text, key: freshKey(), id: null, copies: 0, refused: null });
    this.save();
    this.go();
    this.run();
  }

  remove(post) {
    this.posts = this.posts.filter((other) => other !== post);
    this.save();
  }

  clear() { this.posts = []; this.save(); }

  save() {
    sessionStorage.setItem(KEPT, JSON.stringify(this.posts.map(({ asked, at, held, ...post }) => post)));
    this.changed();
  }

  /** The stream may show a post before its answer is here: it is not shown twice in between. */
  sawOwn(room, { id, text }) {
    const post = this.posts.find((post) => post.room === room && !post.refused && !post.id);
    if (post && post.text === text && !this.posts.some((other) => other.id === id)) post.id = id;
  }

  /** It has its place: nobody has to ask for it any more. */
  settled(id) {
    const post = this.posts.find((post) => post.id === id && post.copies);
    if (post) this.remove(post);
  }

  /** Whether a post of this page was refused when it was its turn. */
  withdrawn(id, why) {
    const post = this.posts.find((post) => post.id === id);
    if (!post) return false;
    post.refused = why;
    this.save();
    return true;
  }

  /** The next post to send: those that nobody has accepted come first. */
  next() {
    const { address, view } = this.cluster;
    // Where a room's rules refuse posts without a majority, its posts wait in their order, and those of other rooms go on.
    const held = new Set();
    for (const post of this.posts.filter((post) => !post.refused && !post.copies)) {
      if (post.held && Date.now() - post.asked < ASK_EVERY) held.add(post.room);
      if (!held.has(post.room)) return post;
    }
    // A node that has accepted it and has no majority knows no more than it said.
    const again = (post) => post.at !== address || (view && view.leader !== null) || Date.now() - post.asked > ASK_AGAIN;
    return this.posts.find((post) => !post.refused && post.copies && again(post) && Date.now() - (post.asked || 0) >= ASK_EVERY);
  }

  async run() {
    const session = this.cluster.session;
    if (!session.token || this.running === session) return;
    this.running = session;
    try {
      while (session === this.cluster.session && this.posts.some((post) => !post.refused)) {
        const post = this.next();
        if (!post) {
          await new Promise((go) => { this.go = go; setTimeout(go, ASK_EVERY / 5); });
          continue;
        }
        if (!await this.send(post)) break;
      }
    } finally {
      if (this.running === session) this.running = null;
    }
  }

  /** Whether to go on. */
  async send(post) {
    try {
      const done = await this.cluster.post(`/api/v1/rooms/${post.room}/messages`, { text: post.text }, post.key, true);
      [post.id, post.at, post.asked] = [done.id, this.cluster.address, Date.now()];
      if (done.state === "committed") {
        this.committed(post, done);
        this.remove(post);
      } else if (post.copies !== done.copies) {
        post.copies = done.copies;
        this.cluster.wake();
        this.save();
      }
    } catch (error) {
      if (error instanceof Ended || error.status === 401) return false;
      // Not now is not never.
      if (isNoMajority(error) || error.status === 429) {
        [post.held, post.asked] = [true, Date.now()];
        return true;
      }
      post.refused = error.message;
      this.save();
    }
    return true;
  }
}
