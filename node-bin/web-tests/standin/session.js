// A stand-in for core/session.js: the same seam, over a made-up cluster in the page. `standin` on the window does what a cluster may suffer: `cut(on)`, `move(node)`, `say(room, text)`, `refuse(kind)`, `down(on)`, `type(room)`.

import { makeRoom, makeRooms, message, users } from "./world.js";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const options = new URLSearchParams(location.search);

export class Refused extends Error {
  constructor(kind, status, detail) { super(detail); Object.assign(this, { kind, status, detail, retryAfter: null }); }
}

const settings = { sign_in: options.get("signin") || "open", devices: 0 };

export class Session extends EventTarget {
  static async resume() { return sessionStorage.getItem("standin") || options.has("in") ? new Session(options.has("empty")) : null; }

  static async open({ name, password, register, invite }) {
    await pause(300);
    if (name === "nobody") throw new Refused("wrong-password", 401, "wrong name or password");
    sessionStorage.setItem("standin", name);
    return new Session(options.has("empty"));
  }

  static async http(method, path) {
    const response = await fetch(path, { method });
    if (!response.ok) throw new Refused("unknown", response.status, response.statusText);
    return response.json();
  }

  static know() { /* There are no other members. */ }

  constructor(empty) {
    super();
    this.user = { id: 1, name: "ana" };
    this.id = "17";
    this.node = 2;
    this.status = { server: location.origin, connected: true, signedIn: true, leader: true, since: 0, members: [1, 2, 3].map((n) => `http://127.0.0.1:${8080 + n}`) };
    this.rooms = empty ? [] : makeRooms();
    this.waiting = [];
    this.tails = new Map();
    this.number = 0;
    this.isStandIn = true;
    this.isCut = false;
    this.refusing = null;
    globalThis.standin = this;
  }

  tell(what, detail) { this.dispatchEvent(new CustomEvent(what, { detail })); }
  async close() { sessionStorage.removeItem("standin"); }
  room(id) { return this.rooms.find((room) => room.id === Number(id)); }
  pending(room) { return this.waiting.filter((one) => one.room === room).map((one) => ({ ...one })); }
  tail(room) { return this.tails.get(room) ?? []; }
  cursor(room) { return this.room(room)?.cursor ?? 0; }
  typing() {}
  async ask() { return {}; }

  async withdraw(number) {
    const one = this.waiting.find((one) => one.number === number && one.status === "waiting");
    if (one) this.waiting = this.waiting.filter((other) => other !== one);
    return Boolean(one);
  }

  submit(kind, room, fields) {
    const number = ++this.number;
    const one = { number, kind, room, at: Date.now(), status: "waiting", id: null, copies: 0, ...fields };
    this.waiting.push(one);
    this.run(one);
    return number;
  }

  async run(one) {
    await pause(40);
    if (this.isDown) return;
    one.status = "sent";
    this.tell("tail", { room: one.room });
    await pause(120);
    const id = `f${one.number.toString(16).padStart(31, "0")}`;
    if (this.isCut && this.room(one.room)?.rules.tentative === "refuse") return;
    if (this.isCut && one.kind !== "join") {
      Object.assign(one, { status: "accepted", copies: 1, ...(one.kind === "post" && { id }) });
      this.tell("accepted", { number: one.number, id: one.id, copies: 1 });
      await pause(700);
      if (this.waiting.includes(one)) {
        one.copies = 2;
        this.tell("accepted", { number: one.number, id: one.id, copies: 2 });
      }
      return;
    }
    if (!this.isCut) this.settle(one);
  }

  settle(one) {
    const room = this.room(one.room);
    if (this.refusing || one.text?.startsWith("!")) {
      this.waiting = this.waiting.filter((other) => other !== one);
      const refused = { kind: this.refusing ?? "muted", detail: this.refusing === "banned" ? "you are banned from this room" : "you are muted in this room for another 9 minutes" };
      return this.tell("settled", { number: one.number, result: { refused } });
    }
    one.id ??= `f${one.number.toString(16).padStart(31, "0")}`;
    ACTS[one.kind]?.(this, room, one);
    // As it comes over the wire: the stream and the answer are two things.
    setTimeout(() => {
      this.waiting = this.waiting.filter((other) => other !== one);
      this.tell("settled", { number: one.number, result: { ok: { seq: one.seq, id: one.id, at: new Date().toISOString() } } });
    }, 30);
  }

  post(room, text, { replyTo } = {}) { return this.submit("post", room, { text, replyTo }); }
  edit(room, seq, text) { return this.submit("edit", room, { seq, text }); }
  delete(room, seq) { return this.submit("delete", room, { seq }); }
  react(room, seq, emoji, on) { return this.submit("react", room, { seq, emoji, on }); }
  pin(room, seq, on) { return this.submit("pin", room, { seq, on }); }
  read(room, seq) { return this.submit("read", room, { seq }); }
  join(room) { return this.submit("join", room, {}); }
  leave(room) { return this.submit("leave", room, {}); }

  put(room, made) {
    room.said.set(made.seq, made);
    return made;
  }

  event(type, room, fields) {
    room.cursor += 1;
    this.tell("deliver", { type, room: room.id, cursor: room.cursor, ...fields });
  }

  // ---- what a cluster may suffer

  say(id, text, who = 2, fields = {}) {
    const room = this.room(id);
    room.last += 1;
    const author = users[who - 1];
    const said = { seq: room.last, id: `a${id}-${room.last}`, author: author.name, author_id: who, text, at: new Date().toISOString(), ...fields };
    if (text.includes("@ana")) said.mentions = [1];
    this.event("message", room, { message: this.put(room, said) });
  }

  sayWaiting(id, text, who = 2) {
    const author = users[who - 1];
    const tail = [...this.tail(id), { id: `t${Date.now()}${who}`, author: author.name, author_id: who, text, written_at: new Date().toISOString(), copies: 2, order: String(Date.now()) }];
    this.tails.set(id, tail);
    this.tell("tail", { room: id });
  }

  type(id, who = 3) { this.tell("deliver", { type: "typing", room: id, user: who, user_name: users[who - 1].name }); }

  cut(on) {
    this.isCut = on;
    this.status = { ...this.status, leader: !on };
    this.tell("status");
    if (on) return;
    for (const [id, tail] of this.tails) {
      this.tails.set(id, []);
      const room = this.room(id);
      for (const { copies, order, written_at, ...one } of tail) this.event("message", room, { message: this.put(room, { ...one, seq: ++room.last, at: new Date().toISOString(), written_at }) });
      this.tell("tail", { room: id });
    }
    for (const one of [...this.waiting]) this.settle(one);
  }

  down(on) {
    this.isDown = on;
    this.status = { ...this.status, connected: !on, signedIn: !on };
    this.tell("status");
    if (!on) for (const one of [...this.waiting]) this.run(one);
  }

  move(node) {
    this.node = node;
    this.status = { ...this.status, server: `${location.origin}/node/${node}` };
    this.tell("status");
  }

  refuse(kind) { this.refusing = kind; }

  async http(method, path, body) {
    await pause(30 + (path.length % 7) * 15);
    const [where, query] = path.split("?");
    const params = Object.fromEntries(new URLSearchParams(query));
    for (const [verb, pattern, answer] of ROUTES) {
      const match = verb === method && new RegExp(`^/api/v1/${pattern}$`).exec(where);
      if (match) return answer(this, match.slice(1).map(decodeURIComponent), body ?? {}, params);
    }
    throw new Refused("bad-request", 404, `the stand-in does not know ${method} ${path}`);
  }
}

const view = (room) => ({ ...room, said: undefined, people: undefined, members: room.people.length, first: 1, unread: room.last - room.read });

const ACTS = {
  post(session, room, one) {
    one.seq = ++room.last;
    const mentions = users.filter((user) => one.text.includes(`@${user.name}`)).map((user) => user.id);
    const made = { seq: one.seq, id: one.id, author: "ana", author_id: 1, text: one.text, at: new Date().toISOString(), ...(one.replyTo && { reply_to: one.replyTo, thread: one.replyTo }), ...(mentions.length && { mentions }) };
    session.event("message", room, { message: session.put(room, made) });
  },
  edit(session, room, { seq, text }) { session.event("edited", room, { seq, message: session.put(room, { ...message(room, seq), text, edited: new Date().toISOString() }) }); },
  delete(session, room, { seq }) { session.event("deleted", room, { seq, message: session.put(room, { ...message(room, seq), text: "", deleted: { by: 1, at: new Date().toISOString() } }) }); },
  react(session, room, { seq, emoji, on }) {
    const old = message(room, seq);
    const others = (old.reactions ?? []).map((one) => ({ ...one, users: one.emoji === emoji ? one.users.filter((user) => user !== 1) : one.users }));
    const mine = others.find((one) => one.emoji === emoji);
    if (on && mine) mine.users.push(1);
    else if (on) others.push({ emoji, users: [1] });
    session.event("reacted", room, { seq, emoji, on, message: session.put(room, { ...old, reactions: others.filter((one) => one.users.length) }) });
  },
  pin(session, room, { seq, on }) {
    room.pins = on ? [...room.pins, seq] : room.pins.filter((pin) => pin !== seq);
    session.event("pinned", room, { seq, on, message: session.put(room, { ...message(room, seq), pinned: on || undefined }) });
  },
  read(session, room, { seq }) { room.read = Math.max(room.read, seq); },
  join(session, room) { Object.assign(room, { member: true, invited: false, read: room.last }); room.people.push(1); },
  leave(session, room) { room.member = false; room.people = room.people.filter((id) => id !== 1); },
};

const me = (session) => ({
  user: users[0], session: "17", admin: true, has_password: settings.sign_in !== "open",
  devices: [{ session: "17", name: "Chromium on Linux", opened: "2026-01-03T10:00:00Z", seen: new Date().toISOString(), current: true }, { session: "12", name: "phone", opened: "2025-12-03T10:00:00Z", seen: new Date(Date.now() - 7_200_000).toISOString(), current: false }],
  friends: session.rooms.length ? [{ ...users[1], friendship: "friends" }, { ...users[4], friendship: "friends" }, { ...users[6], friendship: "asked" }, { ...users[8], friendship: "requested" }] : [],
  blocked: session.rooms.length ? [users[10]] : [],
  invitations: session.rooms.filter((room) => room.invited).map((room) => ({ room: room.id, name: room.name, by: 5 })),
});

function page(room, { after, before, around, limit = 100 }) {
  let [low, high] = [Number(after ?? 0) + 1, Math.min(room.last, Number(before ?? Infinity) - 1)];
  if (around) [low, high] = [Math.max(1, around - limit / 2), Math.min(room.last, Number(around) + limit / 2)];
  else if (after === undefined && before) low = Math.max(1, high - limit + 1);
  high = Math.min(high, low + Number(limit) - 1);
  const messages = [];
  for (let seq = low; seq <= high; seq += 1) messages.push(message(room, seq));
  return { room: room.id, messages, current: true };
}

function search({ rooms }, { q, room, before, limit = 20 }) {
  const words = q.toLowerCase().split(/\s+/u);
  const found = [];
  for (const one of rooms.filter((one) => one.member && (!room || String(one.id) === room))) {
    for (let seq = one.last; seq > Math.max(0, one.last - 3000) && found.length < 400; seq -= 1) {
      const made = message(one, seq);
      if (words.every((word) => made.text.toLowerCase().includes(word))) found.push({ ...made, room: one.id });
    }
  }
  found.sort((a, b) => (a.at < b.at ? 1 : -1));
  const from = Number(before ?? 0);
  return { messages: found.slice(from, from + Number(limit)), next: from + Number(limit) < found.length ? String(from + Number(limit)) : null, complete: true };
}

const ROUTES = [
  ["GET", "settings", () => settings],
  ["GET", "me", me],
  ["PATCH", "me", () => ({})],
  ["GET", "rooms", (session) => ({ rooms: session.rooms.map(view) })],
  ["POST", "rooms", (session, _, body) => { const room = makeRoom({ ...body, members: undefined, role: "owner", people: [1] }); session.rooms.push(room); return { id: room.id, name: room.name }; }],
  ["POST", "direct/(.+)", (session, [user]) => ({ id: session.rooms.find((room) => room.with === Number(user))?.id ?? (session.rooms.push(makeRoom({ kind: "direct", with: Number(user), people: [1, Number(user)] })), session.rooms.at(-1).id) })],
  ["GET", "rooms/(\\d+)", (session, [id]) => view(session.room(id))],
  ["PATCH", "rooms/(\\d+)", (session, [id], body) => { const room = session.room(id); Object.assign(room, body, { rules: { ...room.rules, ...body.rules } }); return view(room); }],
  ["GET", "rooms/(\\d+)/messages", (session, [id], _, params) => page(session.room(id), params)],
  ["GET", "rooms/(\\d+)/messages/(\\d+)", (session, [id, seq]) => message(session.room(id), Number(seq))],
  ["GET", "rooms/(\\d+)/messages/(\\d+)/thread", (session, [id, seq]) => ({ room: Number(id), messages: [1, 2, 3].map((n) => ({ ...message(session.room(id), Math.min(session.room(id).last, Number(seq) + n)), reply_to: Number(seq) })) })],
  ["GET", "rooms/(\\d+)/members", (session, [id]) => ({ room: Number(id), members: session.room(id).people.map((user) => ({ ...users[user - 1], role: user === 1 ? session.room(id).role : user === 4 ? "owner" : user === 5 ? "moderator" : "member", read: 0, ...(user === 7 && { muted_until: "forever" }) })), next: null })],
  ["GET", "users/(\\d+)", (_, [id]) => users[Number(id) - 1] ?? (() => { throw new Refused("unknown-user", 404, "there is no such user"); })()],
  ["GET", "users/([^/]+)", (_, [name]) => users.find((user) => user.name === name) ?? (() => { throw new Refused("unknown-user", 404, `there is no user "${name}"`); })()],
  ["GET", "search", (session, _, __, params) => search(session, params)],
  ["POST", "rooms/(\\d+)/decline", (session, [id]) => { session.room(id).invited = false; return {}; }],
  ["GET", "cluster", (session) => ({ node: session.node, leader: session.isCut ? null : 1, term: 7, nodes: [1, 2, 3].map((id) => ({ id, role: id === 1 ? "leader" : "follower", standing: "voter", replaces: null, address: `http://127.0.0.1:${8080 + id}` })) })],
  ["(?:PUT|POST|PATCH|DELETE)", ".*", () => ({})],
];
for (const route of ROUTES.filter(([verb]) => verb.startsWith("(")).splice(0)) for (const verb of ["PUT", "POST", "PATCH", "DELETE"]) ROUTES.push([verb, ...route.slice(1)]);
