// What can be done to a message, a room, a person: once for the pointer, the keyboard and the menus.

import { edit, focusComposer, reply } from "./composer.js";
import { isMuted } from "./standing.js";
import { spoken } from "./text.js";
import { attempt, copy, currentRoom, draw, go, linkTo, openDialog, openMenu, openRoom, toast, togglePane, ui } from "./ui.js";

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
    room.moderates && room.member && !room.archived ? { label: "Lift a ban …", icon: "check", run: () => openDialog({ kind: "unban", room }) } : undefined,
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

/** Changes how this user stands to another one, and says what has come of it. */
const call = (method, what, id, said) => attempt(async () => {
  const { friendship } = await ui.session.http(method, `/api/v1/${what}/${id}`);
  await ui.store.refreshMe();
  toast(typeof said === "function" ? said(friendship) : said, { about: `friend ${id}` });
});

export async function talkTo(id) {
  await attempt(async () => {
    const { id: room } = await ui.session.http("POST", `/api/v1/direct/${id}`);
    await ui.store.refreshRoom(room);
    openRoom(room);
  }, "There is no room of you two");
}

const nameOf = (id) => ui.store.people.label(id);

export const befriend = (id) => call("PUT", "friends", id, (friendship) => (friendship === "friends" ? `${nameOf(id)} and you are friends.` : `${nameOf(id)} is asked to be your friend.`));

export function unfriend(id) {
  const said = { requested: "You have taken back your request.", asked: `You have declined the request of ${nameOf(id)}.`, friends: `${nameOf(id)} and you are no friends any more.` };
  return call("DELETE", "friends", id, said[friendshipWith(id)] ?? "Nothing was to be changed.");
}

const block = (id, on) => call(on ? "PUT" : "DELETE", "blocks", id, on ? `You have blocked ${nameOf(id)}.` : `${nameOf(id)} is not blocked any more.`);
export const unblock = (id) => block(id, false);

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
    friendship === "asked" ? { label: "Decline the friendship", icon: "close", run: () => unfriend(id) } : undefined,
    isBlocked(id) ? { label: "Unblock", icon: "check", run: () => unblock(id) } : { label: "Block …", icon: "close", danger: true, run: () => askBlock(id) },
    ...moderation(id, room, label),
  ];
}

export const askBlock = (id) => openDialog({
  kind: "confirm", title: `Block ${nameOf(id)}?`, detail: "You will get no direct messages of each other, and not see whether the other is here. A friendship ends.", yes: "Block", danger: true, run: () => block(id, true),
});

const RANKS = ["member", "moderator", "owner"];

function moderation(id, room, label) {
  const member = room?.members?.get(id);
  if (!room?.moderates || !room.member || room.archived) return [];
  const rank = RANKS.indexOf(member?.role ?? "member");
  const above = room.owns ? rank < 2 || room.rank < 2 : room.rank > rank;
  const act = async (method, path, body) => {
    await ui.session.http(method, `/api/v1/rooms/${room.id}/${path}`, body);
    await ui.store.loadMembers(room);
  };
  const at = (path) => `${path}/${id}`;
  const role = (name, text) => (room.owns && member && member.role !== name ? { label: text, icon: "person", run: () => attempt(act("PATCH", at("members"), { role: name })) } : undefined);
  const ban = { label: "Ban …", icon: "close", danger: true, run: () => confirmed(`Ban ${label}?`, member ? "They leave the room, and cannot come back until the ban is lifted." : "They cannot come in until the ban is lifted.", "Ban", () => act("PUT", at("bans"))) };
  if (!member) return [null, ban, { label: "Lift a ban", icon: "check", run: () => liftBan(room, id) }];
  const moderate = above ? [
    isMuted(member.muted_until) ? { label: "Let speak again", icon: "check", run: () => attempt(act("DELETE", at("mutes"))) } : { label: "Mute …", icon: "clock", run: () => openDialog({ kind: "mute", label, run: (minutes) => act("PUT", at("mutes"), minutes ? { minutes } : {}) }) },
    { label: "Remove from the room …", icon: "door", danger: true, run: () => confirmed(`Remove ${label}?`, room.kind === "public" ? "A room that is public can be joined again." : "Somebody has to invite them before they come back.", "Remove", () => act("DELETE", at("members"))) },
    ban,
  ] : [];
  return [null, role("owner", "Make an owner"), role("moderator", "Make a moderator"), role("member", "Make a plain member"), ...moderate];
}

export const liftBan = (room, id) => attempt(async () => {
  await ui.session.http("DELETE", `/api/v1/rooms/${room.id}/bans/${id}`);
  toast(`${nameOf(id)} may come back to ${ui.store.nameOf(room)}.`);
});

const confirmed = (title, detail, yes, run) => openDialog({ kind: "confirm", title, detail, yes, danger: true, run });
