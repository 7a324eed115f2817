// Jump to anything: rooms, people, commands. Opened with Ctrl or ⌘ and K; what was looked at lately comes first.

import { roomMenu, talkTo } from "./actions.js";
import { pick } from "./fuzzy.js";
import { icon, kindIcon } from "./icons.js";
import { html, live, nothing } from "./lit.js";
import { disc } from "./message.js";
import { enter } from "./rooms-pane.js";
import { plain } from "./text.js";
import { closeDialog, currentRoom, draw, openDialog, togglePane, ui } from "./ui.js";
import { setTheme } from "./settings.js";

const MOST = 12;
export const recent = [];   // ids of rooms, the last one first

export function visited(id) {
  const at = recent.indexOf(id);
  if (at >= 0) recent.splice(at, 1);
  recent.unshift(id);
}

function rooms() {
  const all = [...ui.store.rooms.values()].filter((room) => room.known && (room.member || room.kind === "public"));
  const order = (room) => (room === currentRoom() ? 1e6 : room.mentions ? -3 : room.unread ? -2 : recent.includes(room.id) ? recent.indexOf(room.id) / 1e3 - 1 : room.member ? 0 : 1);
  return all.sort((a, b) => order(a) - order(b)).map((room) => {
    const name = ui.store.nameOf(room);
    return { name, names: [name, room.topic].filter(Boolean), mark: room.kind === "direct" ? disc(room.with, name, "small") : kindIcon(room), hint: room.member ? (room.mentions ? `@${room.mentions}` : room.unread ? `${room.unread} unread` : room.archived ? "archived" : "") : "join", run: () => enter(room) };
  });
}

function people() {
  const direct = new Set([...ui.store.rooms.values()].map((room) => room.with));
  const others = [...ui.store.people.known.values()].filter((user) => user.id !== ui.store.me.id && !user.deleted && !direct.has(user.id));
  return others.map((user) => {
    const label = ui.store.people.label(user.id);
    return { name: label, names: [label, user.name], mark: disc(user.id, label, "small"), hint: "message", run: () => talkTo(user.id) };
  });
}

function commands() {
  const room = currentRoom();
  const own = [
    { name: "New room", mark: icon("plus"), run: () => openDialog({ kind: "make" }) },
    { name: "Browse rooms", mark: icon("compass"), run: () => openDialog({ kind: "browse" }) },
    { name: "People and friends", mark: icon("group"), run: () => openDialog({ kind: "people" }) },
    { name: "Search messages", mark: icon("search"), run: () => togglePane("search") },
    { name: "Settings", mark: icon("settings"), run: () => openDialog({ kind: "settings" }) },
    { name: "Keyboard shortcuts", mark: icon("keyboard"), run: () => openDialog({ kind: "shortcuts" }) },
    { name: "Light theme", mark: icon("settings"), run: () => setTheme("light") },
    { name: "Dark theme", mark: icon("settings"), run: () => setTheme("dark") },
    { name: "Theme of the system", mark: icon("settings"), run: () => setTheme(null) },
    { name: "Sign out", mark: icon("door"), run: () => openDialog({ kind: "sign-out" }) },
  ];
  const here = room ? roomMenu(room).filter(Boolean).map((item) => ({ name: item.label, mark: icon(item.icon), hint: "this room", run: item.run })) : [];
  return [...here, ...own].map((item) => ({ ...item, hint: item.hint ?? "command" }));
}

function found(dialog) {
  const words = dialog.words ?? "";
  const nameOf = (item) => item.names ?? item.name;
  if (words.startsWith(">")) return [["Commands", pick(words.slice(1), commands(), nameOf, 30)]];
  if (!words.trim()) return [["Rooms", rooms().filter((item) => item.hint !== "join").slice(0, MOST)]];
  const groups = [["Rooms", pick(words, rooms(), nameOf, MOST)], ["People", pick(words, people(), nameOf, 6)], ["Commands", pick(words, commands(), nameOf, 6)]];
  const some = groups.filter(([, items]) => items.length);
  const name = words.trim().slice(0, 64);
  return some.length ? some : [["Rooms", [{ name: `New room “${name}” …`, mark: icon("plus"), hint: "", run: () => openDialog({ kind: "make", name }) }]]];
}

export function switcher(dialog) {
  const groups = found(dialog);
  const flat = groups.flatMap(([, items]) => items);
  dialog.at = Math.min(dialog.at ?? 0, Math.max(0, flat.length - 1));
  let nth = -1;
  return html`<div class="switcher" @keydown=${(event) => keys(event, dialog, flat)}>
    <div class="switcher-field">${icon("search")}<input type="text" role="combobox" aria-label="Jump to a room, a person or a command" aria-expanded="true" aria-controls="found" aria-autocomplete="list" aria-activedescendant=${flat.length ? `found-${dialog.at}` : nothing}
      placeholder="Room, person, or > a command" autocomplete="off" spellcheck="false" .value=${live(dialog.words ?? "")} @input=${(event) => { Object.assign(dialog, { words: event.target.value, at: 0 }); draw(); }} autofocus></div>
    <div id="found" role="listbox" aria-label="Found">
      ${groups.map(([title, items]) => html`<div role="group" aria-label=${title}><p class="group" aria-hidden="true">${title}</p>${items.map((item) => {
        nth += 1;
        const own = nth;
        return html`<div id=${`found-${own}`} role="option" class="option" aria-selected=${own === dialog.at} @pointermove=${() => { if (dialog.at !== own) { dialog.at = own; draw(); } }} @click=${() => run(item)}>${item.mark}<span class="named" dir="auto">${plain(item.name, 100)}</span><span class="hint">${item.hint}</span></div>`;
      })}</div>`)}
      ${flat.length ? nothing : html`<p class="hint none">Nothing of that name.</p>`}
    </div>
    <p class="keys" aria-hidden="true"><span><kbd>↑</kbd><kbd>↓</kbd> choose</span><span><kbd>Enter</kbd> open</span><span><kbd>&gt;</kbd> commands</span></p>
  </div>`;
}

function run(item) {
  closeDialog();
  // Once the dialog has given the focus back.
  requestAnimationFrame(() => requestAnimationFrame(item.run));
}

function keys(event, dialog, flat) {
  const to = { ArrowDown: dialog.at + 1, ArrowUp: dialog.at - 1, PageDown: dialog.at + 6, PageUp: dialog.at - 6 }[event.key];
  if (event.key === "Enter" && flat.length && !event.isComposing) run(flat[dialog.at]);
  else if (to !== undefined && flat.length) {
    dialog.at = Math.abs(to - dialog.at) === 1 ? (to + flat.length) % flat.length : Math.max(0, Math.min(flat.length - 1, to));
    draw();
    requestAnimationFrame(() => document.getElementById(`found-${dialog.at}`)?.scrollIntoView({ block: "nearest" }));
  } else return;
  event.preventDefault();
}
