// Rooms: making one, finding one, inviting to one, and what its owners decide.

import { liftBan } from "./actions.js";
import { finish, problem, titled } from "./dialogs.js";
import { pick } from "./fuzzy.js";
import { icon, kindIcon } from "./icons.js";
import { html, live, nothing, repeat } from "./lit.js";
import { disc } from "./message.js";
import { enter } from "./rooms-pane.js";
import { plain } from "./text.js";
import { closeDialog, draw, go, openRoom, ui } from "./ui.js";

const MOST = 100;   // rooms in the page
const KINDS = [["public", "Public", "Anybody finds it and joins."], ["private", "Private", "Members invite others."], ["group", "Group", "For these people; it needs no name."]];

// ---- people that are named

/** A field that collects people by name. */
export function peopleField(dialog, label) {
  dialog.chosen ??= [];
  const words = dialog.typed ?? "";
  const known = [...ui.store.people.known.values()].filter((user) => user.id !== ui.store.me.id && !user.deleted && !dialog.chosen.some((one) => one.id === user.id));
  const offer = (typed) => (typed.trim() ? pick(typed.trim().replace(/^@/u, ""), known, (user) => [user.shown || user.name, user.name], 6) : []);
  const offered = offer(words);
  const add = (user) => { Object.assign(dialog, { typed: "", error: "" }); dialog.chosen.push(user); draw(); requestAnimationFrame(() => document.getElementById("whom")?.focus()); };
  const find = async (typed) => {
    const [best] = offer(typed);
    if (best) return add(best);
    const name = typed.trim().replace(/^@/u, "");
    if (name) await finish(dialog, async () => add(ui.store.people.take(await ui.session.http("GET", `/api/v1/users/${encodeURIComponent(name)}?by=name`))), { stay: true });
  };
  // By what stands in the field: whoever types fast is ahead of the drawing.
  const keys = (event) => {
    const typed = event.target.value;
    if (event.key === "Enter" && typed.trim()) { event.preventDefault(); find(typed); }
    if (event.key === "Backspace" && !typed && dialog.chosen.length) { dialog.chosen.pop(); draw(); }
  };
  return html`<label for="whom">${label}</label>
    <div class="chosen">${dialog.chosen.map((user) => html`<span class="chip"><bdi>${plain(user.shown || user.name, 40)}</bdi><button type="button" aria-label=${`Without ${user.name}`} @click=${() => { dialog.chosen = dialog.chosen.filter((one) => one !== user); draw(); }}>${icon("close")}</button></span>`)}
      <input id="whom" autocomplete="off" placeholder=${dialog.chosen.length ? "" : "Names"} .value=${live(words)} @input=${(event) => { dialog.typed = event.target.value; draw(); }} @keydown=${keys}></div>
    ${offered.length ? html`<ul class="offered" role="list">${offered.map((user) => html`<li><button type="button" class="row" @click=${() => add(user)}>${disc(user.id, user.shown || user.name, "small")}<span class="named" dir="auto">${plain(user.shown || user.name, 60)}</span><span class="faint">@${user.name}</span></button></li>`)}</ul>`
      : words.trim() ? html`<p class="hint">Enter looks for exactly this name.</p>` : nothing}`;
}

// ---- making one

export function make(dialog) {
  const kind = (dialog.room ??= "public");
  const submit = (event) => {
    event.preventDefault();
    const { name = "", topic = "" } = Object.fromEntries(new FormData(event.target));
    finish(dialog, async () => {
      const members = kind === "public" ? undefined : (dialog.chosen ?? []).map((user) => user.id);
      const { id } = await ui.session.http("POST", "/api/v1/rooms", { name: name.trim(), kind, ...(topic.trim() && { topic: topic.trim() }), ...(members?.length && { members }) });
      await ui.store.refreshRoom(id);
      openRoom(id);
    });
  };
  return titled("New room", html`<form @submit=${submit}>
    <fieldset class="kinds"><legend class="unseen">Kind</legend>${KINDS.map(([value, label, what]) => html`<label><input type="radio" name="kind" value=${value} .checked=${live(kind === value)} @change=${() => { dialog.room = value; draw(); }}><span>${kindIcon({ kind: value })}<b>${label}</b><small>${what}</small></span></label>`)}</fieldset>
    <label for="room-name">Name${kind === "group" ? " (if you like)" : ""}</label><input id="room-name" name="name" maxlength="64" autocomplete="off" value=${dialog.name ?? nothing} ?required=${kind !== "group"} autofocus>
    <label for="room-topic">Topic (if you like)</label><input id="room-topic" name="topic" maxlength="500" autocomplete="off">
    ${kind === "public" ? nothing : peopleField(dialog, kind === "group" ? "With whom" : "Whom to invite")}
    ${problem(dialog)}
    <div class="actions"><button type="button" class="quiet" @click=${closeDialog}>Cancel</button><button ?disabled=${dialog.busy}>${dialog.busy ? "Making …" : "Make"}</button></div></form>`);
}

// ---- finding one

export function browse(dialog) {
  if (!dialog.asked) {
    dialog.asked = true;
    ui.store.refreshRooms().catch(() => {});
  }
  const words = dialog.words ?? "";
  const all = [...ui.store.rooms.values()].filter((room) => room.known && room.kind === "public" && !room.archived);
  const shown = words.trim() ? pick(words, all, (room) => [room.name, room.topic].filter(Boolean), MOST) : all.sort((a, b) => b.memberCount - a.memberCount || a.name.localeCompare(b.name)).slice(0, MOST);
  const open = (room) => { closeDialog(); enter(room); };
  return titled("Rooms", html`
    <div class="field-row"><input type="search" placeholder=${`Find one of ${all.length}`} aria-label="Find a room" .value=${live(words)} @input=${(event) => { dialog.words = event.target.value; draw(); }} autofocus><button type="button" class="quiet" @click=${() => { ui.dialog = { kind: "make" }; draw(); }}>New room</button></div>
    <ul class="room-cards" role="list">${repeat(shown, (room) => room.id, (room) => html`<li>
      <span class="kind">${kindIcon(room)}</span><div><b dir="auto">${plain(room.name, 100)}</b>${room.topic ? html`<p dir="auto">${plain(room.topic, 160)}</p>` : nothing}<span class="hint">${room.memberCount === 1 ? "1 member" : `${room.memberCount} members`}</span></div>
      <button type="button" class=${room.member ? "quiet small" : "small"} aria-label=${`${room.member ? "Open" : "Join"} ${plain(room.name, 60)}`} @click=${() => open(room)}>${room.member ? "Open" : "Join"}</button></li>`)}</ul>
    ${shown.length ? nothing : html`<p class="hint">${all.length ? "No room of that name." : "There is no public room yet."}</p>`}
    ${all.length > shown.length && !words ? html`<p class="hint">And ${all.length - shown.length} more: type a part of the name.</p>` : nothing}`, { wide: true });
}

// ---- inviting to one

export function inviteDialog(dialog) {
  const { room } = dialog;
  const submit = (event) => {
    event.preventDefault();
    finish(dialog, async () => {
      for (const user of [...dialog.chosen]) {
        await ui.session.http("PUT", `/api/v1/rooms/${room.id}/members/${user.id}`);
        dialog.chosen = dialog.chosen.filter((one) => one !== user);
      }
    });
  };
  return titled(`Invite to ${plain(ui.store.nameOf(room), 60)}`, html`<form @submit=${submit}>${peopleField(dialog, "Whom")}${problem(dialog)}
    <div class="actions"><button type="button" class="quiet" @click=${closeDialog}>Cancel</button><button ?disabled=${dialog.busy || !dialog.chosen.length}>Invite</button></div></form>`);
}

/** Nobody keeps a list of those who may not come in: they are named. */
export function unbanDialog(dialog) {
  const { room } = dialog;
  const submit = (event) => {
    event.preventDefault();
    finish(dialog, async () => { for (const { id } of dialog.chosen) await liftBan(room, id); });
  };
  return titled(`Lift a ban in ${plain(ui.store.nameOf(room), 60)}`, html`<form @submit=${submit}>${peopleField(dialog, "Who may come back")}${problem(dialog)}
    <div class="actions"><button type="button" class="quiet" @click=${closeDialog}>Cancel</button><button ?disabled=${dialog.busy || !dialog.chosen.length}>Lift the ban</button></div></form>`);
}

// ---- its settings

const select = (name, label, value, choices, hint = "") => html`<div class="choice"><label for=${`rule-${name}`}>${label}</label>
  <select id=${`rule-${name}`} name=${name}>${choices.map(([key, text]) => html`<option value=${key} ?selected=${key === value}>${text}</option>`)}</select>${hint ? html`<p class="hint">${hint}</p>` : nothing}</div>`;

const WHO = [["members", "All members"], ["moderators", "Moderators"], ["nobody", "Nobody"]];

export function roomSettings(dialog) {
  const { room } = dialog;
  const { rules } = room;
  const owns = room.owns;
  const last = typeof rules.history === "object";
  const copies = typeof rules.tentative === "object";
  dialog.history ??= last ? "last" : rules.history ?? "all";
  dialog.tentative ??= copies ? "copies" : rules.tentative ?? "accept";
  const submit = (event) => { event.preventDefault(); finish(dialog, () => saveRoom(room, Object.fromEntries(new FormData(event.target)), owns)); };
  return titled("Room settings", html`<form class="room-form" @submit=${submit} @change=${(event) => { if (event.target.name in { history: 1, tentative: 1 }) { dialog[event.target.name] = event.target.value; draw(); } }}>
    ${owns ? html`<label for="set-name">Name</label><input id="set-name" name="name" maxlength="64" value=${room.name} ?required=${room.kind !== "group"}>` : nothing}
    <label for="set-topic">Topic</label><input id="set-topic" name="topic" maxlength="500" value=${room.topic}>
    ${owns ? html`
      <div class="two">${select("post", "Who writes", rules.post, WHO)}${room.kind === "public" ? nothing : select("invite", "Who invites", rules.invite, WHO)}</div>
      <div class="two">${select("history", "What is kept", dialog.history, [["all", "Everything"], ["last", "The last messages"], ["since-join", "For each from joining on"], ["none", "Until all have read it"]])}
        ${dialog.history === "last" ? html`<div class="choice"><label for="rule-last">How many</label><input id="rule-last" name="last" type="number" min="1" max="10000000" value=${last ? rules.history.last : 1000} required></div>` : nothing}</div>
      <div class="two">${select("tentative", "Without a majority", dialog.tentative, [["accept", "Take messages, place them later"], ["copies", "Take them on several nodes"], ["refuse", "Wait for a majority"]])}
        ${dialog.tentative === "copies" ? html`<div class="choice"><label for="rule-copies">On how many</label><input id="rule-copies" name="copies" type="number" min="1" max="9" value=${copies ? rules.tentative.copies : 2} required></div>` : nothing}</div>
      <div class="two"><div class="choice"><label for="rule-bytes">Longest message, bytes</label><input id="rule-bytes" name="text_bytes" type="number" min="1" max="65536" value=${rules.text_bytes ?? 4096} required></div>
        <label class="check bottom"><input type="checkbox" name="edits" ?checked=${rules.edits !== false}> Authors may change and delete</label></div>` : nothing}
    ${problem(dialog)}
    <div class="actions">${owns ? html`<div class="left-actions"><button type="button" class="quiet" @click=${() => finish(dialog, () => patch(room, { archived: !room.archived }))}>${room.archived ? "Open again" : "Archive"}</button>
      <button type="button" class="quiet danger-text" @click=${() => askDelete(room)}>Delete …</button></div>` : nothing}
      <button type="button" class="quiet" @click=${closeDialog}>Cancel</button><button ?disabled=${dialog.busy}>Save</button></div></form>`, { wide: true });
}

async function patch(room, changes) {
  room.take(await ui.session.http("PATCH", `/api/v1/rooms/${room.id}`, changes));
}

/** What differs is changed, and nothing else. */
async function saveRoom(room, form, owns) {
  const changes = {};
  if (form.topic.trim() !== room.topic) changes.topic = form.topic.trim();
  if (owns) {
    if (form.name.trim() !== room.name) changes.name = form.name.trim();
    const wanted = {
      post: form.post, edits: form.edits === "on", text_bytes: Number(form.text_bytes), history: form.history === "last" ? { last: Number(form.last) } : form.history,
      tentative: form.tentative === "copies" ? { copies: Number(form.copies) } : form.tentative, ...(form.invite && { invite: form.invite }),
    };
    const rules = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(room.rules[name])));
    if (Object.keys(rules).length) changes.rules = rules;
  }
  if (Object.keys(changes).length) await patch(room, changes);
}

function askDelete(room) {
  ui.dialog = {
    kind: "confirm", title: `Delete ${plain(ui.store.nameOf(room), 60)}?`, detail: "The room goes, and everything that was said in it, for everybody. This cannot be undone.", yes: "Delete the room", danger: true,
    run: async () => {
      await ui.session.http("DELETE", `/api/v1/rooms/${room.id}`);
      ui.store.rooms.delete(room.id);
      if (ui.route.room === room.id) go({ room: null }, { replace: true });
    },
  };
  draw();
}
