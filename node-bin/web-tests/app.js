// What the page's own modules must keep, without a screen: texts of strangers, the heights of a long list, and the model's rules of drawing before a made-up cluster.
//
// `run()` → {passed, failed: ["what: what was wrong"]}.

import { offers } from "../web/app/complete.js";
import { fit, pick } from "../web/app/fuzzy.js";
import { Heights } from "../web/app/heights.js";
import { Kept } from "../web/app/kept.js";
import { Store } from "../web/app/store.js";
import { isEmojiOnly, isReaction, parts, plain, visibleParts } from "../web/app/text.js";

const check = (holds, says) => { if (!holds) throw new Error(says); };
const equal = (came, wanted) => check(JSON.stringify(came) === JSON.stringify(wanted), `${JSON.stringify(came)} instead of ${JSON.stringify(wanted)}`);
const kinds = (text) => parts(text).map(({ kind }) => kind);

/** A session of the seam, as quiet as it can be: what it holds is set by the story. */
class Quiet extends EventTarget {
  user = { id: 1, name: "ana" };
  id = "story";
  status = { server: "http://here", connected: true, signedIn: true, leader: true, members: [] };
  open = [];
  waits = [];
  number = 0;
  asked = [];
  said = new Map();   // seq -> message, of the room's history

  tell(what, detail) { this.dispatchEvent(new CustomEvent(what, { detail })); }
  pending(room) { return this.open.filter((one) => one.room === room); }
  tail() { return this.waits; }
  typing() {}
  submit(kind, room, more) {
    this.number += 1;
    this.open.push({ number: this.number, kind, room, at: 0, status: "sent", ...more });
    return this.number;
  }

  post(room, text, { replyTo } = {}) { return this.submit("post", room, { text, replyTo }); }
  react(room, seq, emoji, on) { return this.submit("react", room, { seq, emoji, on }); }
  read(room, seq) { return this.submit("read", room, { seq }); }
  settle(number, result) {
    this.open = this.open.filter((one) => one.number !== number);
    this.tell("settled", { number, result });
  }

  async http(method, path) {
    this.asked.push(path);
    const page = /messages\?after=(\d+)&before=(\d+)/u.exec(path);
    if (!page) return { messages: [], rooms: [] };
    return { messages: [...this.said.values()].filter(({ seq }) => seq > page[1] && seq < page[2]), current: true };
  }
}

/** A place to keep things in, as `localStorage` is one. */
class Area {
  #items = new Map();
  get length() { return this.#items.size; }
  key(nth) { return [...this.#items.keys()][nth] ?? null; }
  getItem(key) { return this.#items.get(key) ?? null; }
  setItem(key, value) { this.#items.set(key, value); }
  removeItem(key) { this.#items.delete(key); }
}

const message = (seq, more = {}) => ({ seq, id: `m${seq}`, author: "ben", author_id: 2, text: `text ${seq}`, at: "2026-01-01T00:00:00.000Z", ...more });
const VIEW = { id: 7, name: "lobby", kind: "public", topic: "", archived: false, member: true, members: 2, role: "member", invited: false, with: null, first: 1, last: 0, read: 0, mentions: 0, pins: [], rules: { post: "members", edits: true } };

function scene(view = {}) {
  const session = new Quiet();
  const store = new Store(session);
  const room = store.room(7);
  room.take({ ...VIEW, ...view });
  const entries = () => Array.from({ length: room.count }, (_, index) => room.entry(index));
  const shown = () => entries().map(({ state, message: { text } = {} }) => `${state} ${text ?? ""}`.trim());
  const deliver = (said) => session.tell("deliver", { type: "message", room: 7, cursor: said.seq, message: said });
  return { session, store, room, entries, shown, deliver };
}

const STORIES = {
  "a text is the same text again when its parts are put together"() {
    for (const text of ["plain", "a https://a.example/b_(c). d", "say `x*y*z` to @ben, @ana.", "rtl \u202e back \u202c \u2066 \u200b \u0007 end", "2*3*4 snake_case_name", "<script>alert(1)</script>", "👩‍👩‍👧 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}"]) {
      const again = parts(text).map((part) => (part.kind === "code" ? `\`${part.text}\`` : part.text)).join("");
      equal(again, text);
    }
  },
  "only http and https become links, and what ends the sentence is no part of them"() {
    equal(kinds("javascript:alert(1) data:text/html,x ftp://a.example file:///etc"), ["text"]);
    const links = parts("see (https://a.example/b_(c)), http://b.example/?q=1! https://user:word@evil.example/").filter(({ kind }) => kind === "link");
    equal(links.map(({ text }) => text), ["https://a.example/b_(c)", "http://b.example/?q=1"]);
  },
  "what is not seen stands alone, and emoji stay whole"() {
    equal(visibleParts("a\u202eb").map(({ kind }) => kind), ["text", "control", "text"]);
    equal(kinds("👩‍👩‍👧‍👦"), ["text"]);
    equal(plain("a\u202eb\n\u200bc"), "a b c");
    check(isEmojiOnly("👍 🎉") && !isEmojiOnly("ok") && !isEmojiOnly("12"), "emoji");
    check(isReaction("👍") && isReaction("yum") && !isReaction("two words") && !isReaction("x".repeat(33)) && !isReaction("\u202e"), "reactions");
  },
  "bold and italics stand at the edges of words"() {
    equal(kinds("*a* _b_ 2*3*4 a_b_c **d** * e *"), ["bold", "text", "italic", "text"]);
    equal(kinds("```\na *b*\n``` c"), ["block", "text"]);
  },
  "heights are sums, whatever is measured in whatever order"() {
    const heights = new Heights(40);
    heights.resize(1_000);
    const known = Array(1_000).fill(40);
    for (let nth = 0; nth < 3_000; nth += 1) {
      const at = (nth * 7_919) % 1_000;
      heights.set(at, (known[at] = 20 + (nth * 31) % 100));
    }
    heights.resize(5_000);
    const sum = known.reduce((a, b) => a + b, 0);
    check(Math.abs(heights.before(1_000) - sum) < 0.01 && Math.abs(heights.total - sum - 4_000 * 40) < 0.01, "the sum");
    check(heights.find(heights.before(617) + 1) === 617 && heights.find(1e9) === 4_999 && heights.find(0) === 0, "the place");
    heights.resize(500);
    check(Math.abs(heights.total - known.slice(0, 500).reduce((a, b) => a + b, 0)) < 0.01, "shorter");
  },
  "names that begin so come before names that only have the letters"() {
    equal(pick("be", ["cube", "lobby e", "ben", "the bench"], (name) => name), ["ben", "the bench", "cube", "lobby e"]);
    equal(fit("crème", "Creme"), 1_000);
    equal(fit("xyz", "abc"), null);
  },
  "an own message is shown once, under one key, from its writing to its place"() {
    const { session, store, room, entries, shown, deliver } = scene();
    const number = store.post(room, "hello");
    equal(shown(), ["sending hello"]);
    const [{ key }] = entries();
    // The stream is before the answer.
    deliver(message(1, { id: "real", author: "ana", author_id: 1, text: "hello" }));
    equal(shown(), ["committed hello"]);
    equal([entries()[0].key, entries()[0].id], [key, "real"]);
    session.settle(number, { ok: { seq: 1, id: "real" } });
    equal(shown(), ["committed hello"]);
    equal(entries()[0].key, key);
    equal(room.unread, 0);
  },
  "an answer that is before the stream takes nothing from the screen"() {
    const { session, store, room, shown, deliver } = scene();
    const number = store.post(room, "hello");
    session.settle(number, { ok: { seq: 1, id: "real", at: "2026-01-01T00:00:00.000Z" } });
    equal(shown(), ["committed hello"]);
    deliver(message(1, { id: "real", author: "ana", author_id: 1, text: "hello" }));
    equal(shown(), ["committed hello"]);
  },
  "two own messages of one text are two"() {
    const { store, room, shown, deliver } = scene();
    store.post(room, "yes");
    store.post(room, "yes");
    deliver(message(1, { id: "one", author: "ana", author_id: 1, text: "yes" }));
    equal(shown(), ["committed yes", "sending yes"]);
    deliver(message(2, { id: "two", author: "ana", author_id: 1, text: "yes" }));
    equal(shown(), ["committed yes", "committed yes"]);
  },
  "what is accepted stands in the tail and goes to its place under its key"() {
    const { session, store, room, entries, shown, deliver } = scene();
    store.post(room, "alone");
    const [{ key }] = entries();
    Object.assign(session.open[0], { status: "accepted", id: "real", copies: 1 });
    session.tell("accepted", { number: 1, id: "real", copies: 1 });
    equal(shown(), ["waiting alone"]);
    session.waits = [{ id: "other", author: "ben", author_id: 2, text: "me too", written_at: "2026-01-01T00:00:00.000Z", copies: 2, order: "1" }, { id: "real", author: "ana", author_id: 1, text: "alone", written_at: "2026-01-01T00:00:00.000Z", copies: 2, order: "2" }];
    session.tell("tail", { room: 7 });
    equal(shown(), ["waiting me too", "waiting alone"]);
    equal(entries()[1].key, key);
    equal(room.unread, 1);
    session.waits = [session.waits[0]];
    deliver(message(1, { id: "real", author: "ana", author_id: 1, text: "alone" }));
    session.tell("tail", { room: 7 });
    equal(shown(), ["committed alone", "waiting me too"]);
    equal(entries()[0].key, key);
  },
  "a refused post stays with its reason until its author says what becomes of it"() {
    const { session, store, room, entries, shown } = scene();
    const number = store.post(room, "no");
    session.settle(number, { refused: { kind: "banned", detail: "you are banned" } });
    equal(shown(), ["refused no"]);
    equal(entries()[0].why.detail, "you are banned");
    store.again(room, entries()[0].post);
    equal(shown(), ["sending no"]);
    session.settle(2, { refused: { kind: "banned", detail: "you are banned" } });
    store.discard(room, entries()[0].post);
    equal(shown(), []);
  },
  "two tabs keep drafts and refused posts beside each other, and what one gives up stays given up"() {
    const area = new Area();
    const open = (changed = () => {}) => new Kept("tertulia.1.tabs", changed, area);
    const [one, other] = [open(), open()];
    one.setDraft(7, "in the one");
    other.setDraft(8, "in the other");
    one.refuse(7, { number: 17, text: "no", at: 1 });
    other.refuse(7, { number: 17, text: "no", at: 1 });
    other.refuse(8, { number: 18, text: "nor this", at: 2 });
    equal([open().draft(7), open().draft(8), open().refused(7).length, open().refused(8).length], ["in the one", "in the other", 1, 1]);
    one.discard(7, 17);
    other.setDraft(8, "");
    equal([open().draft(7), open().draft(8), open().refused(7).length, open().refused(8)[0].text], ["in the one", "", 0, "nor this"]);
    for (let number = 100; number < 200; number += 1) one.refuse(9, { number, text: "", at: number });
    equal([open().refused(9).length, open().refused(9)[0].number], [50, 150]);
    other.forget();
    equal(area.length, 0);
    for (const kept of [one, other]) kept.close();
  },
  "what moderators do is noted where it was done, and stands before what was said after it"() {
    const { session, store, room, entries, shown, deliver } = scene();
    const news = [];
    store.addEventListener("standing", ({ detail }) => news.push(detail.text));
    const done = (type, cursor, more) => session.tell("deliver", { type, room: 7, cursor, by: 3, by_name: "dora", user: 2, user_name: "ben", ...more });
    deliver(message(1));
    done("muted", 2, { until: "forever" });
    equal([shown().at(-1), room.behind[0].text], ["note", "dora muted ben until a moderator ends it."]);
    deliver(message(3));
    equal([shown(), entries()[1].seq ?? null], [["committed text 1", "missing", "committed text 3"], 2]);
    equal(entries()[2].notes, ["dora muted ben until a moderator ends it."]);
    done("muted", 4, { user: 1, user_name: "ana", until: "forever" });
    equal([room.muted, room.mayPost, news], [true, false, ["dora muted you in lobby until a moderator ends it."]]);
    done("muted", 5, { user: 1, user_name: "ana", until: null });
    equal([room.muted, room.mayPost, news.at(-1)], [false, true, "You may write in lobby again: dora has ended your mute."]);
    done("role", 6, { user: 1, user_name: "ana", role: "moderator" });
    equal(news.at(-1), "dora made you a moderator of lobby.");
    done("banned", 7, { user: 9, user_name: "eve", on: true });
    equal([room.memberCount, room.behind.at(-1).text], [2, "dora banned eve from this room."]);
    done("kicked", 8, { user: 1, user_name: "ana" });
    equal([room.member, room.away, news.at(-1)], [false, { how: "kicked", by: "dora" }, "dora removed you from lobby."]);
  },
  "somebody else's message that is withdrawn leaves a note"() {
    const { session, room, shown } = scene();
    session.waits = [{ id: "x", author: "ben", author_id: 2, text: "hm", written_at: "2026-01-01T00:00:00.000Z", copies: 1, order: "1" }];
    session.tell("tail", { room: 7 });
    session.waits = [];
    session.tell("withdrawn", { room: 7, id: "x", why: { kind: "banned", detail: "…" } });
    session.tell("tail", { room: 7 });
    equal(shown(), ["note"]);
    equal(room.behind[0].text, "A message of ben got no place in this room: banned.");
  },
  async "pages fill the places that are looked at, and nothing older takes the place of something newer"() {
    const { session, room, deliver } = scene({ last: 250, read: 250 });
    for (let seq = 1; seq <= 250; seq += 1) if (seq !== 120) session.said.set(seq, message(seq));
    room.need(90, 130);
    session.tell("deliver", { type: "edited", room: 7, cursor: 300, seq: 95, message: message(95, { text: "newer" }) });
    deliver(message(251));
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    equal(session.asked.filter((path) => path.includes("messages")).length, 2);
    equal([room.entry(94).message.text, room.entry(119).state, room.entry(129).message.text, room.entry(220).state, room.entry(250).message.text], ["text 95", "gone", "text 130", "missing", "text 251"]);
    session.tell("deliver", { type: "edited", room: 7, cursor: 301, seq: 95, message: message(95, { text: "newest" }) });
    equal(room.entry(94).message.text, "newest");
  },
  "unread and mentions are counted once, whatever is told again"() {
    const { session, room, deliver } = scene({ last: 10, read: 8, mentions: 1 });
    equal([room.unread, room.mentions], [2, 1]);
    deliver(message(10, { mentions: [1] }));
    equal([room.unread, room.mentions], [2, 1]);
    deliver(message(11, { mentions: [1] }));
    equal([room.unread, room.mentions], [3, 2]);
    session.tell("deliver", { type: "notice", notice: "read", room: 7, seq: 11, unread: 0 });
    equal([room.unread, room.mentions], [0, 0]);
  },
  "own reactions show at once, and are marked until they are through"() {
    const { session, store, room, deliver } = scene();
    deliver(message(1));
    const number = store.react(room, 1, "👍", true);
    equal([...room.entry(0).effect.reactions], [["👍", true]]);
    session.settle(number, { ok: {} });
    equal(room.entry(0).effect, undefined);
  },
  "only names that a mention reaches are offered"() {
    const { store, room } = scene();
    room.members = new Map([[1, { id: 1, name: "ana" }], [2, { id: 2, name: "ben" }], [3, { id: 3, name: "two words" }], [4, { id: 4, name: "bea" }]].map(([id, member]) => [id, store.people.take({ ...member, shown: member.name })]));
    equal(offers("hello @b", room, store).items.map(({ insert }) => insert), ["@ben ", "@bea "]);
    equal(offers("mail me at a@b", room, store), null);
    equal(offers("hello @tw", room, store), null);
  },
};

export async function run() {
  const failed = [];
  for (const [what, story] of Object.entries(STORIES)) {
    try {
      await story();
    } catch (error) {
      failed.push(`${what}: ${error.message}`);
    }
  }
  return { passed: Object.keys(STORIES).length - failed.length, failed };
}
