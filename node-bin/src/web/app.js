// What is on the screen. Texts are set as texts, never as HTML.

import { Cluster, Ended } from "/cluster.js";
import { Outbox, Room } from "/rooms.js";

const $ = (id) => document.getElementById(id);
const cluster = new Cluster();
const rooms = new Map();
let me = null;
let current = null;

const outbox = new Outbox(cluster, () => current && showPending(), (post, done) => {
  const room = rooms.get(post.room);
  if (!room) return;
  arrived(room, { seq: done.seq, id: done.id, author: me, text: post.text, at: done.at });
});
// A room's events are its posts so far, so the last seq is the cursor.
cluster.cursors = () => Object.fromEntries([...rooms.values()].filter((room) => room.loaded).map((room) => [room.id, room.last]));

// --- signing in and out

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("sign-in-error").textContent = "";
  cluster.forget();   // a sign-in that still waits for an answer: the last name counts
  try {
    const name = $("name").value.trim();
    const session = await cluster.post("/api/v1/sessions", { name });
    sessionStorage.setItem("tertulia.session", JSON.stringify({ token: session.token, name: session.name || name }));
    enter();
  } catch (error) {
    if (!(error instanceof Ended)) $("sign-in-error").textContent = error.message;
  }
});

$("sign-out").addEventListener("click", () => signOut(""));
cluster.addEventListener("expired", () => signOut("Your session has ended: sign in again."));

function signOut(why) {
  cluster.forget();
  sessionStorage.removeItem("tertulia.session");
  outbox.clear();
  rooms.clear();
  current = null;
  // Whoever comes in next sees and sends nothing of this person's.
  $("text").value = $("room-name").value = $("error").textContent = "";
  showRoom();
  $("chat").hidden = $("who").hidden = true;
  $("entry").hidden = false;
  $("sign-in-error").textContent = why;
  $("name").focus();
}

async function enter() {
  const kept = JSON.parse(sessionStorage.getItem("tertulia.session") || "null");
  if (!kept) return;
  me = kept.name;
  $("me").textContent = $("me").title = me;
  $("entry").hidden = true;
  $("chat").hidden = $("who").hidden = false;
  cluster.begin(kept.token);
  outbox.run();
  await attempt(refreshRooms);
  const last = [...rooms.values()].find((room) => String(room.id) === sessionStorage.getItem("tertulia.room"));
  if (last && last.member) openRoom(last);
}

/** Runs something that a person asked for; a refusal is shown, not thrown. */
async function attempt(what) {
  $("error").textContent = "";
  try {
    return await what();
  } catch (error) {
    if (!(error instanceof Ended)) $("error").textContent = error.message;
  }
}

// --- rooms

async function refreshRooms() {
  const list = (await cluster.get("/api/v1/rooms")).rooms;
  for (const view of list) {
    const room = rooms.get(view.id) || new Room(view);
    room.member = view.member;
    room.members = view.members;
    rooms.set(view.id, room);
  }
  showRooms();
}

let shownRooms = "";

function showRooms() {
  const sorted = [...rooms.values()].sort((a, b) => b.member - a.member || a.name.localeCompare(b.name));
  // Made anew only when something changed: whoever walks the list by keyboard stays where they are.
  const now = JSON.stringify(sorted.map((room) => [room.id, room.name, room.member, room.members, room.unread, room === current]));
  if (now === shownRooms) return;
  shownRooms = now;
  $("rooms").replaceChildren(...sorted.map((room) => {
    const button = element("button", "", element("span", "", room.name));
    button.type = "button";
    if (room.unread) button.append(element("span", "count unread", String(room.unread)));
    else button.append(element("span", "count", room.member ? `${room.members}` : "join"));
    if (room === current) button.setAttribute("aria-current", "true");
    button.setAttribute("aria-label", room.member ? `${room.name}, ${room.members} members, ${room.unread} unread` : `join ${room.name}`);
    button.addEventListener("click", () => attempt(() => openRoom(room)));
    return element("li", "", button);
  }));
}

$("create").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const made = await cluster.post("/api/v1/rooms", { name: $("room-name").value.trim() });
    $("create").reset();
    await refreshRooms();
    await openRoom(rooms.get(made.id));
  });
});

$("leave").addEventListener("click", () => attempt(async () => {
  const room = current;
  await cluster.post(`/api/v1/rooms/${room.id}/leave`);
  rooms.delete(room.id);
  current = null;
  sessionStorage.removeItem("tertulia.room");
  showRoom();
  await refreshRooms();
}));

$("to-rooms").addEventListener("click", () => $("chat").classList.remove("in-room"));

async function openRoom(room) {
  if (!room) return;
  current = room;
  room.unread = 0;
  sessionStorage.setItem("tertulia.room", room.id);
  $("chat").classList.add("in-room");
  showRoom();
  if (!room.member) {
    await cluster.post(`/api/v1/rooms/${room.id}/join`);
    await refreshRooms();
  }
  if (!room.loaded) await room.load(cluster);
  if (room === current) showRoom();
  $("text").focus();
}

function showRoom() {
  $("title").textContent = current ? current.name : "Choose a room";
  $("leave").hidden = !current;
  $("text").disabled = $("post").querySelector("button").disabled = !current;
  if (!current) $("chat").classList.remove("in-room");
  $("messages").replaceChildren();
  showMessages();
  showRooms();
  $("log").scrollTop = $("log").scrollHeight;
}

// --- messages

cluster.addEventListener("message", ({ detail }) => {
  const room = rooms.get(detail.room);
  if (!room) return attempt(refreshRooms);
  if (detail.message.author === me) outbox.sawOwn(room.id, detail.message.text);
  arrived(room, detail.message);
});

function arrived(room, message) {
  // Before its history is here a room has no place to put single messages: it is loaded when it is opened.
  if (!room.loaded) {
    room.early = message;
    if (room !== current && message.author !== me) room.unread += 1;
    return showRooms();
  }
  if (!room.add(message)) return;
  if (room.ahead) room.fill(cluster).then(() => room === current && showMessages(), () => {});
  if (room === current) return showMessages();
  if (message.author !== me) room.unread += 1;
  showRooms();
}

$("earlier").addEventListener("click", () => attempt(async () => {
  const log = $("log");
  const below = log.scrollHeight - log.scrollTop;
  await current.loadEarlier(cluster);
  showMessages();
  log.scrollTop = log.scrollHeight - below;
}));

/** Brings the list up to what the room holds: only what is missing is made. */
function showMessages() {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const list = $("messages");
  let next = list.firstElementChild;
  for (const message of current ? current.sorted() : []) {
    while (next && Number(next.dataset.seq) < message.seq) next = next.nextElementSibling;
    if (next && Number(next.dataset.seq) === message.seq) continue;
    list.insertBefore(messageElement(message), next);
  }
  $("earlier").hidden = !current || !current.loaded || current.first <= 1;
  showPending();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function showPending() {
  const posts = current ? outbox.of(current.id) : [];
  $("pending").replaceChildren(...posts.filter((post) => !post.seen).map(pendingElement));
  $("empty").hidden = !current || !current.loaded || current.messages.size > 0 || posts.length > 0;
}

function messageElement(message) {
  const mine = message.author === me;
  const time = element("time", "", clock(message.at));
  time.dateTime = message.at;
  time.title = new Date(message.at).toLocaleString();
  const head = element("div", "head", element("span", "author", message.author), time);
  if (mine) {
    const state = element("span", "state", "✓");
    state.title = `committed as number ${message.seq}`;
    state.setAttribute("aria-label", "committed");
    head.append(state);
  }
  const item = element("li", mine ? "message mine" : "message", head, element("p", "text", message.text));
  item.dataset.seq = message.seq;
  return item;
}

function pendingElement(post) {
  const state = element("span", "state", post.refused ? `not sent: ${post.refused}` : "sending…");
  const head = element("div", "head", element("span", "author", me), state);
  const text = element("p", "text", post.text);
  if (post.refused) {
    text.tabIndex = 0;   // shortened until somebody wants to read it
    const drop = element("button", "quiet", "Remove");
    drop.type = "button";
    drop.addEventListener("click", () => outbox.remove(post));
    head.append(drop);
  }
  return element("li", `message mine ${post.refused ? "refused" : "sending"}`, head, text);
}

$("post").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!current || !text.trim()) return;
  $("text").value = "";
  outbox.add(current.id, text);
  $("log").scrollTop = $("log").scrollHeight;
});

$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("post").requestSubmit();
  }
});

// --- the status line

for (const what of ["looked", "moved", "following"]) cluster.addEventListener(what, showStatus);
for (const what of ["looked", "following"]) cluster.addEventListener(what, () => cluster.token && refreshRooms().catch(() => {}));

function showStatus() {
  const { view } = cluster;
  const well = view && view.leader !== null && (!cluster.token || cluster.alive);
  $("dot").className = well ? "on" : "off";
  if (!view) $("status").textContent = `looking for a node that answers: ${cluster.address} …`;
  else if (view.leader === null) $("status").textContent = `node ${view.node} knows no leader yet; what you write is kept and sent`;
  else $("status").textContent = `node ${view.node} · leader ${view.leader} · term ${view.term}`;
  $("status").title = [cluster.address, ...(view ? view.nodes.map(memberLine) : [])].join("\n");
}

/** `node 4: learner, takes the place of node 2` */
function memberLine({ id, role, standing, replaces }) {
  const place = replaces === null ? "" : `, takes the place of node ${replaces}`;
  return `node ${id}: ${role === "leader" ? "leads" : standing}${place}`;
}

// --- helpers

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function clock(at) {
  const date = new Date(at);
  const sameDay = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return sameDay ? time : `${date.toLocaleDateString()} ${time}`;
}

showStatus();
enter();
