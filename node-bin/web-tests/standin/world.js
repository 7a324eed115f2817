// A made-up cluster for looking at the page without one: people, rooms of each kind, 100,000 messages in one of them. Everything follows from numbers, nothing is drawn.

const NAMES = ["ana", "ben", "cleo", "dora", "emil", "fatima", "goran", "hana", "ines", "jonas", "kaya", "liam", "mei", "nils", "olga", "pavel", "quentin", "rosa", "sven", "tala"];
const SAID = [
  "The boat leaves at nine.", "Who brings the big tent?", "I do, if somebody carries it from the station.", "Then we keep to the plan.", "Could you look at https://example.org/notes/2024-11 before tonight?",
  "The second run is *much* faster: `p99` fell from 41 ms to 12 ms.", "Yes.", "I would rather wait for the numbers of the other side, because what we measured on Tuesday was with two nodes only and half of the load, and nobody knows whether the disk was warm.",
  "👍", "@ana can you check the order?", "Done, it is the same on all five.", "Good morning!", "```\nnode demo --nodes 5 --http-base 22000\n```", "Somebody left a coat in the hall.", "That was mine, thank you.", "Lunch at half past twelve?",
  "I am in the train, the line drops every few minutes.", "The minutes are here: https://example.org/minutes?week=47&list=all", "Crème brûlée or apple pie?", "Both.", "Let us ask the others first; _they_ have to live with it.",
  "First point: who leads.\nSecond point: who follows.\nThird point: what becomes of what was said in between.", "Nothing was lost.", "And nothing doubled?", "Nothing doubled.", "היי, אני אגיע קצת מאוחר", "Das ist mir recht.", "I have written it down.",
];
const REPLY = 17;

const mix = (a, b = 0) => {
  let x = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 15), 0x27d4eb2f);
  return (x ^ (x >>> 13)) >>> 0;
};

export const users = [...NAMES.map((name, nth) => ({ id: nth + 1, name, shown: name === "ana" ? "Ana María" : name })), { id: 21, name: "Wolfeschlegelsteinhausenbergerdorff-von-Hohenlohe", shown: "Wolfeschlegelsteinhausenbergerdorff-von-Hohenlohe" }, { id: 22, name: "עדה", shown: "עדה" }]
  .map((user) => ({ ...user, ambiguous: false, deleted: false, online: mix(user.id, 3) % 3 > 0 }));

const RULES = { history: "all", post: "members", invite: "members", edits: true, text_bytes: 4096, tentative: "accept" };
let nextRoom = 1;
export function makeRoom(fields) {
  const id = nextRoom++;
  return { id, name: "", kind: "public", topic: "", archived: false, member: true, role: "member", invited: false, with: null, last: 0, read: 0, mentions: 0, pins: [], rules: { ...RULES }, cursor: 0, people: [1, 2, 3, 4, 5, 6, 7, 8], said: new Map(), ...fields };
}

export function makeRooms() {
  const rooms = [
    makeRoom({ name: "lobby", topic: "Everything that has no other room. Read https://example.org/house-rules once.", last: 100_000, read: 99_958, mentions: 2, role: "owner", pins: [99_990, 99_500, 12], people: users.map((user) => user.id) }),
    makeRoom({ name: "boats", topic: "Who sails when", last: 420, read: 420 }),
    makeRoom({ name: "measurements", kind: "private", topic: "Latency, disks, and what the graphs say", last: 3_200, read: 3_190, role: "moderator", pins: [3_100] }),
    makeRoom({ name: "release 0.9", kind: "private", last: 88, read: 88 }),
    makeRoom({ name: "announcements", topic: "Only moderators write here", last: 12, read: 12, rules: { ...RULES, post: "moderators" } }),
    makeRoom({ name: "vault", rules: { ...RULES, tentative: "refuse" }, topic: "Never without a majority" }),
    makeRoom({ name: "a room with quite a long name that nobody will ever read to its end, whatever they do", last: 7, read: 7 }),
    makeRoom({ name: "old plans", archived: true, last: 31, read: 31 }),
    makeRoom({ kind: "group", last: 45, read: 44, people: [1, 4, 6, 9] }),
    makeRoom({ kind: "direct", with: 2, last: 60, read: 58, people: [1, 2] }),
    makeRoom({ kind: "direct", with: 3, last: 5, read: 5, people: [1, 3] }),
    makeRoom({ kind: "direct", with: 21, last: 1, read: 1, people: [1, 21] }),
    makeRoom({ name: "kitchen", member: false, last: 900, topic: "What is in the fridge", people: [2, 3, 5, 8] }),
    makeRoom({ name: "cycling", member: false, last: 0, people: [2] }),
    makeRoom({ name: "book club", kind: "private", member: false, invited: true, last: 3, people: [5, 6] }),
  ];
  for (const name of ["accounting", "alpha", "backups", "bridge", "clocks", "design", "elections", "fridge", "garden", "hiring", "incidents", "juggling", "kernel", "library"]) {
    rooms.push(makeRoom({ name, last: mix(name.length, nextRoom) % 900, member: nextRoom % 3 > 0 }));
    const room = rooms.at(-1);
    room.read = nextRoom % 5 === 0 ? Math.max(0, room.last - 3) : room.last;
  }
  return rooms;
}

const NOW = Date.now();

/** A message of a room: as it was changed, or as its place makes it. */
export function message(room, seq) {
  const changed = room.said.get(seq);
  if (changed) return changed;
  // Runs of one author, and days that end.
  const run = Math.floor(seq / (1 + (mix(seq >> 3, room.id) % 4)));
  const author_id = room.people[mix(run, room.id) % room.people.length];
  const author = users[author_id - 1].name;
  const at = new Date(NOW - (room.last - seq) * 97_000 - (room.last - seq > 40 ? 16 * 3_600_000 : 0)).toISOString();
  const made = { seq, id: `${room.id.toString(16).padStart(8, "0")}${seq.toString(16).padStart(24, "0")}`, author, author_id, text: SAID[mix(seq, room.id) % SAID.length], at };
  if (seq > REPLY && seq % REPLY === 0) made.reply_to = seq - 1 - (mix(seq) % 9);
  if (made.reply_to) made.thread = made.reply_to;
  if (seq % 23 === 0) made.reactions = [{ emoji: "👍", users: [1, 3, 4].slice(seq % 2) }, ...(seq % 46 === 0 ? [{ emoji: "🎉", users: [2] }] : [])];
  if (seq % 61 === 0) made.edited = at;
  if (seq % 113 === 0) Object.assign(made, { deleted: { by: author_id, at }, text: "" });
  if (seq % 40 === 0) made.replies = 3;
  if (made.text.includes("@ana")) made.mentions = [1];
  if (room.pins.includes(seq)) made.pinned = true;
  return made;
}
