// One message on the screen, in each of its states: waiting here, accepted on so many nodes, committed, refused. Its element is the same through all of them.

import { drawText, textClass } from "./draw-text.js";
import { emojiName } from "./emoji.js";
import { icon } from "./icons.js";
import { html, nothing } from "./lit.js";
import { initial, isEmojiOnly, plain, spoken } from "./text.js";
import { clock, dayName, digits, full, shortly } from "./time.js";
import { sentence } from "./store.js";

const LONG_LINES = 24;
const LONG_TEXT = 2_600;
const SHADES = 8;

export const writtenAt = (message) => message.written_at || message.at;

/** Whoever it is, always in the same colour. */
export const shade = (id) => `shade-${(Number(id) || 0) % SHADES}`;
export const disc = (id, name, more = "") => html`<span class="disc ${shade(id)} ${more}" aria-hidden="true">${initial(name)}</span>`;

/**
 * `entry`: from the room. `view`: {room, store, first (of its author's run), day (a day begins), unread (the unread begin here), hot (has its buttons), focused, flash, expanded, editing}. `on`: what can be done.
 */
export function messageItem(entry, view, on) {
  if (entry.state === "gone") return html`<li class="gone" data-key=${entry.key}></li>`;
  if (entry.state === "missing") return html`<li class="blank" data-key=${entry.key} aria-hidden="true"><span></span><span></span></li>`;
  if (entry.state === "note") return html`<li class="note" data-key=${entry.key} dir="auto">${entry.text}</li>`;
  const { message, state } = entry;
  const mine = message.author_id === view.store.me.id;
  const names = ["message", state, mine && "mine", view.first ? "first" : "more", view.flash && "flash", view.hot && "hot", view.editing && "changing",
    message.mentions?.includes(view.store.me.id) && "for-me", message.deleted && "deleted", entry.effect?.deleting && "leaving", entry.settled && "settled"];
  return html`<li class=${names.filter(Boolean).join(" ")} data-name=${entry.id ?? entry.key} data-key=${entry.key} data-seq=${entry.seq ?? nothing} tabindex="-1">
    ${view.day ? html`<div class="divider day" role="separator"><span>${dayName(writtenAt(message))}</span></div>` : nothing}
    ${view.unread ? html`<div class="divider unread" role="separator"><span>New</span></div>` : nothing}
    ${entry.notes?.map((text) => html`<p class="note" dir="auto">${text}</p>`)}
    <div class="body">
      ${side(message, view)}
      <div class="main">
        ${head(message, view, on)}
        ${message.reply_to ? quote(message.reply_to, view, on) : nothing}
        ${content(entry, view, on)}
        ${beneath(entry, view, on)}
      </div>
      ${mark(entry, mine, view, on)}
      ${view.hot && state === "committed" && !message.deleted ? buttons(entry, view, on) : nothing}
    </div>
  </li>`;
}

function side(message, view) {
  const at = writtenAt(message);
  return view.first
    ? html`<div class="side">${disc(message.author_id, view.store.people.label(message.author_id, message.author))}</div>`
    : html`<div class="side"><time datetime=${at ?? nothing} title=${at ? full(at) : nothing}>${at ? digits(at) : ""}</time></div>`;
}

function head(message, view, on) {
  const label = view.store.people.label(message.author_id, message.author);
  const at = writtenAt(message);
  const title = message.written_at && message.at ? `written ${full(message.written_at)}, in its place since ${full(message.at)}` : at ? full(at) : "";
  if (!view.first) return html`<span class="unseen">${plain(label)}${at ? `, ${clock(at)}` : ""}: </span>`;
  return html`<div class="head">
    <button type="button" class="author" title=${label === message.author ? nothing : `@${message.author}`} tabindex=${view.focused ? "0" : "-1"} @click=${(event) => on.profile(message.author_id, event.currentTarget)}><bdi>${plain(label, 80)}</bdi></button>
    ${at ? html`<time datetime=${at} title=${title}>${clock(at)}</time>` : nothing}
  </div>`;
}

function quote(seq, view, on) {
  const answered = view.room.messages.get(seq);
  const label = answered ? plain(view.store.people.label(answered.author_id, answered.author), 40) : "";
  const text = !answered ? "a message further up" : answered.deleted ? "a message that was deleted" : spoken(answered.text, 160);
  return html`<button type="button" class="quote" tabindex=${view.focused ? "0" : "-1"} @click=${() => on.jump(seq)}>
    ${icon("reply")}<span class="unseen">Reply to </span>${label ? html`<b><bdi>${label}</bdi></b>` : nothing}<span dir="auto">${text}</span>
  </button>`;
}

function content(entry, view, on) {
  const { message } = entry;
  if (message.deleted) {
    const by = message.deleted.by === message.author_id ? "" : ` by ${plain(view.store.people.label(message.deleted.by, "a moderator"), 40)}`;
    return html`<p class="text" title=${full(message.deleted.at)}>This message was deleted${by}.</p>`;
  }
  const written = entry.effect?.text ?? message.text;
  // `/me waves` tells what its author does, as in the terminal.
  const action = /^\/me\s+(?=\S)/u.exec(written)?.[0] ?? "";
  const text = written.slice(action.length);
  const names = new Set((message.mentions ?? []).map((id) => view.store.people.get(id)?.name?.toLowerCase()).filter(Boolean));
  const long = text.length > LONG_TEXT || text.split("\n").length > LONG_LINES;
  const short = long && !view.expanded;
  const author = action ? html`* <span class="doer">${plain(view.store.people.label(message.author_id, message.author), 40)}</span> ` : nothing;
  return html`<div class=${`${textClass(action ? "" : text)}${short ? " short" : ""}${action ? " action" : ""}`} dir="auto">${author}${drawText(text, { names, me: view.store.me.name.toLowerCase(), reach: view.focused })}</div>${
    long ? html`<button type="button" class="link whole" tabindex=${view.focused ? "0" : "-1"} aria-expanded=${!short} @click=${() => on.expand(entry.key)}>${short ? "Show all" : "Show less"}</button>` : nothing}`;
}

function beneath(entry, view, on) {
  const { message, effect, seq } = entry;
  const edited = message.edited && !message.deleted;
  const doing = effect?.deleting ? "being deleted …" : effect?.text !== undefined ? "being changed …" : "";
  const reactions = reactionsOf(message, effect, view.store.me.id);
  return html`${edited || doing ? html`<span class="edited" title=${message.edited ? `changed ${full(message.edited)}` : nothing}>${doing || "edited"}</span>` : nothing}
    ${message.pinned && !message.deleted ? html`<span class="edited">${icon("pin")}pinned</span>` : nothing}
    ${reactions.length ? html`<div class="reactions">${reactions.map((one) => reaction(one, entry, view, on))}</div>` : nothing}
    ${message.replies ? html`<button type="button" class="replies" tabindex=${view.focused ? "0" : "-1"} @click=${() => on.thread(seq)}>${icon("thread")}${message.replies === 1 ? "1 reply" : `${message.replies} replies`}</button>` : nothing}`;
}

/** As they are, and as they will be when own ones are through. */
function reactionsOf(message, effect, me) {
  const all = new Map((message.deleted ? [] : message.reactions ?? []).map(({ emoji, users }) => [emoji, { emoji, users, waits: false }]));
  for (const [emoji, on] of effect?.reactions ?? []) {
    const users = (all.get(emoji)?.users ?? []).filter((user) => user !== me);
    all.set(emoji, { emoji, users: on ? [...users, me] : users, waits: true });
  }
  return [...all.values()].filter(({ users }) => users.length);
}

function reaction({ emoji, users, waits }, entry, view, on) {
  const mine = users.includes(view.store.me.id);
  const known = users.slice(0, 12).map((id) => (id === view.store.me.id ? "you" : plain(view.store.people.label(id, view.store.people.get(id)?.name), 30)));
  const who = `${known.join(", ")}${users.length > 12 ? ` and ${users.length - 12} others` : ""}`;
  return html`<button type="button" class=${`reaction${waits ? " waits" : ""}`} aria-pressed=${mine} tabindex=${view.focused ? "0" : "-1"} title=${`${who}: ${emojiName(emoji)}`}
    @click=${() => on.react(entry.seq, emoji, !mine)}>
    <bdi class=${isEmojiOnly(emoji) ? "emoji" : "word"}>${plain(emoji, 32)}</bdi><span>${users.length}</span><span class="unseen">: ${who}</span></button>`;
}

/** Where it is. Of others' messages that have their place there is nothing to say. */
function mark(entry, mine, view, on) {
  const { state, message, copies, seq } = entry;
  if (state === "committed") {
    if (!mine || message.deleted) return nothing;
    const label = `committed as number ${seq}: a majority of nodes has it`;
    return html`<span class="state" role="img" title=${label} aria-label="committed">${icon("check")}</span>`;
  }
  if (state === "waiting") {
    const nodes = copies === 1 ? "1 node" : `${copies} nodes`;
    const title = `Kept on ${nodes} of this side, and seen by everybody here. It gets its place among the others' messages once there is a majority again.`;
    return html`<span class="state" title=${title}>${icon("clock")}<span class="few" aria-hidden="true">${copies}</span><span class="words"><span class="wide">waiting · </span>on ${nodes}</span></span>`;
  }
  if (state === "sending") {
    const sent = entry.status === "sent";
    const title = sent ? "Sent, and not answered yet." : "Kept on this device until a node takes it.";
    return html`<span class="state late" title=${title}>${icon("clock")}<span class="words">${sent ? "sending" : "waiting here"}</span></span>`;
  }
  return html`<div class="state">${icon("warn")}<span>Not sent: ${sentence(entry.why)}.</span>
    <button type="button" class="quiet again" @click=${() => on.again(entry)}>Send again</button>
    <button type="button" class="quiet discard" @click=${() => on.discard(entry)}>Discard</button></div>`;
}

function buttons(entry, view, on) {
  const { message, seq } = entry;
  const button = (name, label, run, hint) => html`<button type="button" class="icon-button" aria-label=${label} title=${hint ? `${label} (${hint})` : label} tabindex=${view.focused ? "0" : "-1"} @click=${run}>${icon(name)}</button>`;
  return html`<div class="tools" role="toolbar" aria-label=${`Message of ${plain(message.author, 40)}`}>
    ${view.room.member ? button("smile", "React", (event) => on.pick(seq, event.currentTarget), "+") : nothing}
    ${view.room.mayPost ? button("reply", "Reply", () => on.reply(seq), "R") : nothing}
    ${view.room.mayEdit(message) ? button("edit", "Edit", () => on.edit(seq), "E") : nothing}
    ${button("more", "More", (event) => on.menu(entry, event.currentTarget), "Enter")}
  </div>`;
}

/** A message in a pane: search, pins, a thread. */
export function card(message, { store, room, where = false, open, label }) {
  const name = plain(store.people.label(message.author_id, message.author), 60);
  const at = writtenAt(message);
  return html`<li class="card">
    <button type="button" class="card-link" aria-label=${label} @click=${open}></button>
    <div class="card-head">${disc(message.author_id, name, "small")}<b><bdi>${name}</bdi></b>${where ? html`<span class="where">in <bdi>${plain(store.nameOf(room), 60)}</bdi></span>` : nothing}<time datetime=${at} title=${full(at)}>${shortly(at)}</time></div>
    <div class="text" dir="auto">${message.deleted ? html`<em>This message was deleted.</em>` : drawText(message.text)}</div>
  </li>`;
}
