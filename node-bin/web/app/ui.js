// What the page is showing: one state, changed by views, drawn at most once a frame. Where it is stands in the address, so that the back button works:
// #/room/12, #/room/12/345 (a message), #/room/12/members, #/room/12/pins, #/room/12/about, #/room/12/thread/345, #/room/12/search, #/search.

import { sentence } from "./store.js";

const TOAST_FOR = 7_000;    // ms
const PANES = ["members", "pins", "about", "search", "thread"];

export const ui = {
  phase: "starting",        // | "sign-in" | "in"
  session: null,
  store: null,
  settings: null,           // the cluster's, before signing in
  entry: { busy: false, error: "", said: "", register: false, invite: "" },
  cluster: { node: null, view: null, cutOff: false, moved: null, reached: true },
  route: { room: null, seq: null, pane: null, arg: null },
  replies: new Map(),       // room -> message that the next post answers
  editing: null,            // {room, seq, before}
  dialog: null,             // {kind, …}
  menu: null,               // {items, at, label}
  picker: null,             // {room, seq, at}
  toasts: [],
  search: { words: "", here: false, results: null, next: null, busy: false, error: "" },
  threads: new Map(),       // "room/seq" -> {messages, error}
  expanded: new Set(),      // keys of long messages that are shown whole
  flash: null,              // key of the message that was jumped to
  shows: {},                // sections of the list of rooms that are open
};

let drawer = () => {};
let queued = false;

export function drawWith(how) { drawer = how; }

export function draw() {
  if (queued) return;
  queued = true;
  const run = () => { queued = false; drawer(); };
  if (document.hidden) setTimeout(run, 30); else requestAnimationFrame(run);
}

// ---- where the page is

export function parse(hash) {
  const [, what, id, third, fourth] = hash.replace(/^#/u, "").split("/").map(decodeURIComponent);
  const route = { room: null, seq: null, pane: null, arg: null };
  if (what === "search") return { ...route, pane: "search" };
  if (what !== "room" || !/^\d+$/u.test(id ?? "")) return route;
  route.room = Number(id);
  if (/^\d+$/u.test(third ?? "")) route.seq = Number(third);
  else if (PANES.includes(third)) Object.assign(route, { pane: third, arg: third === "thread" ? Number(fourth) || null : null });
  return route;
}

export function hashOf({ room, seq = null, pane = null, arg = null }) {
  if (room === null) return pane === "search" ? "#/search" : "#/";
  return `#/room/${room}${pane ? `/${pane}` : seq ? `/${seq}` : ""}${arg ? `/${arg}` : ""}`;
}

const narrow = matchMedia("(max-width: 60rem)");

/** Goes to a place in the page. `replace`: the back button does not lead here. */
export function go(route, { replace = false } = {}) {
  const hash = hashOf(route);
  if (hash === (location.hash || "#/")) return dispatchEvent(new HashChangeEvent("hashchange"));
  if (replace) location.replace(hash); else location.hash = hash;
}

export const openRoom = (room, seq = null) => go({ room, seq });

/** Opens a pane beside the room, or closes it. Where it takes the place of the room, the back button closes it. */
export function togglePane(pane, arg = null) {
  const { room, pane: now, arg: nowArg } = ui.route;
  const open = !(now === pane && nowArg === arg);
  go(open ? { room, pane, arg } : { room }, { replace: !narrow.matches });
}

export function closePane() {
  if (ui.route.pane) go({ room: ui.route.room }, { replace: true });
}

export const currentRoom = () => (ui.store && ui.route.room !== null ? ui.store.rooms.get(ui.route.room) ?? null : null);

// ---- what went wrong, and what is done

/** `about`: what it is news of; older news of the same gives way. */
export function toast(text, { bad = false, about = null } = {}) {
  const one = { text, bad, about };
  ui.toasts = [...ui.toasts.filter((other) => other.text !== text && (about === null || other.about !== about)), one].slice(-3);
  setTimeout(() => dismiss(one), TOAST_FOR);
  draw();
}

export function dismiss(one) {
  ui.toasts = ui.toasts.filter((other) => other !== one);
  draw();
}

/** Does something that a person asked for; what refuses it is shown. Whether it was done. */
export async function attempt(what, failed = "") {
  try {
    await (typeof what === "function" ? what() : what);
    return true;
  } catch (error) {
    toast(failed ? `${failed}: ${sentence(error)}` : capital(sentence(error)), { bad: true });
    return false;
  } finally {
    draw();
  }
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// ---- dialogs and menus: one of each at a time

export function openDialog(dialog) {
  ui.dialog = dialog;
  ui.menu = null;
  draw();
}

export function closeDialog() {
  ui.dialog = null;
  draw();
}

/** A list of things to do at an element: `{label, icon, run, danger, hint}`, or `null` for a line. */
export function openMenu(element, items, label) {
  ui.menu = { items: items.filter((item) => item !== undefined), at: element, label };
  draw();
}

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    openDialog({ kind: "copy", text });
  }
}

export const linkTo = (room, seq) => `${location.origin}/${hashOf({ room: room.id, seq })}`;
