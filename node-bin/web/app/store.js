// The model: rooms, people, what waits, what was refused. It stands on the session (`core/session.js`) and knows nothing of the screen, which draws anew when
// it says "changed". What must outlive the page beside what the session keeps is in `kept.js`: drafts, and refused posts.

import { Kept } from "./kept.js";
import { People } from "./people.js";
import { Room } from "./room.js";
import { told, toldYou } from "./standing.js";

const TYPING_FOR = 6_000;      // ms that somebody is said to be typing after a hint
const READ_AFTER = 800;        // ms between marks of what was read
const SAVE_AFTER = 300;        // ms after the last letter of a draft
const LOOK_EVERY = 5_000;      // ms between looks at which rooms there are, while this user is in none
const REFRESH_EVERY = 30_000;  // and otherwise, while somebody looks
const MOST_ROOMS = 500;        // beyond these the list is asked for only when it is opened

export class Store extends EventTarget {
  constructor(session) {
    super();
    this.session = session;
    this.me = { id: session.user.id, name: session.user.name };
    this.admin = false;
    this.hasPassword = false;
    this.friends = [];
    this.blocked = [];
    this.invitations = [];
    this.rooms = new Map();
    this.people = new People(this);
    this.loaded = false;
    this.waiters = new Map();   // number of a command -> what to do when it is settled
    this.reads = new Map();     // room -> seq that is to be marked as read
    this.kept = new Kept(`tertulia.${session.user.id}.${session.id}`, (id) => this.recall(this.rooms.get(id)));
    this.farewells = new Map(); // room -> {how, by}: rooms from which this user was sent away
    this.drafted = new Set();   // rooms whose draft is to be kept
    for (const what of ["deliver", "accepted", "settled", "unclear", "tail", "withdrawn", "status", "unfollowed"]) {
      session.addEventListener(what, ({ detail }) => this[what](detail));
    }
  }

  changed(room) { this.dispatchEvent(new CustomEvent("changed", { detail: room })); }
  tell(what, detail) { this.dispatchEvent(new CustomEvent(what, { detail })); }

  room(id) {
    let room = this.rooms.get(id);
    if (!room) {
      this.rooms.set(id, (room = new Room(id, this)));
      this.recall(room);
      room.refresh();
    }
    return room;
  }

  /** A room has what is kept of it, by this tab and the others. */
  recall(room) {
    if (!room) return;
    if (!this.drafted.has(room)) room.draft = this.kept.draft(room.id);
    room.refused = this.kept.refused(room.id);
    room.touch();
  }

  // ---- what there is

  async start() {
    await Promise.all([this.refreshMe(), this.refreshRooms()]);
    this.loaded = true;
    this.changed();
    this.timer = setInterval(() => {
      const isNew = ![...this.rooms.values()].some((room) => room.member);
      if (!document_hidden() && this.rooms.size <= MOST_ROOMS && (isNew || Date.now() >= this.refreshed + REFRESH_EVERY)) this.refreshRooms().catch(() => {});
    }, LOOK_EVERY);
  }

  stop() {
    clearInterval(this.timer);
    this.save();
    this.kept.close();
  }

  async refreshMe() {
    const me = await this.session.http("GET", "/api/v1/me");
    this.me = me.user;
    Object.assign(this, { admin: me.admin, hasPassword: me.has_password, devices: me.devices, friends: me.friends, blocked: me.blocked, invitations: me.invitations });
    for (const user of [me.user, ...me.friends, ...me.blocked]) this.people.take(user);
    this.changed();
  }

  async refreshRooms() {
    this.refreshed = Date.now();
    const { rooms } = await this.session.http("GET", "/api/v1/rooms");
    const named = new Set(rooms.map((view) => view.id));
    for (const view of rooms) this.room(view.id).take(view);
    for (const room of this.rooms.values()) if (!named.has(room.id) && room.known) this.lose(room);
    this.changed();
  }

  async refreshRoom(id) {
    const view = await this.session.http("GET", `/api/v1/rooms/${id}`);
    this.room(id).take(view);
    return this.rooms.get(id);
  }

  lose(room) {
    if (room.refused.length || room.pending.length) { room.member = false; return; }
    this.rooms.delete(room.id);
    this.tell("lost", room);
  }

  /** Members of a room, all of them up to a bound, by id. */
  async loadMembers(room) {
    const members = new Map();
    for (let after = 0; after !== null && members.size < 5_000;) {
      const page = await this.session.http("GET", `/api/v1/rooms/${room.id}/members?after=${after}&limit=1000`);
      for (const member of page.members) members.set(this.people.take(member).id, member);
      after = page.next ?? null;
    }
    room.members = members;
    room.muteUntil(members.get(this.me.id)?.muted_until ?? null);
    room.memberCount = Math.max(room.memberCount, members.size);
    room.touch();
  }

  // ---- how rooms are called, and in which order they stand

  nameOf(room) {
    if (room.name) return room.name;
    if (room.kind === "direct") return this.people.get(room.with) ? this.people.label(room.with) : room.with ? `user ${room.with}` : "direct";
    if (!room.members && !room.asking && room.member) {
      room.asking = true;
      this.loadMembers(room).catch(() => {});
    }
    const others = [...(room.members?.values() ?? [])].filter((member) => member.id !== this.me.id).slice(0, 4);
    return others.length ? others.map((member) => this.people.label(member.id, member.name)).join(", ") : `group of ${room.memberCount}`;
  }

  isOnline(room) { return room.kind === "direct" && Boolean(this.people.known.get(room.with)?.online); }

  /** Mentions first, then what is unread, then by name; `still` is the open room, which keeps the place that it had. */
  sorted(rooms, still) {
    const rankNow = (room) => (room.mentions ? 0 : room.unread ? 1 : 2);
    const rank = (room) => (room === still ? (room.rankThen ??= rankNow(room)) : (room.rankThen = rankNow(room)));
    const named = rooms.map((room) => [rank(room), this.nameOf(room), room]);
    const compare = (a, b) => a.localeCompare(b, undefined, { numeric: true, sensitivity: "base" });
    return named.sort((a, b) => a[0] - b[0] || compare(a[1], b[1]) || a[2].id - b[2].id).map(([, , room]) => room);
  }

  /** `{invited, rooms, people, open}`: invitations, own rooms, rooms of two, public ones to join. */
  lists(still) {
    const all = [...this.rooms.values()].filter((room) => room.known);
    const mine = all.filter((room) => room.member);
    const open = all.filter((room) => !room.member && room.kind === "public" && !room.archived && !room.invited);
    return {
      invited: this.invitations.filter(({ room }) => !this.rooms.get(room)?.member),
      rooms: this.sorted(mine.filter((room) => room.kind !== "direct" && !room.archived), still),
      people: this.sorted(mine.filter((room) => room.kind === "direct"), still),
      archived: this.sorted(mine.filter((room) => room.kind !== "direct" && room.archived), still),
      open: open.sort((a, b) => b.memberCount - a.memberCount || a.name.localeCompare(b.name)),
    };
  }

  get unread() {
    let unread = 0;
    let mentions = 0;
    for (const room of this.rooms.values()) {
      if (room.unread) unread += 1;
      mentions += room.kind === "direct" ? room.unread : room.mentions;
    }
    return { rooms: unread, mentions };
  }

  // ---- what is done

  /** Does what a session's command does, and waits for its outcome. Throws what refused it. */
  done(number) {
    return new Promise((resolve, reject) => this.waiters.set(number, { resolve, reject }));
  }

  post(room, text, replyTo) {
    const number = this.session.post(room.id, text, replyTo ? { replyTo } : {});
    room.refresh();
    return number;
  }

  edit(room, seq, text) { return this.change(room, this.session.edit(room.id, seq, text), "The message was not changed"); }
  delete(room, seq) { return this.change(room, this.session.delete(room.id, seq), "The message was not deleted"); }
  react(room, seq, emoji, on) { return this.change(room, this.session.react(room.id, seq, emoji, on), "The reaction was not kept"); }
  pin(room, seq, on) { return this.change(room, this.session.pin(room.id, seq, on), on ? "The message was not pinned" : "The message is still pinned"); }

  change(room, number, failed) {
    room.refresh();
    this.done(number).catch((error) => this.tell("trouble", { text: `${failed}: ${sentence(error)}` })).finally(() => room.refresh());
    return number;
  }

  async join(room) {
    room.joining = true;
    room.touch();
    try {
      await this.done(this.session.join(room.id));
      Object.assign(room, { member: true, away: null });
      this.farewells.delete(room.id);
      await this.refreshRoom(room.id);
      this.loadMembers(room).catch(() => {});
      this.invitations = this.invitations.filter((invitation) => invitation.room !== room.id);
    } catch (error) {
      if (error.kind === "banned") room.away = { how: "banned", by: room.away?.how === "banned" ? room.away.by : "" };
      throw error;
    } finally {
      room.joining = false;
      room.touch();
    }
  }

  async leave(room) {
    await this.done(this.session.leave(room.id));
    room.member = false;
    room.messages.clear();
    room.members = null;
    await this.refreshRooms();
  }

  /** A post that came to nothing is sent once more, as a new one. */
  again(room, post) {
    this.discard(room, post);
    return this.post(room, post.text, post.replyTo);
  }

  discard(room, post) {
    this.kept.discard(room.id, post.number);
    this.recall(room);
  }

  /** Takes back what was never sent. Whether that was still so. */
  async withdraw(room, number) {
    const taken = await this.session.withdraw(number);
    room.refresh();
    return taken;
  }

  /** Marks as read, soon, and with one command however often it is said. */
  read(room, seq) {
    room.readThrough(seq);
    this.reads.set(room.id, Math.max(seq, this.reads.get(room.id) ?? 0));
    this.reading ??= setTimeout(() => { this.reading = null; this.flushReads(); }, READ_AFTER);
  }

  flushReads() {
    // Without a majority a mark would only wait in line before posts: it is kept here until there is one.
    const { connected, signedIn, leader } = this.session.status;
    if (!connected || !signedIn || leader === false) return;
    for (const [id, seq] of this.reads) {
      try { this.session.read(id, seq); } catch { return; }
      this.reads.delete(id);
    }
  }

  typing(room) { this.session.typing(room.id); }

  draft(room, text) {
    room.draft = text;
    this.drafted.add(room);
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(), SAVE_AFTER);
  }

  save() {
    clearTimeout(this.saving);
    for (const room of this.drafted) this.kept.setDraft(room.id, room.draft);
    this.drafted.clear();
  }

  /** Nobody of this browser finds what was written here. */
  forget() {
    this.stop();
    this.kept.forget();
  }

  // ---- what the session tells

  accepted() { this.refreshPending(); }
  tail({ room }) { this.rooms.get(Number(room))?.refresh(); }

  /** The rooms whose waiting commands may have changed. */
  refreshPending() {
    for (const room of this.rooms.values()) if (room.unsettled) room.refresh();
  }

  settled({ number, result }) {
    const waiter = this.waiters.get(number);
    this.waiters.delete(number);
    const refused = result.refused;
    if (waiter && refused) waiter.reject(Object.assign(new Error(refused.detail), refused));
    else waiter?.resolve(result.ok);
    for (const room of this.rooms.values()) {
      const post = room.pending.find((one) => one.number === number);
      if (post && refused) this.refuse(room, post, refused);
      else if (post) this.placed(room, post, result.ok?.Posted ?? result.ok ?? {});
      if (room.unsettled) room.refresh();
      room.guessed.delete(number);
    }
  }

  unclear({ number }) {
    const why = { kind: "unclear", detail: "it may have been sent by an earlier life of this page; look whether it is there before you send it again" };
    this.settled({ number, result: { refused: why } });
  }

  /** The outcome of a post may come before the post itself: between the two it is on the screen, too. */
  placed(room, post, { seq, id, at }) {
    if (!seq || !id || room.ids.has(id)) return;
    room.keyOfPending({ ...post, id });
    const time = typeof at === "string" ? at : new Date().toISOString();
    room.put({ seq, id, author: this.me.name, author_id: this.me.id, text: post.text, at: time, ...(post.replyTo && { reply_to: post.replyTo }) });
    room.readThrough(seq);
  }

  refuse(room, post, why) {
    this.kept.refuse(room.id, { number: post.number, key: room.keyOfPending(post), id: post.id, text: post.text, replyTo: post.replyTo, at: post.at, why });
    this.recall(room);
  }

  withdrawn({ room: id, id: message, message: post, why }) {
    const room = this.rooms.get(Number(id));
    if (!room) return;
    const gone = post ?? room.tail.find((one) => one.id === message);
    if (gone && gone.author_id !== this.me.id) {
      room.note(`note ${message}`, `A message of ${gone.author} got no place in this room: ${why.kind.replaceAll("-", " ")}.`);
    }
    room.refresh();
  }

  status(detail) {
    this.flushReads();
    if (this.session.status.signedIn && !this.wasSignedIn && this.loaded) this.refreshRooms().catch(() => {});
    this.wasSignedIn = this.session.status.signedIn;
    this.tell("status", detail);
  }

  unfollowed({ room }) { this.refreshRoom(Number(room)).catch(() => this.rooms.has(Number(room)) && this.lose(this.rooms.get(Number(room)))); }

  deliver(frame) {
    const handler = FRAMES[frame.type];
    if (frame.type === "notice") return this.notice(frame);
    if (frame.type === "presence") {
      this.people.online(frame.user, frame.online);
      return this.changed();
    }
    if (!handler || !frame.room) return;
    const room = this.room(frame.room);
    if (!room.known && frame.type !== "typing") this.refreshRoom(frame.room).catch(() => {});
    handler(this, room, frame);
  }

  notice(frame) {
    if (frame.notice === "read") this.rooms.get(frame.room)?.readThrough(frame.seq);
    else if (frame.notice === "friendship" || frame.notice === "invited") this.refreshMe().catch(() => {});
    this.tell("notice", frame);
  }

  /** Somebody has come or gone, or stands differently. */
  membership(room, frame, change) {
    const isMe = frame.user === this.me.id;
    this.tellStanding(room, frame, isMe);
    if (isMe && change === "gone") this.sentOut(room, frame);
    if (isMe && frame.type === "muted") room.muteUntil(frame.until);
    if (isMe && frame.type === "role") room.role = frame.role;
    if (isMe) this.refreshRooms().catch(() => {});
    if (change === "come" && !room.members) room.memberCount += 1;
    else if (change !== "gone" && room.members) this.refreshMembers(room);
    // Whoever is banned need not have been a member.
    if (change === "gone" && (room.members ? room.members.delete(frame.user) : frame.type !== "banned")) room.memberCount = Math.max(0, room.memberCount - 1);
    else if (change === "gone" && !room.members && !isMe) this.refreshRoom(room.id).catch(() => {});
    room.touch();
  }

  /** What a moderator has done: a note for the room, and news for the one to whom it was done. */
  tellStanding(room, frame, isMe) {
    const by = this.people.label(frame.by, frame.by_name);
    const isOwn = frame.by === this.me.id;
    const note = told(frame, isOwn ? "you" : by, isMe ? "you" : this.people.label(frame.user, frame.user_name));
    if (note) room.note(`note ${frame.type} ${frame.cursor}`, note);
    const news = isMe && !isOwn && toldYou(frame, by, this.nameOf(room));
    if (news) this.tell("standing", { room, text: news, bad: frame.type !== "role" && !(frame.type === "muted" && !frame.until) });
  }

  /** This user is no member any more. */
  sentOut(room, frame) {
    Object.assign(room, { member: false, members: null, away: frame.type === "left" ? null : { how: frame.type, by: this.people.label(frame.by, frame.by_name) } });
    room.messages.clear();
    // A room that is not public is gone from the list, but whoever looks at it is told why.
    if (room.away) this.farewells.set(room.id, room.away);
  }

  refreshMembers(room) {
    clearTimeout(room.membersTimer);
    room.membersTimer = setTimeout(() => this.loadMembers(room).catch(() => {}), 200);
  }
}

const changedMessage = (store, room, frame) => {
  if (frame.message && room.messages.has(frame.seq)) room.put({ ...frame.message, fresh: true });
  else if (frame.type === "deleted") room.messages.delete(frame.seq);
  if (frame.type === "pinned") room.pins = frame.on ? [...new Set([...room.pins, frame.seq])] : room.pins.filter((pin) => pin !== frame.seq);
  room.refresh();
};

const field = (name) => (store, room, frame) => {
  room[name] = frame[name];
  room.touch();
};

const FRAMES = {
  message(store, room, { message }) {
    const isNew = room.arrived({ ...message, fresh: true });
    room.refresh();
    if (isNew) store.tell("message", { room, message });
  },
  edited: changedMessage,
  deleted: changedMessage,
  reacted: changedMessage,
  pinned: changedMessage,
  topic: field("topic"),
  rules: field("rules"),
  renamed: field("name"),
  archived(store, room, { on }) { room.archived = on; room.touch(); },
  joined: (store, room, frame) => store.membership(room, frame, "come"),
  left: (store, room, frame) => store.membership(room, frame, "gone"),
  kicked: (store, room, frame) => store.membership(room, frame, "gone"),
  banned: (store, room, frame) => store.membership(room, frame, frame.on ? "gone" : "changed"),
  muted: (store, room, frame) => store.membership(room, frame, "changed"),
  role: (store, room, frame) => store.membership(room, frame, "changed"),
  skipped(store, room) {
    room.doubt();
    store.refreshRoom(room.id).catch(() => {});
  },
  typing(store, room, { user, user_name: name }) {
    if (user === store.me.id) return;
    room.typing.set(user, { name, until: Date.now() + TYPING_FOR });
    room.touch();
    setTimeout(() => {
      const still = room.typing.get(user);
      if (still && still.until <= Date.now() + 50) { room.typing.delete(user); room.touch(); }
    }, TYPING_FOR + 20);
  },
};

/** Where the server's sentence is for programs, or names a room by its number. */
const WORDS = {
  "banned": "you are banned from this room",
  "not-a-member": "you are not a member of this room",
  "archived": "this room is archived: it can be read, and nothing in it changes",
  "unknown-message": "this message is not there, or not for you",
  "unknown-outcome": "no answer came in time: look whether it was done before you do it again",
  "busy": "the cluster is busy: try again in a moment",
  "too-often": "that was too often: try again in a moment",
  "no-leader": "this side has no majority, and this needs one: try again in a moment",
};

/** What went wrong, to stand behind a colon. */
export const sentence = (error) => String(WORDS[error.kind] ?? (error.detail || error.message || error.kind || "it failed")).replace(/\.$/u, "");

const document_hidden = () => globalThis.document?.hidden ?? false;
