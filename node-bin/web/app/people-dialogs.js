// People: a profile, friends, requests, who is blocked.

import { askBlock, befriend, friendshipWith, isBlocked, talkTo, unblock, unfriend } from "./actions.js";
import { finish, problem, titled } from "./dialogs.js";
import { html, live, nothing } from "./lit.js";
import { disc } from "./message.js";
import { plain } from "./text.js";
import { closeDialog, draw, ui } from "./ui.js";

const labelOf = (id) => plain(ui.store.people.label(id), 80);

export function profile(dialog) {
  const { id } = dialog;
  const user = ui.store.people.get(id) ?? { id, name: "", shown: "" };
  const friendship = friendshipWith(id);
  const rooms = [...ui.store.rooms.values()].filter((room) => room.member && room.kind !== "direct" && room.members?.has(id)).map((room) => plain(ui.store.nameOf(room), 40));
  const me = id === ui.store.me.id;
  return titled(labelOf(id), html`<div class="profile">
    <div class="profile-head">${disc(id, user.shown || user.name, "big")}<div><p><bdi>@${plain(user.name, 70)}</bdi> <span class="faint">number ${id}</span></p>
      <p class="hint">${user.deleted ? "This account was deleted." : user.online || me ? "here" : "away"}${{ friends: " · a friend", requested: " · you asked to be friends", asked: " · asks to be your friend" }[friendship] ?? ""}</p></div></div>
    ${rooms.length ? html`<p class="hint">Also in ${rooms.slice(0, 6).join(", ")}${rooms.length > 6 ? " …" : ""}</p>` : nothing}
    ${me || user.deleted ? nothing : html`<div class="actions start"><button type="button" @click=${() => { closeDialog(); talkTo(id); }}>Message</button>
      ${{ none: html`<button type="button" class="quiet" @click=${() => befriend(id)}>Ask to be friends</button>`, requested: html`<button type="button" class="quiet" @click=${() => unfriend(id)}>Take back the request</button>`,
        asked: html`<button type="button" class="quiet" @click=${() => befriend(id)}>Accept</button><button type="button" class="quiet" @click=${() => unfriend(id)}>Decline</button>`, friends: html`<button type="button" class="quiet" @click=${() => unfriend(id)}>End friendship</button>` }[friendship]}
      <button type="button" class="quiet danger-text" @click=${() => (isBlocked(id) ? unblock(id) : askBlock(id))}>${isBlocked(id) ? "Unblock" : "Block"}</button></div>`}
  </div>`);
}

export function people(dialog) {
  const { friends, blocked } = ui.store;
  const of = (friendship) => friends.filter((friend) => friend.friendship === friendship);
  const direct = [...ui.store.people.known.values()].filter((user) => user.id !== ui.store.me.id && !user.deleted);
  const words = dialog.words ?? "";
  const found = words.trim() ? direct.filter((user) => `${user.shown} ${user.name}`.toLowerCase().includes(words.trim().toLowerCase().replace(/^@/u, ""))).slice(0, 8) : [];
  const find = (event) => {
    event.preventDefault();
    const name = (dialog.words ?? "").trim().replace(/^@/u, "");
    if (!name) return;
    finish(dialog, async () => { dialog.exact = ui.store.people.take(await ui.session.http("GET", `/api/v1/users/${encodeURIComponent(name)}?by=name`)).id; }, { stay: true });
  };
  const shown = found.length ? found : dialog.exact ? [ui.store.people.get(dialog.exact)] : [];
  return titled("People", html`
    <form class="field-row" @submit=${find}><input type="search" placeholder="A name" aria-label="Find somebody by name" .value=${live(words)} @input=${(event) => { Object.assign(dialog, { words: event.target.value, exact: null, error: "" }); draw(); }} autofocus><button class="quiet">Find</button></form>
    ${problem(dialog)}
    ${shown.length ? list("Found", shown, whatToDo) : nothing}
    ${list("They ask to be your friends", of("asked"), (user) => html`<button type="button" class="small" @click=${() => befriend(user.id)}>Accept</button><button type="button" class="quiet small" @click=${() => unfriend(user.id)}>Decline</button>`)}
    ${list("Friends", of("friends"), (user) => html`<button type="button" class="quiet small" @click=${() => { closeDialog(); talkTo(user.id); }}>Message</button><button type="button" class="quiet small" @click=${() => unfriend(user.id)}>End</button>`)}
    ${list("You asked", of("requested"), (user) => html`<button type="button" class="quiet small" @click=${() => unfriend(user.id)}>Take back</button>`)}
    ${list("Blocked", blocked, (user) => html`<button type="button" class="quiet small" @click=${() => unblock(user.id)}>Unblock</button>`)}
    ${friends.length || blocked.length ? nothing : html`<p class="hint">No friends here yet. Find somebody by name, or ask from a room's list of members.</p>`}`, { wide: true });
}

/** With somebody who was found. */
function whatToDo(user) {
  if (user.id === ui.store.me.id) return html`<span class="hint">this is you</span>`;
  if (isBlocked(user.id)) return html`<button type="button" class="quiet small" @click=${() => unblock(user.id)}>Unblock</button>`;
  return html`<button type="button" class="small" @click=${() => { closeDialog(); talkTo(user.id); }}>Message</button>
    ${friendshipWith(user.id) === "none" ? html`<button type="button" class="quiet small" @click=${() => befriend(user.id)}>Befriend</button>` : nothing}`;
}

function list(title, users, actions) {
  if (!users.length) return nothing;
  return html`<h3>${title}</h3><ul class="people wide" role="list">${users.map((user) => html`<li><span class=${`with-dot${user.online ? " online" : ""}`}>${disc(user.id, user.shown || user.name, "small")}</span>
    <span class="named" dir="auto">${labelOf(user.id)}</span><span class="row-actions">${actions(user)}</span></li>`)}</ul>`;
}
