// Where one writes: the draft of each room, answers, changes of one's own messages, names and emoji that are completed.

import { offers } from "./complete.js";
import { icon } from "./icons.js";
import { html, live, nothing } from "./lit.js";
import { disc } from "./message.js";
import { sentAway, untilInWords } from "./standing.js";
import { sentence } from "./store.js";
import { plain, spoken } from "./text.js";
import { attempt, capital, draw, toast, ui } from "./ui.js";

const TYPING_EVERY = 3_000;   // ms between hints that somebody writes
const NEAR_LIMIT = 0.8;       // of a message's bytes: then how many are left is shown

const bytes = new TextEncoder();
const field = () => document.getElementById("text");
const coarse = matchMedia("(hover: none) and (pointer: coarse)");
let completing = null;        // {from, items, at}
let lastHint = 0;

/** The list goes to its end when something was sent. */
export const composer = { sent: () => {} };

export const focusComposer = () => {
  const text = field();
  if (text && !text.disabled) text.focus();
  return Boolean(text && !text.disabled);
};

/** The text that is being written. */
export const draftOf = (room) => (ui.editing?.room === room ? ui.editing.text : room.draft);

/** Why nothing can be written here, if so. */
function closed(room) {
  if (room.archived) return "This room is archived. It can be read.";
  if (room.kind === "direct" && ui.store.blocked.some((user) => user.id === room.with)) return "You have blocked this person.";
  if (room.muted) return `You are muted in this room ${untilInWords(room.mutedUntil)}. You can read it.`;
  if (!room.mayPost) return room.rules.post === "nobody" ? "Nobody writes in this room." : "Only moderators write in this room.";
  return "";
}

export function composerView(room) {
  if (!room) return html`<form id="post" hidden><textarea id="text" disabled aria-label="Message"></textarea></form>`;
  if (!room.member) return door(room);
  const why = closed(room);
  const text = draftOf(room);
  const limit = room.rules.text_bytes ?? 4096;
  const used = bytes.encode(text).length;
  const label = `Message to ${plain(ui.store.nameOf(room), 18)}`;
  return html`<form id="post" @submit=${(event) => { event.preventDefault(); send(room); }}>
    ${strip(room)}
    ${completing ? list() : nothing}
    ${why ? html`<p class="closed">${why}</p><textarea id="text" hidden disabled aria-label=${label}></textarea>` : html`
    <div class="write">
      <textarea id="text" rows="1" dir="auto" placeholder=${label} aria-label=${label} enterkeyhint=${coarse.matches ? "enter" : "send"} autocomplete="off"
        aria-autocomplete="list" aria-controls=${completing ? "offers" : nothing} aria-activedescendant=${completing ? `offer-${completing.at}` : nothing}
        .value=${live(text)} @input=${(event) => written(room, event.target)} @keydown=${(event) => keys(room, event)} @blur=${() => { completing = null; draw(); }}></textarea>
      ${used > limit * NEAR_LIMIT ? html`<span class=${used > limit ? "left over" : "left"} role="status">${limit - used}</span>` : nothing}
      ${coarse.matches ? nothing : html`<button type="button" class="icon-button" aria-label="Emoji" title="Emoji (:name)" @click=${(event) => { ui.picker = { at: event.currentTarget, words: "", then: insert }; draw(); }}>${icon("smile")}</button>`}
      <button type="submit" class="send" aria-label=${ui.editing ? "Save" : "Send"} ?disabled=${!text.trim() || used > limit}>${icon(ui.editing ? "check" : "send")}</button>
    </div>`}
  </form>`;
}

/** In place of the composer, for those who look in from outside. */
function door(room) {
  const text = room.invited ? "You are invited to this room." : room.away ? sentAway(room.away) : "You are not in this room.";
  const mayJoin = room.invited || (room.kind === "public" && room.away?.how !== "banned");
  return html`<form id="post" @submit=${(event) => { event.preventDefault(); attempt(ui.store.join(room), "You have not joined").then((done) => done && setTimeout(focusComposer, 50)); }}>
    <div class="door"><p>${text}</p>
      ${mayJoin ? html`<button type="submit" ?disabled=${room.joining}>${room.joining ? "Joining …" : "Join"}</button>` : nothing}</div>
    <textarea id="text" hidden disabled aria-label="Message"></textarea>
  </form>`;
}

/** What is above the text: which message is answered or changed. */
function strip(room) {
  const reply = ui.replies.get(room.id);
  if (ui.editing?.room === room) return stripOf("edit", "Change your message", "", () => stopEditing());
  if (!reply) return nothing;
  return stripOf("reply", `Reply to ${plain(ui.store.people.label(reply.author_id, reply.author), 40)}`, spoken(reply.text, 200), () => { ui.replies.delete(room.id); draw(); focusComposer(); });
}

const stripOf = (name, label, text, stop) => html`<div class="strip">${icon(name)}<b>${label}</b><span dir="auto">${text}</span>
  <button type="button" class="icon-button" aria-label="Cancel (Escape)" @click=${stop}>${icon("close")}</button></div>`;

function list() {
  return html`<ul id="offers" role="listbox" aria-label="Suggestions">${completing.items.map((item, nth) => html`
    <li id=${`offer-${nth}`} role="option" aria-selected=${nth === completing.at} @pointerdown=${(event) => { event.preventDefault(); complete(nth); }}>
      ${item.user ? disc(item.user.id, item.label, "small") : html`<span class="emoji">${item.label}</span>`}
      ${item.user ? html`<bdi>${plain(item.label, 60)}</bdi>` : nothing}<span class="hint"><bdi>${item.hint}</bdi></span></li>`)}</ul>`;
}

// ---- writing

function written(room, text) {
  keep(room, text.value);
  grow(text);
  const found = text.selectionStart === text.selectionEnd ? offers(text.value.slice(0, text.selectionStart), room, ui.store) : null;
  completing = found && { ...found, at: 0 };
  if (text.value.trim() && !ui.editing && Date.now() - lastHint > TYPING_EVERY) {
    lastHint = Date.now();
    ui.store.typing(room);
  }
  draw();
}

function keep(room, value) {
  if (ui.editing?.room === room) ui.editing.text = value;
  else ui.store.draft(room, value);
}

/** As high as what is in it; where the style sheet cannot say that. */
export function grow(text = field()) {
  if (!text || CSS.supports("field-sizing", "content")) return;
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function complete(nth) {
  const text = field();
  const { from, items } = completing;
  text.setRangeText(items[nth].insert, from, text.selectionStart, "end");
  completing = null;
  text.dispatchEvent(new Event("input"));
  text.focus();
}

/** Puts something where one writes, an emoji say. */
export function insert(what) {
  const text = field();
  if (!text || text.disabled) return;
  text.setRangeText(what, text.selectionStart, text.selectionEnd, "end");
  text.dispatchEvent(new Event("input"));
  text.focus();
}

function keys(room, event) {
  if (event.isComposing) return;
  if (completing && completionKeys(event)) return event.preventDefault();
  const empty = event.target.value === "";
  if (event.key === "Enter" && !event.shiftKey && !event.altKey && (!coarse.matches || event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    send(room);
  } else if (event.key === "ArrowUp" && empty && !event.altKey && !ui.editing && !ui.replies.has(room.id)) {
    const own = room.lastOwn();
    if (!own || !room.mayEdit(own)) return;
    event.preventDefault();
    edit(room, own.seq);
  } else if (event.key === "Escape") {
    if (ui.editing) stopEditing();
    else if (ui.replies.delete(room.id)) draw();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Whether the key was for the suggestions. */
function completionKeys(event) {
  const { at, items } = completing;
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) completing.at = (at + by + items.length) % items.length;
  else if (event.key === "Enter" || event.key === "Tab") complete(at);
  else if (event.key === "Escape") { completing = null; event.stopPropagation(); }
  else return false;
  draw();
  return true;
}

function send(room) {
  const text = draftOf(room);
  if (!text.trim() || bytes.encode(text).length > (room.rules.text_bytes ?? 4096)) return;
  completing = null;
  try {
    if (ui.editing?.room === room) {
      const { seq, before } = ui.editing;
      if (text !== before) ui.store.edit(room, seq, text);
      return stopEditing();
    }
    ui.store.post(room, text, ui.replies.get(room.id)?.seq);
  } catch (error) {
    return toast(capital(sentence(error)), { bad: true });
  }
  ui.replies.delete(room.id);
  ui.store.draft(room, "");
  ui.store.save();
  lastHint = 0;
  composer.sent(room);
  draw();
  requestAnimationFrame(() => grow());
}

// ---- answers and changes

export function reply(room, message) {
  if (ui.editing) stopEditing();
  ui.replies.set(room.id, message);
  draw();
  requestAnimationFrame(focusComposer);
}

export function edit(room, seq) {
  const message = room.messages.get(seq);
  if (!message || !room.mayEdit(message)) return;
  ui.editing = { room, seq, before: message.text, text: message.text };
  draw();
  requestAnimationFrame(() => {
    if (!focusComposer()) return;
    const text = field();
    text.setSelectionRange(text.value.length, text.value.length);
    grow(text);
  });
}

export function stopEditing() {
  ui.editing = null;
  draw();
  requestAnimationFrame(() => { focusComposer(); grow(); });
}
