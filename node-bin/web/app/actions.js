// What can be done to a message, a room, a person: once for the pointer, the keyboard and the menus.

import { edit, focusComposer, reply } from "./composer.js";
import { spoken } from "./text.js";
import { attempt, copy, currentRoom, draw, go, linkTo, openDialog, openMenu, openRoom, togglePane, ui } from "./ui.js";

/** The list of messages, once there is one. */
export const the = { list: null };

export const onMessage = {
  profile: (id, at) => openMenu(at, personMenu(id, currentRoom()), ui.store.people.label(id)),
  jump: (seq) => jumpTo(currentRoom(), seq),
  expand: (key) => {
    if (!ui.expanded.delete(key)) ui.expanded.add(key);
    draw();
  },
  react: (seq, emoji, on) => attempt(() => ui.store.react(currentRoom(), seq, emoji, on)),
  thread: (seq) => togglePane("thread", seq),
  pick: (seq, at) => pickFor(currentRoom(), seq, at),
  reply: (seq) => {
    const message = currentRoom().messages.get(seq);
    if (message && currentRoom().mayPost) reply(currentRoom(), message);
  },
  edit: (seq) => edit(currentRoom(), seq),
  menu: (entry, at) => openMenu(at, messageMenu(entry, currentRoom()), "Message"),
  again: (entry) => attempt(() => ui.store.again(currentRoom(), entry.post)),
  discard: (entry) => ui.store.discard(currentRoom(), entry.post),
  withdraw: async (entry) => {
    const room = currentRoom();
    if (!await ui.store.withdraw(room, entry.number)) return;
    if (!room.draft) ui.store.draft(room, entry.message.text);
    focusComposer();
  },
};

export function jumpTo(room, seq, { focus = true } = {}) {
  if (room !== currentRoom()) return openRoom(room.id, seq);
  the.list.jump(seq, { focus });
}

export function pickFor(room, seq, at) {
  ui.picker = { room, seq, at, words: "" };
  ui.menu = null;
  draw();
}

export function messageMenu(entry, room) {
  const { message, seq } = entry;
  if (entry.state === "refused") return [
    { label: "Send again", icon: "send", run: () => onMessage.again(entry) },
    { label: "Copy text", icon: "edit", run: () => copy(message.text, "Text copied.") },
    { label: "Discard", icon: "trash", danger: true, run: () => onMessage.discard(entry) },
  ];
  if (entry.state !== "committed") return [
    entry.status === "waiting" ? { label: "Take back", icon: "back", run: () => onMessage.withdraw(entry) } : undefined,
    { label: "Copy text", icon: "edit", run: () => copy(message.text, "Text copied.") },
  ];
  const there = !message.deleted;
  const element = the.list.itemOf(entry.key);
  return [
    there && room.mayPost ? { label: "Reply", icon: "reply", hint: "R", run: () => onMessage.reply(seq) } : undefined,
    there && room.member && !room.archived ? { label: "React", icon: "smile", hint: "+", run: () => pickFor(room, seq, element) } : undefined,
    { label: "Show thread", icon: "thread", hint: "T", run: () => togglePane("thread", message.thread ?? seq) },
    room.mayEdit(message) ? { label: "Edit", icon: "edit", hint: "E", run: () => edit(room, seq) } : undefined,
    there && room.mayPin ? { label: message.pinned ? "Unpin" : "Pin", icon: "pin", hint: "P", run: () => attempt(() => ui.store.pin(room, seq, !message.pinned)) } : undefined,
    { label: "Copy link", icon: "link", hint: "L", run: () => copy(linkTo(room, seq), "Link copied.") },
    there ? { label: "Copy text", hint: "C", icon: "edit", run: () => copy(message.text, "Text copied.") } : undefined,
    { label: "Mark unread from here", icon: "down", run: () => unreadFrom(room, seq) },
    room.mayDelete(message) ? null : undefined,
    room.mayDelete(message) ? { label: "Delete …", icon: "trash", hint: "Del", danger: true, run: () => askDelete(room, message) } : undefined,
  ];
}

/** Here alone: the cluster's mark does not go back. */
function unreadFrom(room, seq) {
  room.divider = seq;
  draw();
}

export const askDelete = (room, message) => openDialog({
  kind: "confirm", title: "Delete this message?", text: spoken(message.text, 300), detail: "Its text goes for everybody. That something was written here can still be seen.", yes: "Delete", danger: true,
  run: () => ui.store.delete(room, message.seq),
});

export function roomMenu(room) {
  const direct = room.kind === "direct";
  return [
    { label: "Search in this room", icon: "search", run: () => togglePane("search") },
    { label: "About this room", icon: "info", run: () => togglePane("about") },
    direct ? undefined : { label: "Members", icon: "group", run: () => togglePane("members") },
    room.pins.length ? { label: "Pinned messages", icon: "pin", run: () => togglePane("pins") } : undefined,
    room.member && room.kind !== "public" && !direct && !room.archived && room.may(room.rules.invite) ? { label: "Invite somebody", icon: "plus", run: () => openDialog({ kind: "invite", room }) } : undefined,
    room.moderates && room.member ? { label: "Room settings", icon: "settings", run: () => openDialog({ kind: "room", room }) } : undefined,
    { label: "Copy link to the room", icon: "link", run: () => copy(`${location.origin}/#/room/${room.id}`, "Link copied.") },
    room.unread ? { label: "Mark as read", icon: "check", run: () => ui.store.read(room, room.last) } : undefined,
    room.member && !direct ? null : undefined,
    room.member && !direct ? { label: "Leave …", icon: "door", danger: true, run: () => askLeave(room) } : undefined,
  ];
}

export const askLeave = (room) => openDialog({
  kind: "confirm", title: `Leave ${ui.store.nameOf(room)}?`, detail: room.kind === "public" ? "You can join again at any time." : "To come back, somebody has to invite you.", yes: "Leave", danger: true,
  run: async () => {
    await ui.store.leave(room);
    if (currentRoom() === room || ui.route.room === room.id) go({ room: null }, { replace: true });
  },
});

// ---- people

export const friendshipWith = (id) => ui.store.friends.find((friend) => friend.id === id)?.friendship ?? "none";
export const isBlocked = (id) => ui.store.blocked.some((user) => user.id === id);

const call = (method, path, body) => attempt(async () => {
  await ui.session.http(method, path, body);
  await ui.store.refreshMe();
});

export async function talkTo(id) {
  await attempt(async () => {
    const { id: room } = await ui.session.http("POST", `/api/v1/direct/${id}`);
    await ui.store.refreshRoom(room);
    openRoom(room);
  }, "There is no room of you two");
}

export const befriend = (id) => call("PUT", `/api/v1/friends/${id}`);
export const unfriend = (id) => call("DELETE", `/api/v1/friends/${id}`);
export const block = (id, on) => call(on ? "PUT" : "DELETE", `/api/v1/blocks/${id}`);

/** What can be done with a person; in a room, with what its moderators do. */
export function personMenu(id, room) {
  if (id === ui.store.me.id) return [{ label: "This is you: settings", icon: "settings", run: () => openDialog({ kind: "settings" }) }];
  const user = ui.store.people.get(id);
  if (user?.deleted) return [{ label: "This account was deleted", icon: "info", run: () => {} }];
  const friendship = friendshipWith(id);
  const label = ui.store.people.label(id);
  return [
    { label: "Profile", icon: "person", run: () => openDialog({ kind: "profile", id, room }) },
    { label: "Message", icon: "thread", run: () => talkTo(id) },
    { none: { label: "Ask to be friends", icon: "plus", run: () => befriend(id) }, requested: { label: "Take back the request", icon: "close", run: () => unfriend(id) }, asked: { label: "Accept as friend", icon: "check", run: () => befriend(id) } }[friendship],
    isBlocked(id) ? { label: "Unblock", icon: "check", run: () => block(id, false) } : { label: "Block …", icon: "close", danger: true, run: () => askBlock(id, label) },
    ...moderation(id, room, label),
  ];
}

const askBlock = (id, label) => openDialog({
  kind: "confirm", title: `Block ${label}?`, detail: "You will get no direct messages of each other, and not see whether the other is here. A friendship ends.", yes: "Block", danger: true, run: () => block(id, true),
});

const RANKS = ["member", "moderator", "owner"];

function moderation(id, room, label) {
  const member = room?.members?.get(id);
  if (!room?.moderates || !room.member || room.archived) return [];
  const rank = RANKS.indexOf(member?.role ?? "member");
  const above = room.owns ? rank < 2 || room.rank < 2 : room.rank > rank;
  const act = (method, path, body) => attempt(async () => {
    await ui.session.http(method, `/api/v1/rooms/${room.id}/${path}`, body);
    await ui.store.loadMembers(room);
  });
  const role = (name, text) => (room.owns && member && member.role !== name ? { label: text, icon: "person", run: () => act("PATCH", `members/${id}`, { role: name }) } : undefined);
  const moderate = member && above ? [
    member.muted_until ? { label: "Let speak again", icon: "check", run: () => act("DELETE", `mutes/${id}`) } : { label: "Mute …", icon: "clock", run: () => openDialog({ kind: "mute", label, run: (minutes) => act("PUT", `mutes/${id}`, minutes ? { minutes } : {}) }) },
    { label: "Remove from the room …", icon: "door", danger: true, run: () => confirmed(`Remove ${label}?`, room.kind === "public" ? "A room that is public can be joined again." : "Somebody has to invite them before they come back.", "Remove", () => act("DELETE", `members/${id}`)) },
    { label: "Ban …", icon: "close", danger: true, run: () => confirmed(`Ban ${label}?`, "They leave the room, and cannot come back until the ban is lifted.", "Ban", () => act("PUT", `bans/${id}`)) },
  ] : [];
  return [null, role("owner", "Make an owner"), role("moderator", "Make a moderator"), role("member", "Make a plain member"), ...moderate,
    member ? undefined : { label: "Lift a ban", icon: "check", run: () => act("DELETE", `bans/${id}`) }];
}

const confirmed = (title, detail, yes, run) => openDialog({ kind: "confirm", title, detail, yes, danger: true, run });
