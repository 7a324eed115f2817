// What reaches somebody who looks elsewhere: the title, notifications (if they are wanted), and for a screen reader the new messages of the open room.

import { spoken } from "./text.js";
import { currentRoom, go, hashOf, parse, ui } from "./ui.js";

const KEPT = "tertulia.notifications";
const NEWER_THAN = 60_000;    // ms: what is older was only caught up with
const SAID_EVERY = 900;       // ms between announcements
const AT_ONCE = 3;

export const canNotify = () => "Notification" in globalThis && globalThis.isSecureContext;

export function notifications() {
  try { return canNotify() && Notification.permission === "granted" && localStorage.getItem(KEPT) === "on"; } catch { return false; }
}

export async function setNotifications(on) {
  const granted = on && (await Notification.requestPermission()) === "granted";
  try { localStorage.setItem(KEPT, granted ? "on" : "off"); } catch { /* Then there are none. */ }
}

/** A message has come that was not there before. */
export function arrived({ room, message }) {
  const { me } = ui.store;
  const looking = !document.hidden && document.hasFocus() && room === currentRoom();
  const isNew = Date.now() - Date.parse(message.at) < NEWER_THAN;
  if (message.author_id === me.id || !isNew) return;
  if (room === currentRoom() && !document.hidden) say(`${ui.store.people.label(message.author_id, message.author)}: ${spoken(message.text, 300)}`);
  const forMe = room.kind === "direct" || message.mentions?.includes(me.id);
  if (!looking && forMe && notifications()) notify(room, message);
}

async function notify(room, message) {
  const author = ui.store.people.label(message.author_id, message.author);
  const title = room.kind === "direct" ? author : `${author} in ${ui.store.nameOf(room)}`;
  const place = { room: room.id, seq: message.seq };
  const what = { body: spoken(message.text, 160), tag: `room-${room.id}`, icon: "/icon.svg", data: hashOf(place) };
  try {
    const shown = new Notification(title, what);
    shown.onclick = () => { window.focus(); go(place); shown.close(); };
  } catch {
    // On a telephone only the service worker may show one; sw.js says what comes of pressing it.
    await (await navigator.serviceWorker?.getRegistration())?.showNotification(title, what).catch(() => {});
  }
}

/** One that the service worker has shown was pressed. */
globalThis.navigator?.serviceWorker?.addEventListener("message", ({ data }) => {
  if (data?.go && ui.phase === "in") go(parse(data.go));
});

// ---- for a screen reader

const queue = [];
let timer = null;

function say(text) {
  queue.push(text);
  timer ??= setTimeout(flush, SAID_EVERY / 3);
}

function flush() {
  const region = document.getElementById("spoken");
  const some = queue.splice(0, AT_ONCE);
  const more = queue.splice(0).length;
  timer = null;
  if (!region || !some.length) return;
  region.replaceChildren(...some.concat(more ? [`and ${more} more messages`] : []).map((text) => Object.assign(document.createElement("p"), { textContent: text })));
}

// ---- the title

export function title() {
  if (ui.phase !== "in") return "Tertulia";
  const { rooms, mentions } = ui.store.unread;
  const room = currentRoom();
  const mark = mentions ? `(${mentions}) ` : rooms ? "• " : "";
  return `${mark}${room ? `${ui.store.nameOf(room)} · ` : ""}Tertulia`;
}
