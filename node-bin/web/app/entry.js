// Signing in, as the cluster's settings have it: a name, a name and a password, a new account, an invitation's code.

import { Session } from "../core/session.js";
import { html, live, nothing } from "./lit.js";
import { statusLine } from "./look.js";
import { draw, ui } from "./ui.js";

const RETRY = 1_500;   // ms until the settings are asked for again
const WITHIN = 6_000;

let asking = null;

/** Asks whichever member answers, also when the node that the page came from does not, until one has told how people sign in. */
export function loadSettings() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

async function ask() {
  while (ui.phase !== "in") {
    try {
      ui.settings = await Session.http("GET", "/api/v1/settings", undefined, { within: WITHIN });
      return draw();
    } catch { /* The nodes may be starting. */ }
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}

/** The code of an invitation in the page's address: `#/invite/CODE`. */
export function invitedBy(hash) {
  return /^#\/invite\/([\w-]+)$/u.exec(hash)?.[1] ?? "";
}

/** What this device is called in the list of devices. */
function deviceName() {
  const agent = navigator.userAgent;
  const browser = /Firefox/u.test(agent) ? "Firefox" : /Edg\//u.test(agent) ? "Edge" : /Chrom/u.test(agent) ? "Chrome" : /Safari/u.test(agent) ? "Safari" : "A browser";
  const system = /Android/u.test(agent) ? "Android" : /iPhone|iPad/u.test(agent) ? "iOS" : /Mac/u.test(agent) ? "macOS" : /Windows/u.test(agent) ? "Windows" : /Linux/u.test(agent) ? "Linux" : "";
  return system ? `${browser} on ${system}` : browser;
}

const HINTS = {
  open: "A name is enough. Whoever signs in with the same name is the same person.",
  guests: "A name is enough. You are a new guest each time.",
  accounts: "", invite: "",
};

/** What to say where the server's sentence is not for this page. */
function explained(error, { invite } = {}) {
  if (error.kind === "wrong-password") return "There is no such name, or not with this password.";
  if (error.kind === "wrong-invite" && !invite) return "A new account takes an invitation here. Ask a member for one.";
  if (error.kind === "wrong-invite") return "This invitation is not valid: it is mistyped, used, or too old. Ask for another one.";
  if (error.kind === "name-taken") return "Somebody has this name. Choose another one.";
  if (error.kind === "looks-like") return "This name looks like somebody else's. Choose one that differs more.";
  if (error.kind === "wrong-sign-in") return "One signs in otherwise here now. Please try again.";
  if (error.kind === "too-many-devices") return `You are signed in on as many devices as this cluster allows${devicesIn(error.detail)}. Sign out on one of them first.`;
  if (error.kind === "no-leader") return "The nodes of this side reach no majority, and signing in needs one. Try again in a moment.";
  if (error.kind === "too-often") return "That was too often. Try again in a moment.";
  if (error.kind === undefined || error.kind === "unreachable") return "No node answers. Try again in a moment.";
  const text = error.detail || error.message;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/u.test(text) ? "" : "."}`;
}

/** The server names them, with numbers that say nothing here. */
function devicesIn(detail) {
  const names = /\((.*)\)$/u.exec(detail ?? "")?.[1].replace(/, device \d+/gu, "").replaceAll("; ", ", ");
  return names ? `: ${names}` : "";
}

/** The field that is to be written anew. */
const FIELDS = { "wrong-password": "password", "wrong-invite": "invite", "name-taken": "name", "looks-like": "name", "bad-name": "name", "empty-name": "name", "name-too-long": "name" };

function focusOn(kind) {
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const field = document.getElementById(FIELDS[kind]);
    field?.focus();
    field?.select();
  }));
}

export function entryView(enter) {
  const { dot, text, title } = statusLine();
  return html`<main id="entry">
    <div class="entry-box">
      <header><img src="/icon.svg" alt="" width="40" height="40"><div><h1>Tertulia</h1><p class="hint">${location.host}</p></div></header>
      ${ui.phase === "starting" || !ui.settings ? html`<p class="hint" role="status">${ui.phase === "starting" ? "Opening …" : "Looking for a node …"}</p>` : form(enter)}
    </div>
    <p class="status-line"><span id="dot" class=${dot} aria-hidden="true"></span><span id="status" title=${title}>${text}</span></p>
  </main>`;
}

function form(enter) {
  const way = ui.settings.sign_in;
  const withPassword = way === "accounts" || way === "invite";
  const { register, busy, error, said } = ui.entry;
  const submit = async (event) => {
    event.preventDefault();
    // As it was chosen, not as it was drawn: whoever types fast is ahead of that.
    const { register } = ui.entry;
    const { name, password, invite } = Object.fromEntries(new FormData(event.target));
    Object.assign(ui.entry, { busy: true, error: "", said: "" });
    draw();
    try {
      await enter({ name: name.trim(), device: deviceName(), ...(withPassword && { password }), ...(withPassword && register && { register: true }), ...(withPassword && register && invite?.trim() && { invite: invite.trim() }) });
    } catch (refused) {
      ui.entry.error = explained(refused, { invite: invite?.trim() });
      if (refused.kind === "wrong-sign-in") loadSettings();
      focusOn(refused.kind);
    }
    ui.entry.busy = false;
    draw();
  };
  return html`<form id="sign-in" @submit=${submit}>
    ${said ? html`<p class="said" role="status">${said}</p>` : nothing}
    ${withPassword ? html`<fieldset class="segments"><legend class="unseen">Account</legend>
      ${[[false, "Sign in"], [true, "New account"]].map(([value, label]) => html`<label><input type="radio" name="register" .checked=${live(register === value)} @change=${() => { Object.assign(ui.entry, { register: value, error: "", said: "" }); draw(); }}><span>${label}</span></label>`)}</fieldset>` : nothing}
    <label for="name">${withPassword ? "Name" : "Your name"}</label>
    <input id="name" name="name" autocomplete=${withPassword ? "username" : "nickname"} autocapitalize="none" spellcheck="false" maxlength="64" required autofocus aria-describedby="entry-error">
    ${withPassword ? html`<label for="password">Password</label><input id="password" name="password" type="password" autocomplete=${register ? "new-password" : "current-password"} required aria-describedby="entry-error">` : nothing}
    ${withPassword && register && way === "invite" ? html`<label for="invite">Invitation code</label><input id="invite" name="invite" .value=${ui.entry.invite ?? ""} autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="invite-hint">
      <p class="hint" id="invite-hint">The first account of a cluster needs none.</p>` : nothing}
    <p class="error" id="entry-error" role="alert">${error || nothing}</p>
    <button class="wide" ?disabled=${busy}>${busy ? "A moment …" : register && withPassword ? "Make the account" : withPassword ? "Sign in" : "Come in"}</button>
    ${HINTS[way] ? html`<p class="hint">${HINTS[way]}</p>` : nothing}
  </form>`;
}
