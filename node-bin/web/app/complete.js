// What is offered while somebody writes: names after an @, emoji after a colon. Without a screen: what fits a text up to the place of writing.

import { findEmoji } from "./emoji.js";
import { pick } from "./fuzzy.js";

const MOST = 8;
/** Only such names are found after an @. */
const REACHABLE = /^[\p{L}\p{N}_.-]+$/u;

/** `{from, typed, items: [{insert, label, hint}]}`, or `null`. `before`: the text up to the caret. */
export function offers(before, room, store) {
  const at = /(?<![\p{L}\p{N}])@([\p{L}\p{N}_.-]*)$/u.exec(before);
  if (at) return some(at, names(at[1], room, store));
  const colon = /(?<![\p{L}\p{N}:]):([a-z+-][a-z0-9+_-]+)$/u.exec(before);
  if (colon) return some(colon, findEmoji(colon[1].replaceAll("_", " "), MOST).map(({ emoji, words }) => ({ insert: `${emoji} `, label: emoji, hint: words.join(" ") })));
  return null;
}

const some = (match, items) => (items.length ? { from: match.index, typed: match[1], items } : null);

function names(typed, room, store) {
  const known = new Map();
  // Those who have spoken lately come first.
  for (let seq = room.last; seq > room.last - 200 && seq >= room.first; seq -= 1) {
    const message = room.messages.get(seq);
    if (message && !known.has(message.author_id)) known.set(message.author_id, { id: message.author_id, name: message.author });
  }
  for (const member of room.members?.values() ?? []) known.set(member.id, { ...known.get(member.id), id: member.id, name: member.name });
  if (room.with) known.set(room.with, store.people.get(room.with) ?? { id: room.with, name: "" });
  const others = [...known.values()].filter(({ id, name }) => id !== store.me.id && REACHABLE.test(name) && (!room.members || room.members.has(id)));
  const shown = ({ id, name }) => store.people.label(id, name);
  return pick(typed, others, (user) => [user.name, shown(user)], MOST)
    .map((user) => ({ insert: `@${user.name} `, label: shown(user), hint: shown(user) === user.name ? "" : `@${user.name}`, user }));
}
