// Settings of the account, of this device, of the cluster's invitations.

import { install, isInstallable } from "../core/shell.js";
import { html, live, nothing } from "./lit.js";
import { finish, problem, titled } from "./dialogs.js";
import { canNotify, notifications, setNotifications } from "./notify.js";
import { ago, full } from "./time.js";
import { plain } from "./text.js";
import { attempt, closeDialog, copy, draw, openDialog, toast, ui } from "./ui.js";

const http = (...what) => ui.session.http(...what);

export const theme = () => document.documentElement.dataset.theme ?? null;

export function setTheme(wanted) {
  if (wanted) document.documentElement.dataset.theme = wanted;
  else delete document.documentElement.dataset.theme;
  try {
    if (wanted) localStorage.setItem("tertulia.theme", wanted); else localStorage.removeItem("tertulia.theme");
  } catch { /* For this page alone. */ }
  draw();
}

/** Ends the session here and now, whether a node hears of it or not. */
export async function signOut() {
  const { session, store } = ui;
  store.forget();
  await session.close();
  ui.leave("");
}

export function settings(dialog) {
  if (!dialog.asked) {
    dialog.asked = true;
    http("GET", "/api/v1/settings").then(({ sign_in: way }) => { dialog.way = way; draw(); }, () => {});
    ui.store.refreshMe().then(() => { dialog.name ??= ui.store.me.shown; }, () => {}).finally(draw);
  }
  return titled("Settings", html`<div class="settings">
    ${group("How you are called", nameForm(dialog))}
    ${group("How it looks", html`<fieldset class="segments"><legend class="unseen">Theme</legend>${[[null, "System"], ["light", "Light"], ["dark", "Dark"]].map(([value, label]) => html`<label><input type="radio" name="theme" .checked=${live(theme() === value)} @change=${() => setTheme(value)}><span>${label}</span></label>`)}</fieldset>`)}
    ${group("Notifications", notificationForm())}
    ${group("Devices", devices(dialog))}
    ${ui.store.hasPassword ? group("Password", passwordForm(dialog)) : nothing}
    ${dialog.way === "invite" ? group("Invite to this cluster", inviteForm(dialog)) : nothing}
    ${isInstallable() ? group("As an app", html`<div class="field-row"><button type="button" class="quiet" @click=${() => install().finally(draw)}>Install</button><span class="hint">In a window of its own, with a place among your programs.</span></div>`) : nothing}
    ${group("Your data", data(dialog))}
  </div>`, { wide: true });
}

const group = (title, content) => html`<section><h3>${title}</h3>${content}</section>`;

function nameForm(dialog) {
  const { me } = ui.store;
  const submit = (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    dialog.part = "name";
    finish(dialog, async () => { await http("PATCH", "/api/v1/me", { display_name: name }); await ui.store.refreshMe(); dialog.said = "name"; }, { stay: true });
  };
  return html`<form @submit=${submit}><label for="display-name">Name that is shown</label>
    <div class="field-row"><input id="display-name" name="name" maxlength="64" .value=${live(dialog.name ?? me.shown ?? me.name)} @input=${(event) => { dialog.name = event.target.value; }}><button class="quiet">Save</button></div>
    <p class="hint">You are <bdi>@${plain(me.name, 70)}</bdi>, by which you are mentioned and found. ${dialog.said === "name" ? html`<b role="status">Saved.</b>` : nothing}</p>${dialog.part === "name" ? problem(dialog) : nothing}</form>`;
}

function notificationForm() {
  if (!canNotify()) return html`<p class="hint">This browser shows none here. (It wants https, or this machine.)</p>`;
  if (Notification.permission === "denied") return html`<p class="hint">This browser was told to show none. Change that beside the address, and come back.</p>`;
  return html`<label class="check"><input type="checkbox" .checked=${live(notifications())} @change=${async (event) => { await setNotifications(event.target.checked); draw(); }}> When somebody mentions me or writes to me alone, while I look elsewhere</label>`;
}

function devices() {
  const list = ui.store.devices ?? [];
  // One that is gone already need not be signed out: the list is asked for anew whatever was said.
  const end = (which, said) => attempt(async () => {
    try { await http("DELETE", `/api/v1/sessions${which}`); } finally { await ui.store.refreshMe(); }
    toast(said);
  });
  return html`<ul class="devices" role="list">${list.map((device) => html`<li><div><b><bdi>${plain(device.name || "a device without a name", 60)}</bdi></b>
      <span class="hint" title=${full(device.opened)}>${device.current ? "this one" : `last seen ${ago(device.seen)}`}</span></div>
      ${device.current ? nothing : html`<button type="button" class="quiet small" aria-label=${`Sign out ${device.name}`} @click=${() => end(`/${device.session}`, `${device.name || "The device"} is signed out.`)}>Sign out</button>`}</li>`)}</ul>
    ${list.length > 2 ? html`<button type="button" class="quiet" @click=${() => end("?others=true", "All other devices are signed out.")}>Sign out all others</button>` : nothing}`;
}

/** For those who keep passwords: whose it is. */
const whose = () => html`<input hidden name="username" autocomplete="username" .value=${ui.store.me.name}>`;

function passwordForm(dialog) {
  const submit = (event) => {
    event.preventDefault();
    const form = event.target;
    const { old, fresh } = Object.fromEntries(new FormData(form));
    dialog.part = "password";
    finish(dialog, async () => { await http("PUT", "/api/v1/me/password", { old, new: fresh }); form.reset(); await ui.store.refreshMe(); dialog.said = "password"; }, { stay: true });
  };
  return html`<form @submit=${submit}>${whose()}<div class="two"><div><label for="old-password">Present one</label><input id="old-password" name="old" type="password" autocomplete="current-password" required></div>
    <div><label for="new-password">New one</label><input id="new-password" name="fresh" type="password" autocomplete="new-password" required></div></div>
    <div class="field-row"><button class="quiet">Change</button><span class="hint">${dialog.said === "password" ? html`<b role="status">Changed.</b> Your other devices are signed out.` : "It signs your other devices out."}</span></div>
    ${dialog.part === "password" ? problem(dialog) : nothing}</form>`;
}

function inviteForm(dialog) {
  const makeOne = () => attempt(async () => { dialog.code = (await http("POST", "/api/v1/invites", { hours: 168 })).code; });
  if (!dialog.code) return html`<div class="field-row"><button type="button" class="quiet" @click=${makeOne}>Make an invitation</button><span class="hint">For somebody who has no account yet.</span></div>`;
  const link = `${location.origin}/#/invite/${dialog.code}`;
  return html`<p>It lets one person register, within a week. Send the link, or the code alone:</p>
    <div class="field-row"><input id="invite-link" readonly .value=${link} aria-label="Link to register" @focus=${(event) => event.target.select()}><button type="button" class="quiet" @click=${() => copy(link, "Link copied.")}>Copy</button></div>
    <div class="field-row"><input id="invite-code" readonly .value=${dialog.code} aria-label="Invitation code" @focus=${(event) => event.target.select()}><button type="button" class="quiet" @click=${() => copy(dialog.code, "Code copied.")}>Copy</button></div>
    <div class="field-row"><button type="button" class="quiet" @click=${makeOne}>Make another one</button></div>`;
}

function data(dialog) {
  return html`<div class="field-row wrap"><button type="button" class="quiet" ?disabled=${dialog.exporting} @click=${() => download(dialog)}>${dialog.exporting ? "Collecting …" : "Download all you have written"}</button>
    <button type="button" class="quiet danger-text" @click=${() => openDialog({ kind: "confirm", title: "Delete your account?", detail: "Your name becomes free, you leave all rooms, and all your devices are signed out. This cannot be undone.", yes: "Go on …", danger: true, run: async () => { setTimeout(() => openDialog({ kind: "settings", deleting: true, asked: true })); } })}>Delete account …</button></div>
    ${dialog.deleting ? deleteForm(dialog) : nothing}`;
}

function deleteForm(dialog) {
  const submit = (event) => {
    event.preventDefault();
    const password = new FormData(event.target).get("password");
    dialog.part = "delete";
    finish(dialog, async () => {
      await http("DELETE", "/api/v1/me", ui.store.hasPassword ? { password } : undefined);
      ui.store.forget();
      await ui.session.close().catch(() => {});
      ui.leave("", "Your account is deleted.");
    });
  };
  return html`<form class="delete" @submit=${submit}>${ui.store.hasPassword ? html`${whose()}<label for="delete-password">Your password, to be sure</label><input id="delete-password" type="password" name="password" autocomplete="current-password" required autofocus>` : nothing}
    <div class="actions"><button type="button" class="quiet" @click=${closeDialog}>Keep it</button><button class="danger" ?disabled=${dialog.busy}>Delete my account</button></div>${dialog.part === "delete" ? problem(dialog) : nothing}</form>`;
}

async function download(dialog) {
  dialog.exporting = true;
  draw();
  await attempt(async () => {
    const all = await http("GET", "/api/v1/me/export");
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([JSON.stringify(all, null, 1)], { type: "application/json" })), download: "tertulia-export.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    toast("Your export is in your downloads.");
  }, "The export was not made");
  dialog.exporting = false;
  draw();
}
