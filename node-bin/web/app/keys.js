// What the keyboard does everywhere. Each shortcut is in the table that `?` shows.

import { askDelete, messageMenu, onMessage, the } from "./actions.js";
import { focusComposer } from "./composer.js";
import { attempt, closePane, copy, currentRoom, draw, linkTo, openDialog, openMenu, openRoom, togglePane, ui } from "./ui.js";

export const isMac = /Mac|iPhone|iPad/u.test(navigator.userAgentData?.platform ?? navigator.platform ?? "");
const mod = isMac ? "⌘" : "Ctrl";

export const SHORTCUTS = [
  ["Everywhere", [
    [`${mod} K`, "Jump to a room, a person, a command"], ["F6 · Shift F6", "Next, previous part of the page"], ["Alt ↑ · Alt ↓", "Previous, next room"], ["Alt Shift ↑ · Alt Shift ↓", "Previous, next unread room"],
    [`${mod} Shift F`, "Search"], ["Escape", "Back: to writing, or out of what is open"], ["?", "These shortcuts"],
  ]],
  ["Writing", [["Enter", "Send"], ["Shift Enter", "New line"], ["↑ in an empty field", "Change your last message"], ["@ :", "Complete a name, an emoji"], ["Shift Tab, then ↑ ↓", "To the messages"]]],
  ["On a message", [
    ["↑ ↓ · Home End", "Other messages"], ["R", "Reply"], ["E", "Edit"], ["+", "React"], ["T", "Thread"], ["P", "Pin, unpin"], ["C · L", "Copy text, copy link"], ["Delete", "Delete"], ["Enter", "All that can be done"], ["Escape", "Back to writing"],
  ]],
];

const isField = (element) => element?.matches?.("input, textarea, select, [contenteditable]");

/** Keys that reach the document. */
export function onKey(event) {
  if (ui.phase !== "in" || event.isComposing || event.defaultPrevented) return;
  const modal = ui.dialog || ui.menu || ui.picker;
  const command = isMac ? event.metaKey : event.ctrlKey;
  if (command && !event.altKey && event.key.toLowerCase() === "k") return done(event, () => (ui.dialog?.kind === "switcher" ? (ui.dialog = null, draw()) : openDialog({ kind: "switcher" })));
  if (modal) return;
  if (command && event.shiftKey && event.key.toLowerCase() === "f") return done(event, () => togglePane("search"));
  if (event.key === "F6") return done(event, () => nextRegion(event.shiftKey ? -1 : 1));
  if (event.altKey && !command && (event.key === "ArrowUp" || event.key === "ArrowDown")) return done(event, () => nextRoom(event.key === "ArrowUp" ? -1 : 1, event.shiftKey));
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (inMessages(event)) return;
  if (event.key === "Escape") return done(event, back);
  if (event.key === "?" && !isField(event.target)) return done(event, () => openDialog({ kind: "shortcuts" }));
  // Who begins to type means to write.
  if (event.key.length === 1 && event.key !== " " && !isField(event.target) && event.target === document.body) focusComposer();
}

function done(event, what) {
  event.preventDefault();
  what();
}

/** Out of a pane, or to the place of writing. */
function back() {
  const inPane = document.activeElement?.closest("#pane");
  if (ui.route.pane && (inPane || document.activeElement?.id === "text")) {
    closePane();
    requestAnimationFrame(() => focusComposer() || document.getElementById("log")?.focus());
  } else if (!focusComposer()) document.getElementById("log")?.focus();
}

// ---- regions

/** Each part of the page, and what gets the focus in it: the first of these that is there. */
const REGIONS = [["#side", ["#rooms [aria-current]", "#rooms .row", "#side button"]], ["#log", ["#log"]], ["#post", ["#text", "#post button"]], ["#pane", ["#pane input", "#pane .pane-body"]]];

function nextRegion(by) {
  const there = REGIONS.map(([region, focus]) => ({ region: document.querySelector(region), focus })).filter(({ region }) => region?.checkVisibility());
  const at = there.findIndex(({ region }) => region.contains(document.activeElement));
  for (let step = 1; step <= there.length; step += 1) {
    const { focus } = there[(((at < 0 && by < 0 ? 0 : at) + by * step) % there.length + there.length) % there.length];
    const target = focus.flatMap((one) => [...document.querySelectorAll(one)]).find((element) => element.checkVisibility() && !element.disabled);
    if (!target) continue;
    target.focus();
    return;
  }
}

// ---- rooms

function nextRoom(by, unreadOnly) {
  const buttons = [...document.querySelectorAll("#rooms [data-room]")];
  const ids = buttons.map((button) => Number(button.dataset.room)).filter((id) => ui.store.rooms.get(id)?.member);
  const at = ids.indexOf(ui.route.room);
  for (let step = 1; step <= ids.length; step += 1) {
    const id = ids[((at < 0 && by < 0 ? 0 : at) + by * step + ids.length * 2) % ids.length];
    if (id !== ui.route.room && (!unreadOnly || ui.store.rooms.get(id).unread)) return openRoom(id);
  }
}

// ---- messages

/** Whether the key was for the list of messages. */
function inMessages(event) {
  const { list } = the;
  const log = document.getElementById("log");
  const item = event.target.closest?.("#messages > li");
  if (!log?.contains(event.target) || !list?.room) return false;
  if (event.target !== log && event.target !== item) {
    // On a button or a link within a message only what leads out of it counts.
    if (event.key !== "Escape" && event.key !== "ArrowUp" && event.key !== "ArrowDown") return false;
    if (event.key === "Escape") return done(event, () => item.focus({ preventScroll: true })), true;
  }
  const run = MOVES[event.key] ?? (item && ON_MESSAGE[event.key.length === 1 ? event.key.toLowerCase() : event.key]);
  if (!run) return false;
  return run(list, list.focusEntry, item, event) !== false ? (event.preventDefault(), true) : false;
}

const MOVES = {
  ArrowUp: (list) => list.moveFocus(-1),
  ArrowDown: (list) => void (list.moveFocus(1) || focusComposer()),
  Escape: () => void (focusComposer() || document.getElementById("log").focus()),
  Home: (list, entry, item) => (item ? list.jump(list.room.first, { focus: true, flash: false }) : false),
  End: (list) => { list.toEnd(); focusComposer(); },
};

const committed = (entry) => entry?.state === "committed" && !entry.message.deleted;

const ON_MESSAGE = {
  r: (list, entry) => (committed(entry) ? onMessage.reply(entry.seq) : false),
  e: (list, entry) => (committed(entry) ? onMessage.edit(entry.seq) : false),
  "+": (list, entry, item) => (committed(entry) && list.room.member ? onMessage.pick(entry.seq, item) : false),
  t: (list, entry) => (entry?.seq ? togglePane("thread", entry.message.thread ?? entry.seq) : false),
  p: (list, entry) => (committed(entry) && list.room.mayPin ? void attempt(() => ui.store.pin(list.room, entry.seq, !entry.message.pinned)) : false),
  c: (list, entry) => (entry?.message ? void copy(entry.message.text, "Text copied.") : false),
  l: (list, entry) => (entry?.seq ? void copy(linkTo(list.room, entry.seq), "Link copied.") : false),
  Delete: (list, entry) => {
    if (entry?.state === "refused") onMessage.discard(entry);
    else if (committed(entry) && list.room.mayDelete(entry.message)) askDelete(list.room, entry.message);
  },
  Enter: (list, entry, item) => (entry?.message ? openMenu(item, messageMenu(entry, currentRoom()), "Message") : false),
  ContextMenu: (list, entry, item) => ON_MESSAGE.Enter(list, entry, item),
};
