// The list of messages: all places of a room's history, of which only those near the viewport are in the page. Heights are measured where items have been,
// and estimated elsewhere. What is being read stays where it is read, whatever changes above: after each drawing the list is set by its anchor, the item at
// the top of the viewport, or by its end.

import { Heights } from "./heights.js";
import { guard, html, render, repeat } from "./lit.js";
import { messageItem, writtenAt } from "./message.js";
import { dayNumber } from "./time.js";

const ESTIMATE = 42;          // px of an item that was never seen
const AROUND = 50;            // items in the page beyond the viewport, on each side
const SLACK = 20;             // of these, so many may be used up before the list is drawn anew
const AT_END = 40;            // px from the end that still count as the end
const SPAN = 120_000;         // places in one list: browsers bound how high an element is
const RUN = 7 * 60_000;       // ms within which messages of one author are one run
const ASK_EVERY = 100;        // ms between questions for pages while somebody scrolls
const FLASH_FOR = 2_000;      // ms
const GLIDE = { duration: 350, easing: "ease-out" };
const SETTLE = { duration: 1_600, easing: "ease-out" };

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class MessageList {
  /** `log` scrolls, `list` is the element of the items. `view(entry)` and `on` are for the items; `seen({through, atEnd})` is told what can be read. */
  constructor(log, list, { view, on, seen, changed }) {
    Object.assign(this, { log, list, view, on, seen, changed });
    this.room = null;
    this.places = new Map();      // room's id -> {anchor} | {end}
    this.heights = new Heights(ESTIMATE);
    this.from = 0;                // the room's index of the list's first item
    this.end = true;              // whether the list keeps to its end
    this.anchor = null;           // {seq} or {key}, and `offset`: its top above the viewport's, negative below
    this.range = [0, 0];
    this.hot = null;              // key of the item that shows its buttons
    this.focused = null;          // key of the item that has the focus, or had it last
    this.width = 0;
    this.asked = 0;
    log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(log);
    this.observer.observe(list);
  }

  // ---- which room, and where in it

  show(room) {
    if (room === this.room) return;
    if (this.room) this.places.set(this.room.id, this.end ? { end: true } : { anchor: this.anchor });
    this.room = room;
    this.range = [0, 0];
    this.heights = new Heights(ESTIMATE);
    this.hot = this.focused = null;
    this.from = 0;
    if (!room) return;
    const kept = this.places.get(room.id);
    room.divider = room.unread && room.read < room.last && room.read > 0 ? room.read + 1 : null;
    this.end = true;
    if (kept?.anchor && !room.divider) [this.end, this.anchor] = [false, kept.anchor];
    else if (room.divider && room.divider > room.first) [this.end, this.anchor] = [false, { seq: room.divider, offset: -this.log.clientHeight * 0.3 }];
  }

  /** Brings a message into sight, and the focus to it if that is wanted. */
  jump(seq, { focus = false, flash = true } = {}) {
    if (!this.room) return;
    this.end = false;
    this.anchor = { seq, offset: -this.log.clientHeight * 0.3 };
    if (flash) {
      this.flash = seq;
      setTimeout(() => { if (this.flash === seq) { this.flash = null; this.changed(); } }, FLASH_FOR);
    }
    this.focusWanted = focus ? seq : null;
    this.go();
  }

  toEnd() {
    this.end = true;
    this.go();
  }

  /** At once: a scroll event that is still on its way would take the place where the list was for where it is wanted. */
  go() {
    this.update();
    this.changed();
  }

  get count() { return Math.min(SPAN, this.room.count - this.from); }

  entry(index) { return this.room.entry(this.from + index); }

  /** Where the anchor is now. */
  indexOf({ seq, key }) {
    let place = seq ?? this.room.ids.get(key);
    if (place) place = Math.min(Math.max(place, this.room.first), this.room.last);
    const index = place ? this.room.indexOf(place) : this.room.committedCount + this.room.behind.findIndex((entry) => entry.key === key);
    return Math.max(0, index) - this.from;
  }

  /** A room with more places than one list can hold: the list is about those around what is looked at. */
  choosePlaces() {
    if (this.room.count <= SPAN) return void (this.from = 0);
    const wanted = this.end ? this.room.count : this.from + this.indexOf(this.anchor);
    const margin = SPAN / 10;
    const begins = wanted - this.from < margin && this.from > 0;
    const ends = wanted - this.from > SPAN - margin && this.from + SPAN < this.room.count;
    if (!begins && !ends && this.from + SPAN >= Math.min(wanted, this.room.count)) return;
    this.from = Math.max(0, Math.min(this.room.count - SPAN, wanted - SPAN / 2));
    this.heights.reset(this.count);
  }

  // ---- drawing

  /** Brings the page up to what the room holds. */
  update() {
    if (!this.room) return void (this.drawn && (render(html``, this.list), (this.drawn = false)));
    // Where nothing can be seen nothing can be measured.
    if (!this.log.clientHeight) return;
    this.drawn = true;
    const waited = this.tops(".waiting, .sending");
    if (this.base !== this.room.first || this.baseOf !== this.room) this.heights.reset(0);
    [this.base, this.baseOf] = [this.room.first, this.room];
    this.choosePlaces();
    this.heights.resize(this.count);
    for (let pass = 0; pass < 4; pass += 1) {
      const before = this.range;
      this.range = this.wanted();
      this.draw();
      const news = this.measure();
      this.place();
      if (!news && before[0] === this.range[0] && before[1] === this.range[1]) break;
    }
    for (const [item, top, wait] of waited) this.glide(item, top, wait);
    this.need();
    this.focusNow();
    this.tellSeen();
  }

  /** The items that shall be in the page. */
  wanted() {
    const height = this.log.clientHeight;
    const top = this.end ? this.heights.total - height : this.heights.before(this.indexOf(this.anchor)) + this.anchor.offset;
    const first = this.heights.find(Math.max(0, top));
    const last = this.heights.find(Math.max(0, top) + height);
    return [Math.max(0, first - AROUND), Math.min(this.count, last + 1 + AROUND)];
  }

  draw() {
    const [low, high] = this.range;
    const items = [];
    for (let index = low; index < high; index += 1) items.push(this.item(index));
    // What leaves the page while it has the focus gives it to the list: it is never lost.
    const holder = document.activeElement?.closest("#messages > li");
    if (holder && !items.some(({ entry }) => entry.key === holder.dataset.key)) this.log.focus({ preventScroll: true });
    render(html`${repeat(items, ({ entry }) => entry.key, ({ entry, view }) => guard(
      [entry.state, entry.message, entry.effect, entry.copies, entry.status, entry.id, entry.text, entry.why, entry.notes, ...Object.values(view)],
      () => messageItem(entry, view, this.on),
    ))}`, this.list);
  }

  item(index) {
    const entry = this.entry(index);
    if (!entry.message) return { entry, view: {} };
    const before = this.before(index);
    const { message } = entry;
    const day = !before ? index + this.from > 0 || this.room.first >= 1 : dayNumber(writtenAt(message) ?? Date.now()) !== dayNumber(writtenAt(before) ?? Date.now());
    const unread = entry.seq !== undefined && entry.seq === this.room.divider;
    const run = before && before.author_id === message.author_id && Math.abs(Date.parse(writtenAt(message)) - Date.parse(writtenAt(before))) < RUN;
    const first = !run || day || unread || Boolean(message.reply_to) || Boolean(before.deleted) || Boolean(entry.notes);
    const view = {
      room: this.room, store: this.room.store, first, day, unread, hot: entry.key === this.hot || entry.key === this.focused, focused: entry.key === this.focused,
      flash: entry.seq !== undefined && entry.seq === this.flash, names: this.room.store.people.version, ...this.view(entry),
      answered: message.reply_to ? this.room.messages.get(message.reply_to) : null, rules: this.room.rules, role: this.room.role, member: this.room.member, archived: this.room.archived, muted: this.room.muted,
    };
    return { entry, view };
  }

  /** The message above this one, as far as it is known. */
  before(index) {
    for (let above = index - 1; above >= 0 && above > index - 6; above -= 1) {
      const entry = this.entry(above);
      if (entry.message && entry.state !== "refused") return entry.message;
      if (entry.state === "missing") return null;
    }
    return null;
  }

  /** Takes the heights of what is in the page. Whether some were not known. */
  measure() {
    let news = false;
    const items = this.list.children;
    const [low] = this.range;
    let top = null;
    for (let nth = 0; nth < items.length; nth += 1) {
      const box = items[nth].getBoundingClientRect();
      top ??= box.top;
      // Missing ones are as high as the estimate, until they are there.
      if (items[nth].className === "blank") this.heights.forget(low + nth);
      else news = this.heights.set(low + nth, box.height) || news;
    }
    return news;
  }

  /** Sets the list into its place. */
  place() {
    const [low, high] = this.range;
    this.pad("paddingTop", this.heights.before(low));
    this.pad("paddingBottom", this.heights.total - this.heights.before(high));
    const top = this.end ? this.log.scrollHeight : this.heights.before(this.indexOf(this.anchor)) + this.anchor.offset + this.list.offsetTop;
    if (Math.abs(this.log.scrollTop - top) > 0.1) this.log.scrollTop = top;
    this.set = this.log.scrollTop;
    // What is above the end by less than there is to scroll is at the end.
    if (!this.end && this.isAtEnd(2)) this.end = true;
  }

  isAtEnd(within) {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    return scrollHeight - scrollTop - clientHeight < within && this.from + this.count >= this.room.count;
  }

  pad(side, height) {
    const text = `${Math.max(0, height).toFixed(2)}px`;
    if (this.list.style[side] !== text) this.list.style[side] = text;
  }

  // ---- scrolling

  scrolled() {
    if (!this.room || Math.abs(this.log.scrollTop - this.set) < 0.5) return;
    this.set = this.log.scrollTop;
    this.findAnchor();
    const height = this.log.clientHeight;
    const top = this.set - this.list.offsetTop;
    const first = this.heights.find(Math.max(0, top));
    const last = this.heights.find(Math.max(0, top + height));
    const [low, high] = this.range;
    const used = (low > 0 && first - low < AROUND - SLACK) || (high < this.count && high - last < AROUND - SLACK);
    if (used) this.update();
    else {
      this.need();
      this.tellSeen();
    }
    if (this.wasAtEnd !== this.end || this.wasFirst !== first) this.changed(true);
    [this.wasAtEnd, this.wasFirst] = [this.end, first];
  }

  /** What is read now: the first item in sight that has its place, or else the first one in sight. */
  findAnchor() {
    const { scrollTop, clientHeight } = this.log;
    this.end = this.isAtEnd(AT_END);
    const top = scrollTop - this.list.offsetTop;
    let index = this.heights.find(Math.max(0, top));
    const first = index;
    while (index < this.count - 1 && this.heights.before(index) < top + clientHeight && this.entry(index).state !== "committed") index += 1;
    if (this.entry(index)?.state !== "committed") index = first;
    const entry = this.entry(index);
    // Nothing is there yet, or any more.
    if (!entry) return;
    this.anchor = { ...(entry.seq ? { seq: entry.seq } : { key: entry.key }), offset: top - this.heights.before(index) };
  }

  resized() {
    if (!this.room) return;
    if (this.width !== this.list.clientWidth) {
      this.width = this.list.clientWidth;
      this.heights.reset(this.count);
    }
    this.update();
  }

  /** Asks for what is in the page and not here, and for what may be looked at next. */
  need() {
    const wait = this.asked + ASK_EVERY - Date.now();
    clearTimeout(this.asking);
    if (wait > 0) return void (this.asking = setTimeout(() => this.need(), wait));
    this.asked = Date.now();
    if (!this.room) return;
    const [low, high] = this.range;
    this.room.need(this.room.first + this.from + low - 20, this.room.first + this.from + high + 20);
  }

  /** What can be read now, for the mark of what was. */
  tellSeen() {
    if (!this.room) return;
    if (this.end) return this.seen({ through: this.room.last, atEnd: true });
    const bottom = this.set - this.list.offsetTop + this.log.clientHeight;
    const last = this.heights.find(bottom - 8);
    const seq = this.room.seqAt(this.from + last - 1);
    this.seen({ through: seq ?? this.room.last, atEnd: false });
  }

  /** The place of the first item in sight, and whether the one named is above, in sight, or below. */
  whereIs(seq) {
    const index = this.indexOf({ seq });
    const top = this.set - this.list.offsetTop;
    if (this.heights.before(index) + this.heights.at(index) < top) return "above";
    return this.heights.before(index) > top + this.log.clientHeight ? "below" : "here";
  }

  // ---- movement

  tops(selector) {
    return [...this.list.querySelectorAll(selector)].map((item) => [item, item.getBoundingClientRect().top, item.classList.contains("waiting")]);
  }

  /** From where it was to where it is. */
  glide(item, from, waited) {
    const by = from - item.getBoundingClientRect().top;
    if (waited && item.isConnected && item.classList.contains("committed") && !still.matches) {
      item.querySelector(".body").animate([{ backgroundColor: getComputedStyle(item).getPropertyValue("--wait-ground") }, {}], SETTLE);
    }
    if (still.matches || !item.isConnected || Math.abs(by) < 2 || Math.abs(by) > innerHeight) return;
    item.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], GLIDE);
  }

  // ---- the focus

  itemOf(key) { return [...this.list.children].find((item) => item.dataset.key === key) ?? null; }

  /** The index of the item that has the focus, or -1. */
  get focusIndex() {
    if (this.focused === null) return -1;
    const [low, high] = this.range;
    for (let index = low; index < high; index += 1) if (this.entry(index).key === this.focused) return index;
    return -1;
  }

  get focusEntry() {
    const index = this.focusIndex;
    return index < 0 ? null : this.entry(index);
  }

  /** The focus goes up or down by one, or to an end; from outside to the last message in sight. */
  moveFocus(by) {
    let index = this.focusIndex;
    if (index < 0) index = this.heights.find(this.set - this.list.offsetTop + this.log.clientHeight - 30) + (by < 0 ? 1 : 0);
    let next = index + by;
    while (next >= 0 && next < this.count && ["gone", "note", "missing"].includes(this.entry(next).state)) next += Math.sign(by);
    if (next < 0) return true;
    if (next >= this.count) return false;
    this.focus(this.entry(next).key);
    return true;
  }

  focus(key) {
    this.focused = key;
    this.update();
    const item = this.itemOf(key);
    if (!item) return;
    item.focus({ preventScroll: true });
    this.reveal(item);
  }

  reveal(item) {
    const [box, log] = [item.getBoundingClientRect(), this.log.getBoundingClientRect()];
    const by = box.top < log.top + 8 ? box.top - log.top - 8 : box.bottom > log.bottom - 8 ? box.bottom - log.bottom + 8 : 0;
    if (by) {
      this.log.scrollTop += by;
      this.scrolled();
    }
  }

  /** The message that was jumped to gets the focus as soon as it is there. */
  focusNow() {
    const seq = this.focusWanted;
    if (!seq || !this.room.messages.has(seq)) return;
    this.focusWanted = null;
    const key = this.room.keyOf(this.room.messages.get(seq).id);
    queueMicrotask(() => {
      this.focused = key;
      this.itemOf(key)?.focus({ preventScroll: true });
      this.changed(true);
    });
  }
}
