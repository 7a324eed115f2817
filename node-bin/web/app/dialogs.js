// The one dialog, and those of its contents that are small: a question, a text to copy, how long, the shortcuts, signing out.

import { icon } from "./icons.js";
import { SHORTCUTS } from "./keys.js";
import { html, nothing } from "./lit.js";
import { browse, inviteDialog, make, roomSettings, unbanDialog } from "./room-dialogs.js";
import { people, profile } from "./people-dialogs.js";
import { settings, signOut } from "./settings.js";
import { sentence } from "./store.js";
import { switcher } from "./switcher.js";
import { capital, closeDialog, draw, ui } from "./ui.js";

const KINDS = { switcher, confirm, copy: copyDialog, mute, shortcuts, make, browse, invite: inviteDialog, room: roomSettings, unban: unbanDialog, people, profile, settings, "sign-out": signOutDialog };
const BARE = ["switcher"];

export function dialogView() {
  const { dialog } = ui;
  const bare = BARE.includes(dialog?.kind);
  return html`<dialog id="dialog" class=${dialog ? `of-${dialog.kind}` : ""} aria-labelledby=${dialog && !bare ? "dialog-title" : nothing} aria-label=${bare ? "Jump to" : nothing} @cancel=${cancelled} @close=${closed} @click=${outside}>
    ${dialog ? KINDS[dialog.kind](dialog) : nothing}
  </dialog>`;
}

/** Escape. The browser would close it, and tell of that when another one may be open already. */
function cancelled(event) {
  if (event.target !== event.currentTarget) return;
  event.preventDefault();
  closeDialog();
}

/** The browser has closed it all the same, which it may do where Escape is pressed twice. */
function closed(event) {
  if (ui.dialog && ui.dialog === placed && !event.currentTarget.open) closeDialog();
}

function outside(event) {
  if (event.target !== event.currentTarget || !event.detail) return;
  const box = event.target.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (!inside && !ui.dialog?.busy) closeDialog();
}

/** Where writing brings up a keyboard, which would cover what is to be read. */
const coarse = matchMedia("(hover: none) and (pointer: coarse)");
let opener = null;
/** The dialog that is before the user: another one in its place begins at its own first field. */
let placed = null;

/** After each drawing: opens or closes it. */
export function placeDialog() {
  const element = document.getElementById("dialog");
  if (!element) return;
  const isOther = ui.dialog !== placed;
  placed = ui.dialog;
  if (ui.dialog && !element.open) {
    opener = document.activeElement;
    element.showModal();
  }
  if (ui.dialog && isOther) {
    element.scrollTop = 0;
    (element.querySelector("[autofocus]") ?? (coarse.matches ? element.querySelector("h2") : element.querySelector("input, select, textarea, button:not(.close)")))?.focus();
  } else if (!ui.dialog && element.open) {
    element.close();
    if (document.activeElement === document.body) (opener?.isConnected ? opener : document.getElementById("text") ?? document.getElementById("log"))?.focus();
  }
}

export const titled = (title, content, { wide = false } = {}) => html`<div class=${wide ? "dialog-box wide" : "dialog-box"}>
  <header><h2 id="dialog-title" dir="auto" tabindex="-1">${title}</h2><button type="button" class="icon-button close" aria-label="Close" @click=${closeDialog}>${icon("close")}</button></header>
  ${content}</div>`;

/** Does what a dialog is for, and closes it; what refuses is said in it. */
export async function finish(dialog, what, { stay = false } = {}) {
  Object.assign(dialog, { busy: true, error: "", said: "" });
  draw();
  try {
    await what();
    if (!stay && ui.dialog === dialog) ui.dialog = null;
    return true;
  } catch (error) {
    dialog.error = `${capital(sentence(error))}.`;
    return false;
  } finally {
    dialog.busy = false;
    draw();
  }
}

export const problem = (dialog) => html`<p class="error" role="alert">${dialog.error || nothing}</p>`;

function confirm(dialog) {
  const submit = (event) => { event.preventDefault(); finish(dialog, dialog.run); };
  return titled(dialog.title, html`<form @submit=${submit}>
    ${dialog.text ? html`<blockquote dir="auto">${dialog.text}</blockquote>` : nothing}
    <p>${dialog.detail}</p>${problem(dialog)}
    <div class="actions"><button type="button" class="quiet" @click=${closeDialog}>Cancel</button><button class=${dialog.danger ? "danger" : ""} ?disabled=${dialog.busy} autofocus>${dialog.yes}</button></div>
  </form>`);
}

function copyDialog({ text }) {
  return titled("Copy this", html`<input class="wide-field" readonly .value=${text} aria-label="Text to copy" @focus=${(event) => event.target.select()} autofocus>`);
}

function mute(dialog) {
  const choices = [[10, "10 minutes"], [60, "an hour"], [60 * 24, "a day"], [60 * 24 * 7, "a week"], [0, "until it is lifted"]];
  const submit = (event) => { event.preventDefault(); finish(dialog, () => dialog.run(Number(new FormData(event.target).get("minutes")))); };
  return titled(`Mute ${dialog.label}`, html`<form @submit=${submit}><p>For so long they read, and do not write.</p>
    <div class="choices-list">${choices.map(([minutes, label], nth) => html`<label class="check"><input type="radio" name="minutes" value=${minutes} ?checked=${nth === 0}> ${label}</label>`)}</div>${problem(dialog)}
    <div class="actions"><button type="button" class="quiet" @click=${closeDialog}>Cancel</button><button ?disabled=${dialog.busy}>Mute</button></div></form>`);
}

function shortcuts() {
  return titled("Keyboard shortcuts", html`<div class="shortcuts">${SHORTCUTS.map(([title, keys]) => html`<section><h3>${title}</h3><dl>${keys.map(([key, what]) => html`<div><dt>${key.split(" · ").map((one, nth) => html`${nth ? " " : ""}<kbd>${one}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl></section>`)}</div>`, { wide: true });
}

function signOutDialog(dialog) {
  let waiting = 0;
  for (const room of ui.store.rooms.values()) waiting += room.pending.length;
  return confirm(Object.assign(dialog, {
    title: "Sign out?", yes: "Sign out", danger: waiting > 0, run: signOut,
    detail: waiting ? `${waiting === 1 ? "A message is" : `${waiting} messages are`} not sent yet and will be lost. Everything that this device keeps is forgotten.` : "Everything that this device keeps is forgotten: drafts, and where you were.",
  }));
}
