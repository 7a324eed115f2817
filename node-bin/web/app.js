// What is on the screen. Texts are set as texts, never as HTML.

import { Cluster, Ended } from "/cluster.js";
import { Outbox, Room } from "/rooms.js";

const $ = (id) => document.getElementById(id);
const cluster = new Cluster();
const rooms = new Map();
let me = null;
let current = null;

const outbox = new Outbox(cluster, () => current && showMessages(), (post, done) => {
  const room = rooms.get(post.room);
  if (!room) return;
  arrived(room, { seq: done.seq, id: done.id, author: me, text: post.text, at: done.at });
});
const still = matchMedia("(prefers-reduced-motion: reduce)");
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
  elements.clear();
  showMessages();
  showRooms();
  $("log").scrollTop = $("log").scrollHeight;
}

// --- messages

cluster.addEventListener("message", ({ detail }) => {
  const room = rooms.get(detail.room);
  if (!room) return attempt(refreshRooms);
  if (detail.message.author === me) outbox.sawOwn(room.id, detail.message);
  arrived(room, detail.message);
});

function arrived(room, message) {
  const counted = room.tail.has(message.id) || message.author === me;
  // Before its history is here a room has no place to put single messages: it is loaded when it is opened.
  if (!room.loaded) {
    room.early = message;
    room.tail.delete(message.id);
    outbox.settled(message.id);
    if (room !== current && !counted) room.unread += 1;
    return showRooms();
  }
  const isNew = room.add(message);
  outbox.settled(message.id);
  if (!isNew) return room === current && showMessages();
  if (room.ahead) room.fill(cluster).then(() => room === current && showMessages(), () => {});
  if (room === current) return showMessages();
  if (!counted) room.unread += 1;
  showRooms();
}

// Messages that are accepted on this side and have no place yet.

cluster.addEventListener("tentative", ({ detail }) => waits(rooms.get(detail.room), (room) => room.waits(detail.message) ? [detail.message] : []));
cluster.addEventListener("tail", ({ detail }) => waits(rooms.get(detail.room), (room) => room.waitsFor(detail.messages)));

cluster.addEventListener("withdrawn", ({ detail: { room: id, id: message, why } }) => {
  const room = rooms.get(id);
  const gone = room && room.tail.get(message);
  if (room) room.tail.delete(message);
  const mine = outbox.withdrawn(message, why.detail);
  if (gone && !mine) room.notes = [...room.notes.slice(-9), { id: message, text: `A message of ${gone.author} got no place in this room: ${why.title.toLowerCase()}.` }];
  if (room && room === current) showMessages();
});

/** `take` returns the messages that are new here. */
function waits(room, take) {
  if (!room) return;
  const others = take(room).filter((message) => {
    if (message.author === me) outbox.sawOwn(room.id, message);
    return message.author !== me;
  });
  cluster.wake();
  if (room === current) return showMessages();
  room.unread += others.length;
  showRooms();
}

/** Another node may know less, or more, of what waits: what is on the screen is kept until it is clear. */
async function askForTail(room) {
  if (room.asking || !room.tail.size) return;
  room.asking = true;
  const session = cluster.session;
  try {
    do {
      const { messages } = await cluster.get(`/api/v1/rooms/${room.id}/tentative`);
      waits(room, () => room.waitsFor(messages));
      await new Promise((go) => setTimeout(go, 2000));
    } while (session === cluster.session && room.doubts(cluster.view && cluster.view.leader !== null));
  } catch (error) { /* Asked again at the next node. */ } finally {
    room.asking = false;
  }
  if (room === current) showMessages();
}

cluster.addEventListener("following", () => rooms.forEach((room) => askForTail(room)));

$("earlier").addEventListener("click", () => attempt(async () => {
  const log = $("log");
  const below = log.scrollHeight - log.scrollTop;
  await current.loadEarlier(cluster);
  showMessages();
  log.scrollTop = log.scrollHeight - below;
}));

/** What the list shows, in its order: each with the name by which its element is kept, whatever becomes of it. */
function entries(room) {
  const waiting = ({ id, author, text, written_at, copies }) => ({ name: id, state: "waiting", author, text, at: written_at, copies });
  const committed = ({ id, author, text, at, written_at, seq }) => ({ name: id, state: "committed", author, text, at: written_at || at, placed: at, seq });
  const pending = (post) => ({
    name: post.id || post.key, state: post.refused ? "refused" : post.copies ? "waiting" : "sending", author: me, text: post.text, copies: post.copies, post,
  });
  const posts = outbox.of(room.id);
  for (const post of posts) rename(post.key, post.id);
  const refused = new Set(posts.filter((post) => post.refused).map((post) => post.id));
  const unplaced = posts.filter((post) => !room.ids.has(post.id) && (post.refused || !room.tail.has(post.id)));
  const tail = room.loaded ? room.waiting().filter((message) => !refused.has(message.id)) : [];
  return [
    ...room.sorted().map(committed), ...tail.map(waiting), ...unplaced.map(pending),
    ...room.notes.map(({ id, text }) => ({ name: `note ${id}`, state: "note", text })),
  ];
}

const elements = new Map();   // of the list, by name

/** A post gets its id when a node has it. */
function rename(from, to) {
  const item = elements.get(from);
  if (!item || !to || elements.has(to)) return;
  elements.delete(from);
  elements.set(item.dataset.name = to, item);
}

/** Brings the list up to what the room holds. Elements stay what and where they are, as far as their order allows it, and what is being read stays where it is read. */
function showMessages() {
  const log = $("log");
  const list = $("messages");
  const shown = current ? entries(current) : [];
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const waited = [...list.querySelectorAll(".waiting, .sending")].map((item) => [item, item.getBoundingClientRect().top]);
  const read = atEnd ? null : readAt(list, log.getBoundingClientRect().top);

  const names = new Set(shown.map((entry) => entry.name));
  for (const [name, item] of elements) if (!names.has(name)) { item.remove(); elements.delete(name); }
  let next = list.firstElementChild;
  for (const entry of shown) {
    const item = elements.get(entry.name) || newElement(entry.name);
    fill(item, entry);
    if (item === next) next = next.nextElementSibling;
    else list.insertBefore(item, next);
  }

  $("earlier").hidden = !current || !current.loaded || current.first <= 1;
  $("empty").hidden = !current || !current.loaded || shown.length > 0;
  if (atEnd) log.scrollTop = log.scrollHeight;
  else if (read && read.item.isConnected) log.scrollTop += read.item.getBoundingClientRect().top - read.top;
  for (const [item, top] of waited) glide(item, top);
}

/** The first message in sight that has its place, or else the first one in sight. */
function readAt(list, top) {
  const inSight = [...list.children].filter((item) => item.getBoundingClientRect().bottom > top);
  const item = inSight.find((item) => item.classList.contains("committed")) || inSight[0];
  return item && { item, top: item.getBoundingClientRect().top };
}

/** From where it was to where it is. */
function glide(item, from) {
  const by = from - item.getBoundingClientRect().top;
  if (still.matches || !item.isConnected || Math.abs(by) < 2 || Math.abs(by) > innerHeight) return;
  item.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
}

function newElement(name) {
  const item = element("li", "");
  item.dataset.name = name;
  elements.set(name, item);
  return item;
}

/** Makes an element show this; what it shows already is left alone. */
function fill(item, { name, post, ...entry }) {
  const what = JSON.stringify(entry);
  if (item.shows === what) return;
  const waited = item.classList.contains("waiting");
  item.shows = what;
  const { state, author, text } = entry;
  item.className = state === "note" ? "note" : `message ${state}${author === me ? " mine" : ""}`;
  if (entry.seq) item.dataset.seq = entry.seq;
  if (state === "note") return item.replaceChildren(text);
  if (waited && state === "committed") item.classList.add("settled");
  const body = element("p", "text", text);
  if (state === "refused") body.tabIndex = 0;   // shortened until somebody wants to read it
  item.replaceChildren(headOf(entry, post), body);
}

function headOf({ state, author, at, placed, copies, seq }, post) {
  const head = element("div", "head", element("span", "author", author));
  if (at) {
    const time = element("time", "", clock(at));
    time.dateTime = at;
    const [written, since] = [at, placed].map((at) => at && new Date(at).toLocaleString());
    time.title = since && placed !== at ? `written ${written}, in its place since ${since}` : written;
    head.append(time);
  }
  const mark = {
    waiting: () => waitingMark(copies),
    sending: () => element("span", "state", "sending…"),
    refused: () => element("span", "state", `not sent: ${post.refused}`),
    committed: () => author === me && described(element("span", "state", "✓"), `committed as number ${seq}`, "committed"),
  }[state]();
  if (mark) head.append(mark);
  if (state === "refused") {
    const drop = element("button", "quiet", "Remove");
    drop.type = "button";
    drop.addEventListener("click", () => outbox.remove(post));
    head.append(drop);
  }
  return head;
}

function waitingMark(copies) {
  const on = copies === 1 ? "1 node" : `${copies} nodes`;
  const clock = element("span", "clock");
  clock.setAttribute("aria-hidden", "true");
  const why = `Kept on ${on} of this side, and seen by everybody here. It gets its place among the others' messages once there is a majority again.`;
  return described(element("span", "state", clock, `waiting · on ${on}`), why);
}

function described(item, title, label) {
  item.title = title;
  if (label) item.setAttribute("aria-label", label);
  return item;
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
  const led = view && view.leader !== null;
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  $("dot").className = led && (!cluster.token || cluster.alive) ? "on" : view && cluster.cutOff ? "alone" : "off";
  $("cut-off").hidden = !(view && cluster.cutOff);
  if (atEnd) log.scrollTop = log.scrollHeight;
  if (!view) $("status").textContent = `looking for a node that answers: ${cluster.address} …`;
  else $("status").textContent = `node ${view.node} · ${led ? `leader ${view.leader}` : "no majority"} · term ${view.term}`;
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
