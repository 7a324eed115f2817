// What this page knows of one room. Messages stand under their `seq`, which is dense, so the whole history is a line of places of which some are loaded;
// behind it stand those without a place: the session's tail, own ones that wait, those that were refused, and notes. No DOM here.
//
// Each message has one key as long as the page lives, whatever becomes of it: its element on the screen stays the same.

import { isMuted } from "./standing.js";

const PAGE = 100;           // messages of one page of history; pages begin at 1, 101, 201, …
const PAGES_KEPT = 400;     // the least recently needed are dropped beyond that
const RETRY_AFTER = 2_000;  // ms until a page is asked for again that could not be had
const NOTES = 20;
const LONGEST_TIMER = 2 ** 31 - 1;   // ms

export class Room {
  constructor(id, store) {
    this.id = id;
    this.store = store;
    this.messages = new Map();    // by seq
    this.ids = new Map();         // id -> seq, of these
    this.gone = new Set();        // places at which nothing is kept any more
    this.pages = new Map();       // page -> {loading} | {until}: asked for, or not again before; the least recently needed first
    this.aliases = new Map();     // id -> key, where it was shown before it had an id
    this.owners = new Map();      // key -> id, of these
    this.numbers = new Map();     // number of a command -> key
    this.guessed = new Map();     // number of a command -> id
    this.typing = new Map();      // user -> {name, until}
    this.members = null;          // Map by id, once asked for
    this.refused = [];            // own posts that came to nothing: {key, text, replyTo, at, why}
    this.notes = [];              // {key, text}, behind all messages
    this.noted = new Map();       // seq -> texts of notes that have come before this message
    this.mutedUntil = null;       // for how long this user may not write: as in the members' list
    this.away = null;             // {how, by}: this user was sent away
    this.tail = [];
    this.pending = [];            // posts that are neither committed nor in the tail
    this.unsettled = 0;           // commands about this room that are not settled
    this.effects = new Map();     // seq -> what own commands that wait will do to it
    this.seenTail = new Set();    // ids of messages without a place that were read
    this.mentioned = new Set();   // places, newer than what the server has counted
    this.counted = 0;
    this.draft = "";
    this.joining = false;
    this.activity = 0;            // ms; when something was last said, as far as it is known
    Object.assign(this, { name: "", kind: "public", topic: "", archived: false, member: false, memberCount: 0, role: null, invited: false, with: null });
    Object.assign(this, { last: 0, first: 1, read: 0, pins: [], rules: {}, mentionsBefore: 0, version: 0, known: false });
  }

  /** A room as `GET /api/v1/rooms` shows it. */
  take(view) {
    const { name, kind, topic, archived, member, role, invited, rules, pins, last, first, read, mentions } = view;
    Object.assign(this, { name, kind, topic, archived, member, role, invited, rules, pins, memberCount: view.members, with: view.with });
    this.last = Math.max(this.last, last);
    this.first = Math.max(1, first);
    this.read = Math.max(this.read, read);
    if (last >= this.counted) {
      this.counted = last;
      this.mentionsBefore = mentions;
      for (const seq of this.mentioned) if (seq <= last) this.mentioned.delete(seq);
    }
    if (this.read >= this.last) this.mentionsBefore = 0;
    this.known = true;
    this.touch();
  }

  touch() {
    this.version += 1;
    this.store.changed(this);
  }

  // ---- counts

  get unread() {
    if (!this.member) return 0;
    const unseen = this.tail.filter((message) => message.author_id !== this.store.me.id && !this.seenTail.has(message.id)).length;
    return Math.max(0, this.last - Math.max(this.read, this.first - 1)) + unseen;
  }

  get mentions() { return this.member ? Math.min(this.unread, this.mentionsBefore + this.mentioned.size) : 0; }

  /** Somebody of this user has read through this place. */
  readThrough(seq) {
    if (seq <= this.read) return;
    this.read = seq;
    for (const place of this.mentioned) if (place <= seq) this.mentioned.delete(place);
    if (seq >= this.counted) this.mentionsBefore = 0;
    this.touch();
  }

  // ---- messages with a place

  /** A message as it is now. Whether it is new here. */
  put(message) {
    const isNew = !this.messages.has(message.seq);
    if (message.seq > this.last) this.settleNotes(message.seq);
    this.messages.set(message.seq, message);
    this.ids.set(message.id, message.seq);
    this.gone.delete(message.seq);
    if (message.seq > this.last) this.last = message.seq;
    this.activity = Math.max(this.activity, Date.parse(message.at) || 0);
    return isNew;
  }

  /** A message has come by the stream. */
  arrived(message) {
    const mine = message.author_id === this.store.me.id;
    const wasLast = this.last;
    if (mine) this.guess(message);
    const isNew = this.put(message);
    this.typing.delete(message.author_id);
    if (isNew && !mine && message.seq > Math.max(this.read, this.counted) && message.mentions?.includes(this.store.me.id)) this.mentioned.add(message.seq);
    // What was read before it had its place is read; one's own is read by the server's rule, too.
    if (mine || (this.seenTail.delete(message.id) && this.read === message.seq - 1)) this.readThrough(Math.max(this.read, message.seq));
    this.touch();
    return isNew && message.seq > wasLast;
  }

  isMissing(seq) { return !this.messages.has(seq) && !this.gone.has(seq); }

  /** Sees to it that these places are loaded, or soon will be. */
  need(low, high) {
    const from = Math.max(low, this.first);
    const to = Math.min(high, this.last);
    for (let page = Math.floor((from - 1) / PAGE); page * PAGE < to; page += 1) {
      const [begin, end] = [Math.max(from, page * PAGE + 1), Math.min(to, page * PAGE + PAGE)];
      for (let seq = begin; seq <= end; seq += 1) {
        if (this.isMissing(seq)) { this.load(page); break; }
      }
    }
  }

  async load(page) {
    const asked = this.pages.get(page);
    if (asked && (asked.loading || asked.until > Date.now())) return;
    this.pages.set(page, { loading: true });
    const low = page * PAGE;
    let wait = 0;
    try {
      const path = `/api/v1/rooms/${this.id}/messages?after=${low}&before=${low + PAGE + 1}&limit=${PAGE}`;
      const { messages, current } = await this.store.session.http("GET", path);
      for (const message of messages) if (this.isOlder(message)) this.put(message);
      // A node that is behind may only not have the newest ones yet.
      const known = current ? Math.min(this.last, low + PAGE) : messages.at(-1)?.seq ?? 0;
      for (let seq = low + 1; seq <= known; seq += 1) if (!this.messages.has(seq)) this.gone.add(seq);
      if (!current) wait = RETRY_AFTER;
    } catch (error) {
      wait = RETRY_AFTER;
      if (error.status === 403 || error.status === 404) this.first = this.last + 1;
    }
    this.pages.delete(page);
    if (wait) {
      this.pages.set(page, { until: Date.now() + wait });
      setTimeout(() => this.touch(), wait + 10);
    }
    this.loaded(page);
    this.touch();
  }

  /** The stream may have told something newer of a message while its page was on the way. */
  isOlder(message) {
    const known = this.messages.get(message.seq);
    return !known || !known.fresh;
  }

  loaded(page) {
    this.recent = (this.recent || []).filter((other) => other !== page);
    this.recent.push(page);
    while (this.recent.length > PAGES_KEPT) {
      const dropped = this.recent.shift();
      for (let seq = dropped * PAGE + 1; seq <= dropped * PAGE + PAGE; seq += 1) {
        const message = this.messages.get(seq);
        if (message) this.ids.delete(message.id);
        this.messages.delete(seq);
      }
    }
  }

  /** The history was cut off from the stream: what is shown may be old. */
  doubt() {
    this.messages.clear();
    this.ids.clear();
    this.gone.clear();
    this.touch();
  }

  // ---- what has no place yet

  keyOf(id) { return this.aliases.get(id) || id; }

  keyOfPending({ number, id }) {
    let key = this.numbers.get(number);
    if (!key) this.numbers.set(number, (key = id ? this.keyOf(id) : `number-${number}`));
    this.nameKey(key, id);
    return key;
  }

  /** What is shown under this key has this id now. A key belongs to one id, and an id to one key. */
  nameKey(key, id) {
    if (!id || id === key || this.aliases.has(id) || this.owners.has(key)) return;
    this.aliases.set(id, key);
    this.owners.set(key, id);
  }

  /**
   * An own message comes by the stream before the session says that it is this command's: until then the first that was sent with this text is taken for it,
   * so that it is not shown twice. Commands are executed in their order, so it is another one only if another device has just said the same.
   */
  guess(message) {
    if (this.aliases.has(message.id)) return;
    const post = this.pending.find((one) => !one.id && one.text === message.text && (one.replyTo ?? null) === (message.reply_to ?? null));
    if (!post) return;
    this.guessed.set(post.number, message.id);
    this.nameKey(this.keyOfPending(post), message.id);
  }

  /** Reads anew what the session holds of this room. */
  refresh() {
    const { session } = this.store;
    const tail = session.tail(this.id);
    const waiting = session.pending(this.id);
    this.tail = tail.filter((message) => !this.ids.has(message.id));
    const shown = new Set(this.tail.map((message) => message.id));
    const posts = waiting.filter((one) => one.kind === "post").map((one) => ({ ...one, id: one.id ?? this.guessed.get(one.number) ?? null }));
    for (const one of posts) this.keyOfPending(one);
    this.pending = posts.filter((one) => !(one.id && (this.ids.has(one.id) || shown.has(one.id))));
    this.unsettled = waiting.length;
    this.effects = effectsOf(waiting);
    this.touch();
  }

  note(key, text) {
    this.notes = [...this.notes.filter((note) => note.key !== key), { key, text }].slice(-NOTES);
    this.touch();
  }

  /** What was noted before a message came stands before it. */
  settleNotes(seq) {
    if (!this.notes.length) return;
    this.noted.set(seq, this.notes.map(({ text }) => text));
    this.notes = [];
    if (this.noted.size > NOTES) this.noted.delete(this.noted.keys().next().value);
  }

  muteUntil(until) {
    this.mutedUntil = until;
    clearTimeout(this.muteTimer);
    const left = Date.parse(until) - Date.now();
    if (left > 0 && left < LONGEST_TIMER) this.muteTimer = setTimeout(() => this.touch(), left + 50);
    this.touch();
  }

  /** Behind the committed ones: `{key, state, message, …}` in the order in which they are shown. */
  get behind() {
    if (this.behindAt === this.version) return this.behindThen;
    const me = this.store.me;
    const own = (post) => ({ author: me.name, author_id: me.id, text: post.text, reply_to: post.replyTo, written_at: new Date(post.at).toISOString() });
    this.behindAt = this.version;
    this.behindThen = [
      ...this.tail.map((message) => ({ key: this.keyOf(message.id), id: message.id, state: "waiting", message, copies: message.copies })),
      ...this.pending.map((post) => ({
        key: this.keyOfPending(post), id: post.id, state: post.status === "accepted" ? "waiting" : "sending", message: own(post), copies: post.copies, number: post.number, status: post.status,
      })),
      ...this.refused.map((post) => ({ key: post.key, id: post.id, state: "refused", message: own(post), why: post.why, post })),
      ...this.notes.map(({ key, text }) => ({ key, state: "note", text })),
    ];
    return this.behindThen;
  }

  // ---- the list, by places: first come the committed ones

  get count() { return Math.max(0, this.last - this.first + 1) + this.behind.length; }
  get committedCount() { return Math.max(0, this.last - this.first + 1); }
  indexOf(seq) { return seq - this.first; }
  seqAt(index) { return index < this.committedCount ? this.first + index : null; }

  /** `{key, state: "committed" | "missing" | "gone" | …, seq, message}` */
  entry(index) {
    const seq = this.seqAt(index);
    if (seq === null) return this.behind[index - this.committedCount];
    const message = this.messages.get(seq);
    if (message) return { key: this.keyOf(message.id), id: message.id, state: "committed", seq, message, effect: this.effects.get(seq), notes: this.noted.get(seq) };
    return { key: `place-${seq}`, state: this.gone.has(seq) ? "gone" : "missing", seq };
  }

  /** The newest message of this user that it may still change. */
  lastOwn() {
    for (let seq = this.last; seq > this.last - 500 && seq >= this.first; seq -= 1) {
      const message = this.messages.get(seq);
      if (message && message.author_id === this.store.me.id && !message.deleted) return message;
    }
    return null;
  }

  // ---- what may be done here

  get rank() { return ["member", "moderator", "owner"].indexOf(this.role ?? "member"); }
  may(who) { return who === "members" || (who === "moderators" && this.rank >= 1); }
  get moderates() { return this.kind !== "direct" && (this.rank >= 1 || (this.kind === "public" && this.store.admin)); }
  get owns() { return this.kind !== "direct" && (this.rank >= 2 || (this.kind === "public" && this.store.admin)); }
  get muted() { return isMuted(this.mutedUntil); }
  get mayPost() { return this.member && !this.archived && !this.muted && (this.may(this.rules.post ?? "members") || this.moderates); }
  mayEdit(message) { return message.author_id === this.store.me.id && !message.deleted && !this.archived && this.rules.edits !== false; }
  mayDelete(message) { return !message.deleted && !this.archived && (this.moderates || this.mayEdit(message)); }
  get mayPin() { return !this.archived && (this.kind === "direct" || this.rank >= 1 || this.moderates); }
}

/** seq -> what will become of it: `{text, deleting, pinned, reactions: Map emoji -> on}` */
function effectsOf(waiting) {
  const effects = new Map();
  for (const one of waiting) {
    if (one.kind === "post" || one.kind === "read" || !one.seq) continue;
    const effect = effects.get(one.seq) || { reactions: new Map() };
    if (one.kind === "edit") effect.text = one.text;
    if (one.kind === "delete") effect.deleting = true;
    if (one.kind === "pin") effect.pinned = one.on;
    if (one.kind === "react") effect.reactions.set(one.emoji, one.on);
    effects.set(one.seq, effect);
  }
  return effects;
}
