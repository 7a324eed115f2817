// The list of rooms: invitations, own rooms, people, and public rooms to join; below it, which node the page is at.

import { icon, kindIcon } from "./icons.js";
import { html, nothing, repeat } from "./lit.js";
import { statusLine } from "./look.js";
import { disc } from "./message.js";
import { plain } from "./text.js";
import { attempt, currentRoom, draw, openDialog, openMenu, openRoom, ui } from "./ui.js";
import { isMac } from "./keys.js";

const OPEN_SHOWN = 8;   // public rooms that are shown without asking

export function roomsPane() {
  const store = ui.store;
  const current = currentRoom();
  const { invited, rooms, people, archived, open } = store.lists(current);
  return html`<nav id="side" data-region aria-label="Rooms">
    <header class="top">
      <a class="logo" href="#/" aria-label="Tertulia, start page"><img src="/icon.svg" alt="" width="24" height="24"></a>
      <button type="button" class="jump" @click=${() => openDialog({ kind: "switcher" })}>${icon("search")}<span>Jump to …</span><kbd>${isMac ? "⌘" : "Ctrl"} K</kbd></button>
      <button type="button" class="icon-button" aria-label="New room" title="New room" @click=${(event) => openMenu(event.currentTarget, newMenu(), "New")}>${icon("plus")}</button>
    </header>
    <div id="rooms">
      ${invited.length ? section("invited", "Invitations", invited.map(invitation)) : nothing}
      ${rooms.length || !people.length ? section("rooms", "Rooms", repeat(rooms, (room) => room.id, (room) => row(room, current)), rooms.length) : nothing}
      ${people.length ? section("people", "People", repeat(people, (room) => room.id, (room) => row(room, current)), people.length) : nothing}
      ${open.length ? section("open", "Open to join", html`${repeat(shown(open, rooms), (room) => room.id, (room) => row(room, current))}${open.length > shown(open, rooms).length ? more(open.length) : nothing}`) : nothing}
      ${archived.length ? folded("archived", `Archived (${archived.length})`, () => repeat(archived, (room) => room.id, (room) => row(room, current))) : nothing}
    </div>
    ${foot()}
  </nav>`;
}

const newMenu = () => [
  { label: "New room", icon: "hash", run: () => openDialog({ kind: "make" }) },
  { label: "Message to somebody", icon: "person", run: () => openDialog({ kind: "people", find: true }) },
  { label: "Browse rooms", icon: "compass", run: () => openDialog({ kind: "browse" }) },
];

// Who has rooms of their own sees fewer of the others.
const shown = (open, rooms) => open.slice(0, rooms.length > 12 ? 3 : OPEN_SHOWN);

const section = (id, label, content, count = 1) => html`<section aria-labelledby=${`of-${id}`}><h2 id=${`of-${id}`}>${label}</h2>${
  count ? html`<ul role="list">${content}</ul>` : html`<p class="hint">None yet.</p>`}</section>`;

function folded(id, label, content) {
  const open = Boolean(ui.shows[id]);
  return html`<section><h2><button type="button" class="fold" aria-expanded=${open} @click=${() => { ui.shows[id] = !open; draw(); }}>${label}</button></h2>${open ? html`<ul role="list">${content()}</ul>` : nothing}</section>`;
}

const more = (count) => html`<li><button type="button" class="row quietly" @click=${() => openDialog({ kind: "browse" })}>${icon("compass")}<span class="named">All ${count} …</span></button></li>`;

function row(room, current) {
  const name = plain(ui.store.nameOf(room), 120);
  const { unread } = room;
  const names = ["row", unread && "has-unread", !room.member && "outside", room.archived && "archived"];
  const more = [room.kind === "private" || room.kind === "group" ? room.kind : "", ui.store.isOnline(room) ? "online" : ""].filter(Boolean);
  return html`<li><button type="button" class=${names.filter(Boolean).join(" ")} data-room=${room.id} aria-current=${room === current ? "page" : nothing} title=${name.length > 24 ? name : nothing} @click=${() => enter(room)}>
    ${room.kind === "direct" ? html`<span class=${`with-dot${ui.store.isOnline(room) ? " online" : ""}`}>${disc(room.with, name, "small")}</span>` : kindIcon(room)}
    <span class="named" dir="auto">${name}</span>${more.length ? html`<span class="unseen">, ${more.join(", ")}</span>` : nothing}
    ${room.member ? html`${room.draft && !unread ? html`<span class="draft">${icon("edit")}<span class="unseen">, draft</span></span>` : nothing}${unread ? count(room) : nothing}`
      : html`<span class="join">${room.joining ? "joining …" : "join"}</span>`}
  </button></li>`;
}

/** How much is new, and whether it is for this person. */
function count({ kind, unread, mentions }) {
  if (kind === "direct" || !mentions) return html`<span class=${kind === "direct" ? "count loud" : "count"}>${numberOf(unread)}<span class="unseen"> unread</span></span>`;
  return html`<span class="count loud">@${numberOf(mentions)}<span class="unseen">${mentions === 1 ? " mention" : " mentions"}, ${unread} unread</span></span>`;
}

const numberOf = (count) => (count > 999 ? "999+" : count);

/** Opens a room; one of those to join is joined. */
export async function enter(room) {
  openRoom(room.id);
  if (!room.member && !room.joining && !room.invited) await attempt(ui.store.join(room), "You have not joined");
}

function invitation({ room: id, name, by }) {
  const label = plain(name || "a group", 80);
  const who = plain(ui.store.people.get(by) ? ui.store.people.label(by) : "somebody", 40);
  return html`<li class="invitation"><p><b><bdi>${label}</bdi></b><span>from <bdi>${who}</bdi></span></p>
    <div><button type="button" class="small" @click=${() => attempt(() => accept(id), "You have not joined")} aria-label=${`Join ${label}`}>Join</button>
    <button type="button" class="quiet small" @click=${() => attempt(() => decline(id))} aria-label=${`Decline ${label}`}>Decline</button></div></li>`;
}

async function accept(id) {
  await ui.store.join(ui.store.room(id));
  openRoom(id);
}

async function decline(id) {
  await ui.session.http("POST", `/api/v1/rooms/${id}/decline`);
  await Promise.all([ui.store.refreshMe(), ui.store.refreshRooms()]);
}

function foot() {
  const { dot, text, title } = statusLine();
  const { me } = ui.store;
  const name = plain(me.shown || me.name, 80);
  return html`<footer class="foot">
    <button type="button" class="me" @click=${(event) => openMenu(event.currentTarget, accountMenu(), "Your account")}>
      ${disc(me.id, name, "small")}<span class="named" dir="auto">${name}</span><span class="unseen">: your account</span>${requests() ? html`<span class="count loud" title="requests for your friendship">${requests()}<span class="unseen"> requests</span></span>` : nothing}${icon("more")}</button>
    <a class="status-line" href="/cluster" title=${title}><span id="dot" class=${dot} aria-hidden="true"></span><span id="status">${text}</span></a>
  </footer>`;
}

const requests = () => ui.store.friends.filter((friend) => friend.friendship === "asked").length;

const accountMenu = () => [
  { label: "Settings", icon: "settings", run: () => openDialog({ kind: "settings" }) },
  { label: "People and friends", icon: "group", run: () => openDialog({ kind: "people" }) },
  { label: "Keyboard shortcuts", icon: "keyboard", hint: "?", run: () => openDialog({ kind: "shortcuts" }) },
  null,
  { label: "Sign out", icon: "door", run: () => openDialog({ kind: "sign-out" }) },
];
