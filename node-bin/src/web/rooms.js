// What this page knows of its rooms: messages by their place, so nothing is shown twice; and posts that are not acknowledged yet,
// kept with their keys, also over a reload of the page.

import { Ended, freshKey } from "/cluster.js";

const HIGH = Number.MAX_SAFE_INTEGER;
const KEPT = "tertulia.unacknowledged";

export class Room {
  constructor({ id, name }) {
    this.id = id;
    this.name = name;
    this.member = false;
    this.members = 0;
    this.messages = new Map();   // by seq
    this.loaded = false;         // whether the last page of history is here
    this.last = 0;               // everything from the first shown message through this seq is here
    this.top = 0;                // the newest seq that is here; above `last` there is a gap below it
    this.early = null;           // the newest message that came before the history
    this.unread = 0;
  }

  get first() { return this.messages.size ? Math.min(...this.messages.keys()) : this.last + 1; }

  add(message) {
    if (this.messages.has(message.seq)) return false;
    this.messages.set(message.seq, message);
    this.top = Math.max(this.top, message.seq);
    while (this.messages.has(this.last + 1)) this.last += 1;
    return true;
  }

  get ahead() { return this.top > this.last; }

  sorted() { return [...this.messages.values()].sort((a, b) => a.seq - b.seq); }

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
    for (const message of messages) this.messages.set(message.seq, message);
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

/** Posts in the order in which they were written, one at a time, each under one key until it is settled. */
export class Outbox {
  constructor(cluster, changed, committed) {
    this.cluster = cluster;
    this.changed = changed;
    this.committed = committed;
    this.posts = JSON.parse(sessionStorage.getItem(KEPT) || "[]");
    this.running = null;   // the session whose posts are being sent
  }

  of(room) { return this.posts.filter((post) => post.room === room); }

  add(room, text) {
    this.posts.push({ room, text, key: freshKey(), refused: null });
    this.save();
    this.run();
  }

  remove(post) {
    this.posts = this.posts.filter((other) => other !== post);
    this.save();
  }

  clear() { this.posts = []; this.save(); }

  save() {
    sessionStorage.setItem(KEPT, JSON.stringify(this.posts.map(({ seen, ...post }) => post)));
    this.changed();
  }

  /** The stream may show a post before its answer is here: it is not shown twice in between. */
  sawOwn(room, text) {
    const post = this.posts.find((post) => post.room === room && !post.refused && !post.seen);
    if (post && post.text === text) post.seen = true;
  }

  async run() {
    const session = this.cluster.session;
    if (!session.token || this.running === session) return;
    this.running = session;
    try {
      while (session === this.cluster.session) {
        const post = this.posts.find((post) => !post.refused);
        if (!post) break;
        try {
          const done = await this.cluster.post(`/api/v1/rooms/${post.room}/messages`, { text: post.text }, post.key);
          this.committed(post, done);
          this.remove(post);
        } catch (error) {
          if (error instanceof Ended || error.status === 401) break;
          post.refused = error.message;
          this.save();
        }
      }
    } finally {
      if (this.running === session) this.running = null;
    }
  }
}
