// The middle of the page: which room it is, what is said in it, what keeps it from being said to everybody, and where one writes.

import { composerView } from "./composer.js";
import { icon, kindIcon } from "./icons.js";
import { html, nothing } from "./lit.js";
import { sentAway } from "./standing.js";
import { plain } from "./text.js";
import { currentRoom, go, openDialog, openMenu, togglePane, ui } from "./ui.js";
import { roomMenu } from "./actions.js";

export function conversation(list) {
  const room = currentRoom();
  const lost = ui.route.room !== null && !room && ui.store.loaded;
  return html`<main id="conversation" data-region aria-labelledby="title">
    ${bar(room, lost)}
    <div id="log" role="log" aria-live="off" aria-label="Messages" tabindex="0" ?hidden=${!room}>
      <ol id="messages" role="list"></ol>
      <div id="empty" class="empty" ?hidden=${!room || !isEmpty(room)}>${room ? emptyRoom(room) : nothing}</div>
    </div>
    ${room ? jumps(room, list) : lost ? html`<div class="welcome"><p>${farewell()}</p><button type="button" @click=${() => go({ room: null })}>To the start</button></div>` : welcome()}
    ${below(room)}
  </main>`;
}

/** Why there is no room here. */
function farewell() {
  const away = ui.store.farewells.get(ui.route.room);
  return away ? sentAway(away) : "This room is not there, or not for you.";
}

const isEmpty = (room) => room.known && room.count === 0;

function bar(room, lost) {
  const name = room ? plain(ui.store.nameOf(room), 120) : lost ? "No such room" : "Tertulia";
  const pane = ui.route.pane;
  const button = (label, which, glyph, count = null) => html`<button type="button" class=${`icon-button ${which}`} title=${label} aria-pressed=${pane === which} @click=${() => togglePane(which)}>${icon(glyph)}<span class="unseen">${label}${count === null ? "" : ": "}</span>${count === null ? nothing : html`<span class="small-count">${count}</span>`}</button>`;
  return html`<header id="bar">
    <button type="button" class="icon-button to-rooms" aria-label=${backLabel()} @click=${() => go({ room: null })}>${icon("back")}${others() ? html`<span class="badge" aria-hidden="true">${others()}</span>` : nothing}</button>
    ${room ? html`<span class="kind" title=${`a ${room.kind} room`}>${kindIcon(room)}</span>` : nothing}
    <div class="titles"><h1 id="title" dir="auto">${name}</h1>${room ? subtitle(room) : nothing}</div>
    ${room ? html`<div class="bar-tools">
      ${button("Search", "search", "search")}
      ${room.pins.length ? button("Pinned messages", "pins", "pin", room.pins.length) : nothing}
      ${room.kind === "direct" ? nothing : button("Members", "members", "group", room.memberCount)}
      <button type="button" class="icon-button" aria-label="More about this room" title="More" @click=${(event) => openMenu(event.currentTarget, roomMenu(room), "This room")}>${icon("more")}</button>
    </div>` : nothing}
  </header>`;
}

/** Mentions elsewhere; else how many rooms have something new. */
function others() {
  const room = currentRoom();
  let [mentions, rooms] = [0, 0];
  for (const other of ui.store.rooms.values()) {
    if (other === room || !other.unread) continue;
    rooms += 1;
    mentions += other.kind === "direct" ? other.unread : other.mentions;
  }
  return mentions || rooms;
}

const backLabel = () => (others() ? `Rooms, ${others()} with something new` : "Rooms");

function subtitle(room) {
  if (room.kind === "direct") return html`<p class="topic">${ui.store.isOnline(room) ? "online" : "away"}</p>`;
  if (!room.topic) return nothing;
  return html`<button type="button" class="topic" title=${room.topic} @click=${() => togglePane("about")} dir="auto">${plain(room.topic, 300)}</button>`;
}

function jumps(room, list) {
  if (!list?.room) return nothing;
  const above = room.divider && list.whereIs(room.divider) === "above";
  const news = list.end ? 0 : room.unread;
  return html`<div class="jumps">
    ${above ? html`<button type="button" class="pill up" @click=${() => list.jump(room.divider, { flash: false })}>${icon("up")}First unread</button>` : nothing}
    ${list.end ? nothing : html`<button type="button" class="pill down" @click=${() => { list.toEnd(); }}>${icon("down")}${news ? `${news} new` : "Latest"}</button>`}
  </div>`;
}

function below(room) {
  const { cutOff, moved } = ui.cluster;
  const away = ui.session && !ui.session.status.connected && ui.away;
  const typing = room ? typists(room) : "";
  const words = moved ? `Moved to node ${moved.node}.` : typing;
  const strict = room && room.rules.tentative === "refuse";
  return html`<div id="below">
    <p id="cut-off" role="status" ?hidden=${!cutOff}>${icon("clock")}<span>${strict
      ? "This side has no majority, and this room wants one: what you write waits here."
      : "This side has no majority: what you write is kept here and put in order when the others are back."}</span></p>
    <p id="away" role="status" ?hidden=${!away || cutOff}>${icon("clock")}<span>No node answers. What you write is kept on this device and sent as soon as one does.</span></p>
    <p id="whisper"><span aria-live="polite">${moved ? words : ""}</span><span aria-hidden="true">${moved ? "" : words}</span></p>
    ${composerView(room)}
  </div>`;
}

function typists(room) {
  const names = [...room.typing].filter(([, { until }]) => until > Date.now()).map(([id, { name }]) => plain(ui.store.people.label(id, name), 24));
  if (!names.length) return "";
  if (names.length > 3) return "Several people are writing …";
  return `${names.join(", ").replace(/, ([^,]*)$/u, " and $1")} ${names.length === 1 ? "is" : "are"} writing …`;
}

function emptyRoom(room) {
  const name = plain(ui.store.nameOf(room), 80);
  if (room.kind === "direct") return html`<p class="big">This is the beginning with <bdi>${name}</bdi>.</p><p>Only the two of you read it.</p>`;
  if (!room.member && room.last) return html`<p class="big">What is said here is for members.</p>`;
  return html`<p class="big">Nobody has said anything yet.</p>
    <p>${room.kind === "public" ? "Anybody finds this room and may join." : "Who is invited may join."}</p>
    ${room.member && room.kind !== "public" ? html`<button type="button" class="quiet" @click=${() => openDialog({ kind: "invite", room })}>Invite somebody</button>` : nothing}`;
}

function welcome() {
  const { rooms, open } = ui.store.lists(null);
  if (!ui.store.loaded) return html`<div class="welcome"><p class="hint">Looking for your rooms …</p></div>`;
  return html`<div class="welcome">
    <img src="/icon.svg" alt="" width="56" height="56">
    ${rooms.length
      ? html`<p class="big">Choose a room.</p><p class="hint"><kbd>Ctrl</kbd> <kbd>K</kbd> finds rooms, people and everything that can be done; <kbd>?</kbd> shows the keys.</p>`
      : html`<p class="big">Welcome, <bdi>${plain(ui.store.me.shown || ui.store.me.name, 60)}</bdi>.</p>
        <p>${open.length ? "Join a room, or make one and tell the others." : "There is no room yet. Make the first one."}</p>
        <div class="choices">${open.length ? html`<button type="button" @click=${() => openDialog({ kind: "browse" })}>Browse rooms</button>` : nothing}
        <button type="button" class=${open.length ? "quiet" : ""} @click=${() => openDialog({ kind: "make" })}>Make a room</button></div>`}
  </div>`;
}
