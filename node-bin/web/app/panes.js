// What stands beside a room: its members, what is pinned, a thread, a search, what it is.

import { onMessage, jumpTo, personMenu } from "./actions.js";
import { icon, kindIcon } from "./icons.js";
import { html, live, nothing, repeat } from "./lit.js";
import { card, disc } from "./message.js";
import { isMuted } from "./standing.js";
import { sentence } from "./store.js";
import { drawText } from "./draw-text.js";
import { plain } from "./text.js";
import { attempt, closePane, currentRoom, draw, openDialog, openMenu, ui } from "./ui.js";
import { rulesInWords } from "./rules.js";

const MOST_SHOWN = 300;   // members in the page; the others are found by name
let filter = "";

export function pane() {
  const { pane: which, arg } = ui.route;
  const room = currentRoom();
  if (!which || (!room && which !== "search")) return nothing;
  const [title, content] = {
    members: () => [`Members`, members(room)],
    pins: () => ["Pinned", pins(room)],
    about: () => ["About this room", about(room)],
    thread: () => ["Thread", thread(room, arg)],
    search: () => ["Search", search(room)],
  }[which]();
  return html`<aside id="pane" data-region aria-labelledby="pane-title">
    <header><h2 id="pane-title">${title}</h2><button type="button" class="icon-button" aria-label="Close" @click=${closePane}>${icon("close")}</button></header>
    <div class="pane-body" tabindex="-1">${content}</div>
  </aside>`;
}

/** Asks for what a pane shows, when it is opened. */
export function openedPane({ pane: which, arg }, room) {
  filter = "";
  if (which === "members" && room) ui.store.loadMembers(room).catch(() => {});
  if (which === "thread" && room) loadThread(room, arg);
  if (which === "pins" && room) for (const seq of room.pins) room.need(seq, seq);
  const focus = which === "search" ? "#pane input" : "#pane .pane-body";
  requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector(focus)?.focus()));
}

// ---- members

function members(room) {
  if (!room.members) return html`<p class="hint">Asking who is here …</p>`;
  const wanted = filter.toLowerCase();
  const label = (member) => ui.store.people.label(member.id, member.name);
  const online = (member) => member.id === ui.store.me.id || (ui.store.people.known.get(member.id)?.online ?? member.online);
  const all = [...room.members.values()].filter((member) => !wanted || label(member).toLowerCase().includes(wanted) || member.name.toLowerCase().includes(wanted));
  const rank = { owner: 0, moderator: 1, member: 2 };
  all.sort((a, b) => rank[a.role] - rank[b.role] || online(b) - online(a) || label(a).localeCompare(label(b)));
  const groups = [["Owners and moderators", all.filter((member) => member.role !== "member")], ["Here", all.filter((member) => member.role === "member" && online(member))], ["Away", all.filter((member) => member.role === "member" && !online(member))]];
  return html`
    <div class="pane-tools"><input type="search" placeholder="Find a member" aria-label="Find a member" .value=${live(filter)} @input=${(event) => { filter = event.target.value; draw(); }}>
    ${room.member && room.kind !== "public" && room.may(room.rules.invite) ? html`<button type="button" class="quiet" @click=${() => openDialog({ kind: "invite", room })}>Invite</button>` : nothing}</div>
    ${groups.map(([title, list]) => (list.length ? html`<h3>${title} <span class="faint">${list.length}</span></h3><ul class="people" role="list">${repeat(list.slice(0, MOST_SHOWN), (member) => member.id, (member) => memberRow(member, room, online(member)))}</ul>` : nothing))}
    ${all.length ? nothing : html`<p class="hint">Nobody of that name.</p>`}`;
}

function memberRow(member, room, online) {
  const name = plain(ui.store.people.label(member.id, member.name), 80);
  const notes = [member.id === ui.store.me.id ? "you" : "", member.role === "member" ? "" : member.role, isMuted(member.muted_until) ? "muted" : ""].filter(Boolean);
  return html`<li><button type="button" class="row" @click=${(event) => openMenu(event.currentTarget, personMenu(member.id, room), name)}>
    <span class=${`with-dot${online ? " online" : ""}`}>${disc(member.id, name, "small")}</span><span class="named" dir="auto">${name}</span><span class="unseen">, ${online ? "here" : "away"} </span><span class="faint">${notes.join(" · ")}</span></button></li>`;
}

// ---- pins, threads

function pins(room) {
  const list = [...room.pins].sort((a, b) => b - a);
  if (!list.length) return html`<p class="hint">Nothing is pinned. Moderators pin messages from their menu.</p>`;
  for (const seq of list) if (room.isMissing(seq)) room.need(seq, seq);
  return html`<ul class="cards" role="list">${list.map((seq) => {
    const message = room.messages.get(seq);
    return message ? card(message, { store: ui.store, room, label: "Show in the room", open: () => jumpTo(room, seq) }) : html`<li class="blank"><span></span><span></span></li>`;
  })}</ul>`;
}

const threadKey = (room, seq) => `${room.id}/${seq}`;

async function loadThread(room, root) {
  room.need(root, root);
  const key = threadKey(room, root);
  try {
    const messages = [];
    for (let after = 0; messages.length < 2_000;) {
      const page = await ui.session.http("GET", `/api/v1/rooms/${room.id}/messages/${root}/thread?after=${after}&limit=200`);
      messages.push(...page.messages);
      if (page.messages.length < 200) break;
      after = page.messages.at(-1).seq;
    }
    ui.threads.set(key, { messages });
  } catch (error) {
    ui.threads.set(key, { messages: [], error: sentence(error) });
  }
  draw();
}

function thread(room, root) {
  const known = ui.threads.get(threadKey(room, root));
  const first = room.messages.get(root);
  // What has come since the thread was asked for is known from the room.
  const seqs = new Map((known?.messages ?? []).map((message) => [message.seq, message]));
  for (const [seq, message] of room.messages) if (message.thread === root || seqs.has(seq)) seqs.set(seq, message);
  const answers = [...seqs.values()].sort((a, b) => a.seq - b.seq);
  const show = (message) => card(message, { store: ui.store, room, label: "Show in the room", open: () => jumpTo(room, message.seq) });
  return html`${first ? html`<ul class="cards first" role="list">${show(first)}</ul>` : html`<p class="hint">Looking for its first message …</p>`}
    <h3>${answers.length === 1 ? "1 reply" : `${answers.length} replies`}</h3>
    ${known?.error ? html`<p class="error" role="alert">${known.error}.</p>` : nothing}
    <ul class="cards" role="list">${repeat(answers, (message) => message.seq, show)}</ul>
    ${first && !first.deleted && room.mayPost ? html`<button type="button" class="quiet wide" @click=${() => onMessage.reply(root)}>${icon("reply")}Reply in this thread</button>` : nothing}`;
}

// ---- search

function search(room) {
  const state = ui.search;
  const submit = (event) => { event.preventDefault(); find(room); };
  return html`<form class="search" role="search" @submit=${submit}>
      <div class="field-row"><input type="search" name="words" placeholder="All words must be in it" aria-label="Words to look for" autocomplete="off" .value=${live(state.words)} @input=${(event) => { state.words = event.target.value; }}><button aria-label="Search">${icon("search")}</button></div>
      ${room ? html`<label class="check"><input type="checkbox" .checked=${live(state.here)} @change=${(event) => { state.here = event.target.checked; if (state.words.trim()) find(room); }}> only in <bdi>${plain(ui.store.nameOf(room), 50)}</bdi></label>` : nothing}
    </form>
    <div aria-live="polite" class="found">${state.error ? html`<p class="error">${state.error}.</p>` : state.busy ? html`<p class="hint">Searching …</p>` : state.results ? html`<p class="hint">${foundInWords(state)}</p>` : html`<p class="hint">Accents and capitals do not count. The last word may be a beginning.</p>`}</div>
    <ul class="cards" role="list">${(state.results ?? []).map((message) => found(message))}</ul>
    ${state.next ? html`<button type="button" class="quiet wide" ?disabled=${state.busy} @click=${() => find(room, state.next)}>Older ones</button>` : nothing}`;
}

function foundInWords({ results, next, complete }) {
  const how = results.length ? `${results.length}${next ? " or more" : ""} found, the newest first.` : "Nothing found.";
  return complete ? how : `${how} This node is still making its index: there may be more.`;
}

function found(message) {
  const room = ui.store.rooms.get(message.room);
  return room ? card(message, { store: ui.store, room, where: true, label: `Show in ${plain(ui.store.nameOf(room), 60)}`, open: () => jumpTo(room, message.seq) }) : nothing;
}

async function find(room, before = null) {
  const state = ui.search;
  const words = state.words.trim();
  if (!words) return;
  Object.assign(state, { busy: true, error: "" });
  if (!before) state.results = null;
  draw();
  const asked = (state.asked = {});
  const query = new URLSearchParams({ q: words, limit: "30", ...(room && state.here && { room: String(room.id) }), ...(before && { before }) });
  try {
    const answer = await ui.session.http("GET", `/api/v1/search?${query}`);
    if (asked !== state.asked) return;
    Object.assign(state, { results: [...(before ? state.results : []), ...answer.messages], next: answer.next, complete: answer.complete });
  } catch (error) {
    if (asked === state.asked) state.error = sentence(error);
  }
  state.busy = false;
  draw();
}

// ---- about

function about(room) {
  const name = plain(ui.store.nameOf(room), 120);
  return html`<div class="about">
    <p class="about-name">${kindIcon(room)}<b dir="auto">${name}</b></p>
    ${room.topic ? html`<div class="text" dir="auto">${drawText(room.topic)}</div>` : room.kind === "direct" ? nothing : html`<p class="hint">No topic yet.</p>`}
    ${room.kind === "direct" ? html`<p>A room of two. Nobody else can read it.</p>` : html`<dl>${rulesInWords(room).map(([what, how]) => html`<dt>${what}</dt><dd>${how}</dd>`)}</dl>`}
    ${room.moderates && room.member ? html`<button type="button" class="quiet wide" @click=${() => openDialog({ kind: "room", room })}>${icon("settings")}Room settings</button>` : nothing}
    ${!room.member && room.kind === "public" ? html`<button type="button" class="wide" @click=${() => attempt(ui.store.join(room))}>Join</button>` : nothing}
  </div>`;
}
