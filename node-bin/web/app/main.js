// The page begins here: the session that this device has, or signing in; then everything is drawn from the store when something has changed.

import { Session } from "../core/session.js";
import { register, shell as installed } from "../core/shell.js";
import { the, onMessage } from "./actions.js";
import { composer, focusComposer, grow } from "./composer.js";
import { conversation } from "./conversation.js";
import { dialogView, placeDialog } from "./dialogs.js";
import { entryView, invitedBy, loadSettings } from "./entry.js";
import { icon } from "./icons.js";
import { onKey } from "./keys.js";
import { MessageList } from "./list.js";
import { html, render } from "./lit.js";
import { lookNow, watch } from "./look.js";
import { menuView, pickerView, placePopovers } from "./menu.js";
import { arrived, title } from "./notify.js";
import { openedPane, pane } from "./panes.js";
import { roomsPane } from "./rooms-pane.js";
import { Store } from "./store.js";
import { visited } from "./switcher.js";
import { currentRoom, dismiss, draw, drawWith, go, parse, toast, ui } from "./ui.js";

const AWAY_AFTER = 2_500;   // ms without a connection until it is spoken of
const LAST_ROOM = "tertulia.room";

// ---- drawing

function shell() {
  if (ui.phase !== "in") return entryView(enter);
  const { room, pane: which } = ui.route;
  const names = ["shell", room !== null && "in-room", which && "with-pane"].filter(Boolean).join(" ");
  return html`<div class=${names}>${roomsPane()}${conversation(the.list)}${pane()}</div>
    ${dialogView()}${menuView()}${pickerView()}
    <div id="toasts" popover="manual" role="status">${ui.toasts.map((one) => html`<div class=${one.bad ? "toast bad" : "toast"}><span>${one.text}</span><button type="button" class="icon-button" aria-label="Close" @click=${() => dismiss(one)}>${icon("close")}</button></div>`)}</div>
    <div id="spoken" class="unseen" aria-live="polite" aria-relevant="additions"></div>`;
}

const root = document.getElementById("app");

drawWith(() => {
  render(shell(), root);
  const room = currentRoom();
  if (ui.phase === "in") attachList();
  if (the.list) {
    const before = the.list.room;
    the.list.show(room);
    if (room && arriving) {
      the.list.jump(arriving, { focus: true });
      arriving = null;
    }
    the.list.update();
    // What the list has found out may change what stands around it.
    if (before !== the.list.room) draw();
  }
  placePopovers();
  placeDialog();
  placeToasts();
  const text = title();
  if (document.title !== text) document.title = text;
});

function placeToasts() {
  const element = document.getElementById("toasts");
  if (element && Boolean(ui.toasts.length) !== element.matches(":popover-open")) element.togglePopover();
}

function attachList() {
  const log = document.getElementById("log");
  if (the.list?.log === log) return;
  the.list = new MessageList(log, document.getElementById("messages"), {
    view: (entry) => ({ expanded: ui.expanded.has(entry.key), editing: ui.editing?.room === currentRoom() && ui.editing?.seq === entry.seq && entry.seq !== undefined }),
    on: onMessage, seen, changed: () => draw(),
  });
  log.addEventListener("pointerover", (event) => pointed(event.target.closest("#messages > li")));
  log.addEventListener("pointerleave", () => pointed(null));
  log.addEventListener("focusin", (event) => focused(event.target.closest("#messages > li")));
  log.addEventListener("click", (event) => {
    // A press on a message, on a touch screen say, shows what can be done with it.
    const item = event.target.closest("#messages > li.message");
    if (item && !event.target.closest("a, button") && !String(getSelection())) item.focus({ preventScroll: true });
  });
  log.addEventListener("contextmenu", (event) => {
    const item = event.target.closest("#messages > li.message");
    if (!item || event.target.closest("a") || String(getSelection())) return;
    const entry = the.list.focusEntry;
    if (entry?.key === item.dataset.key && event.pointerType !== "mouse") { event.preventDefault(); onMessage.menu(entry, item); }
  });
}

function pointed(item) {
  const key = item?.dataset.key ?? null;
  if (matchMedia("(hover: none)").matches || the.list.hot === key) return;
  the.list.hot = key;
  draw();
}

function focused(item) {
  const key = item?.dataset.key ?? null;
  if (!key || the.list.focused === key) return;
  the.list.focused = key;
  draw();
}

/** Whoever can see it, and looks, has read it. */
function seen({ through, atEnd }) {
  const room = currentRoom();
  if (!room?.member || room !== the.list.room || document.hidden || !document.hasFocus()) return;
  if (atEnd) for (const message of room.tail) room.seenTail.add(message.id);
  if (through > room.read && !room.isMissing(through)) ui.store.read(room, through);
}

// ---- going places

let former = { room: null, pane: null, arg: null };
let arriving = null;   // the message that is to be shown as soon as its room is

function arriveAt(route) {
  ui.route = route;
  ui.menu = ui.picker = null;
  const room = currentRoom();
  if (route.room !== former.room) {
    if (former.room !== null && ui.store?.rooms.get(former.room)) ui.store.rooms.get(former.room).divider = null;
    if (room) entered(room);
  }
  arriving = route.seq;
  if (route.pane && (route.pane !== former.pane || route.arg !== former.arg || route.room !== former.room)) openedPane(route, room);
  if (!route.pane && former.pane && !route.seq && document.activeElement?.closest("#pane")) requestAnimationFrame(focusComposer);
  former = route;
  draw();
}

function entered(room) {
  visited(room.id);
  try {
    sessionStorage.setItem(LAST_ROOM, room.id);
    localStorage.setItem(LAST_ROOM, room.id);
  } catch { /* Then the page begins at its start. */ }
  if (room.member && !room.members && room.kind !== "direct") ui.store.loadMembers(room).catch(() => {});
  if (room.with) ui.store.people.get(room.with);
  // Where there is a keyboard, writing begins at once; on a phone it would cover the room.
  if (matchMedia("(hover: hover)").matches && !ui.route.pane && !ui.route.seq) requestAnimationFrame(() => requestAnimationFrame(() => { if (!ui.dialog && !ui.menu) focusComposer(); grow(); }));
}

addEventListener("hashchange", () => {
  if (invitedBy(location.hash)) takeInvitation();
  if (ui.phase === "in") arriveAt(parse(location.hash)); else draw();
});

// ---- the session

async function enter(how) {
  const session = await Session.open(how);
  await begin(session);
}

async function begin(session) {
  const store = new Store(session);
  Object.assign(ui, { session, store, phase: "in" });
  Object.assign(ui.entry, { error: "", busy: false });
  store.addEventListener("changed", draw);
  store.addEventListener("message", ({ detail }) => { arrived(detail); markNew(detail); document.title = title(); });
  store.addEventListener("trouble", ({ detail }) => toast(detail.text, { bad: true }));
  store.addEventListener("standing", ({ detail: { room, text, bad } }) => toast(text, { bad, about: `room ${room.id}` }));
  store.addEventListener("status", statusChanged);
  store.addEventListener("notice", ({ detail }) => noticed(detail));
  session.addEventListener("accepted", lookNow);
  session.addEventListener("rejected", ({ detail }) => { store.forget(); ui.leave(ended(detail)); });
  statusChanged();
  lookNow();
  arriveAt(parse(location.hash));
  await start(store);
}

/** Why somebody has to sign in again, and what was lost by it. */
function ended({ kind, pending = [] }) {
  const posts = pending.filter((command) => command.kind === "post").length;
  const lost = posts ? ` ${posts === 1 ? "A message that waited here was" : `${posts} messages that waited here were`} not sent.` : "";
  return `${kind === "logged-out" ? "This device was signed out, by another one or by a change of the password." : "Your session has ended: sign in again."}${lost}`;
}

async function start(store) {
  for (;;) {
    try {
      await store.start();
      break;
    } catch (error) {
      if (ui.store !== store) return;
      if (error.status === 401) return;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
  if (!location.hash || location.hash === "#/") {
    const last = lastRoom();
    if (store.rooms.get(last)?.member) return go({ room: last }, { replace: true });
  }
  former = { room: null, pane: null, arg: null };
  arriveAt(parse(location.hash));
}

/** Where this window was; a new one begins where the last one was, but on a phone, which begins with the rooms. */
function lastRoom() {
  try {
    const here = sessionStorage.getItem(LAST_ROOM);
    return Number(here ?? (matchMedia("(min-width: 45.01rem)").matches ? localStorage.getItem(LAST_ROOM) : 0));
  } catch {
    return 0;
  }
}

/** Whoever looks elsewhere finds where the new ones begin. */
function markNew({ room, message }) {
  if (room === currentRoom() && !document.hasFocus() && !room.divider && message.author_id !== ui.store.me.id) room.divider = message.seq;
}

function noticed(frame) {
  if (frame.notice === "invited") toast(`You are invited to ${frame.name || "a group"}.`);
  if (frame.notice !== "friendship") return;
  const said = { asked: `${frame.user_name} asks to be your friend.`, friends: `${frame.user_name} and you are friends.` }[frame.friendship];
  if (said) toast(said, { about: `friend ${frame.user}` });
}

function statusChanged() {
  lookNow();
  clearTimeout(ui.awayTimer);
  if (ui.session?.status.connected) ui.away = false;
  else ui.awayTimer = setTimeout(() => { ui.away = true; draw(); }, AWAY_AFTER);
  draw();
}

/** Back to signing in; whoever comes in next sees nothing of this person's. `why`: what went wrong; `said`: what was done. */
ui.leave = (why, said = "") => {
  ui.store?.stop();
  Object.assign(ui, { phase: "sign-in", session: null, store: null, dialog: null, menu: null, picker: null, editing: null, toasts: [], replies: new Map(), expanded: new Set(), threads: new Map() });
  ui.search = { words: "", here: false, results: null, next: null, busy: false, error: "" };
  ui.entry = { busy: false, error: why, said, register: false, invite: "" };
  the.list?.observer.disconnect();
  the.list = null;
  former = { room: null, pane: null, arg: null };
  try {
    sessionStorage.removeItem(LAST_ROOM);
    localStorage.removeItem(LAST_ROOM);
  } catch { /* Nothing was kept. */ }
  history.replaceState(null, "", "#/");
  // They may have changed since.
  ui.settings = null;
  loadSettings().then(focusName);
  draw();
};

const focusName = () => requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById("name")?.focus()));

/** Whoever comes by an invitation's link, and has no session, is to register. */
function takeInvitation() {
  const invite = invitedBy(location.hash);
  if (!invite) return;
  history.replaceState(null, "", "#/");
  if (ui.phase !== "in") Object.assign(ui.entry, { register: true, invite });
}

composer.sent = (room) => {
  room.divider = null;
  the.list?.toEnd();
};
document.addEventListener("keydown", onKey);
for (const what of ["focus", "visibilitychange"]) addEventListener(what, () => { the.list?.tellSeen(); draw(); });
document.addEventListener("visibilitychange", () => !document.hidden && draw());
addEventListener("pagehide", () => ui.store?.save());

register();
installed.addEventListener("update", () => toast("There is a newer release: the next load shows it."));
watch();
draw();
try {
  const session = await Session.resume();
  if (session) await begin(session);
} catch (error) {
  console.error(error);
}
takeInvitation();
if (ui.phase === "starting") {
  ui.phase = "sign-in";
  draw();
  await loadSettings();
  focusName();
}
