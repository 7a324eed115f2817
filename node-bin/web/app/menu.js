// The menu and the picker of emoji: popovers at an element, one at a time. What opened them has the focus again when they close.

import { EMOJI, QUICK, emojiName, findEmoji } from "./emoji.js";
import { icon } from "./icons.js";
import { html, live, nothing } from "./lit.js";
import { isEmojiOnly, isReaction } from "./text.js";
import { attempt, draw, ui } from "./ui.js";

const COLUMNS = 8;

export function menuView() {
  const { menu } = ui;
  return html`<div id="menu" popover role="menu" aria-label=${menu?.label ?? nothing} @toggle=${menuToggled} @keydown=${menuKeys}>
    ${(menu?.items ?? []).map((item) => (item
      ? html`<button type="button" role="menuitem" tabindex="-1" class=${item.danger ? "danger" : ""} @click=${() => choose(item)}>${item.icon ? icon(item.icon) : html`<span class="icon"></span>`}<span>${item.label}</span>${item.hint ? html`<kbd>${item.hint}</kbd>` : nothing}</button>`
      : html`<hr role="separator">`))}
  </div>`;
}

function choose(item) {
  const { at } = ui.menu;
  hide("menu");
  giveBack(at);
  item.run();
}

/** To what opened it, if that is still there; a message's buttons go with the pointer. */
function giveBack(at) {
  const holder = at?.isConnected ? at : document.getElementById("log");
  (holder?.closest("#messages > li") ?? holder)?.focus({ preventScroll: true });
}

function hide(id) {
  const element = document.getElementById(id);
  if (element?.matches(":popover-open")) element.hidePopover();
}

function menuToggled(event) {
  if (event.newState !== "closed" || !ui.menu) return;
  const { at } = ui.menu;
  ui.menu = null;
  // Escape leaves the focus nowhere; a press elsewhere has already moved it.
  if (document.activeElement === document.body || event.target.contains(document.activeElement)) giveBack(at);
  draw();
}

function menuKeys(event) {
  const items = [...event.currentTarget.querySelectorAll("[role=menuitem]")];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: (at + 1) % items.length, ArrowUp: (at - 1 + items.length) % items.length, Home: 0, End: items.length - 1 }[event.key];
  if (to !== undefined) items[to].focus();
  else if (event.key === "Tab") return void (event.preventDefault(), hide("menu"));
  else if (event.key.length === 1 && /\p{L}/u.test(event.key) && !event.ctrlKey && !event.metaKey) {
    const next = [...items.slice(at + 1), ...items].find((item) => item.querySelector("span:not(.icon)").textContent.toLowerCase().startsWith(event.key.toLowerCase()));
    next?.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

// ---- emoji

export function pickerView() {
  const { picker } = ui;
  const words = picker?.words ?? "";
  const shown = !picker ? [] : words ? findEmoji(words) : EMOJI;
  const typed = words.trim();
  const any = typed && isReaction(typed) && (isEmojiOnly(typed) || !shown.length);
  return html`<div id="picker" popover role="dialog" aria-label="Emoji" @toggle=${pickerToggled} @keydown=${pickerKeys}>
    <input type="search" placeholder="Find, or type any emoji" aria-label="Find an emoji" autocomplete="off" .value=${live(words)} @input=${(event) => { picker.words = event.target.value; draw(); }}>
    <div class="grid" role="group" aria-label="Emoji">
      ${any ? one(typed, `React with ${typed}`) : nothing}
      ${words ? nothing : QUICK.map((emoji) => one(emoji, emojiName(emoji)))}
      ${shown.filter(({ emoji }) => words || !QUICK.includes(emoji)).map(({ emoji, words: names }) => one(emoji, names.join(" ")))}
    </div>
    ${!any && words && !shown.length ? html`<p class="hint">No such emoji. One emoji or one word of at most 32 bytes can be a reaction.</p>` : nothing}
  </div>`;
}

const one = (emoji, label) => html`<button type="button" class="emoji" tabindex="-1" aria-label=${label} title=${label} @click=${() => pickEmoji(emoji)}>${emoji}</button>`;

function pickEmoji(emoji) {
  const { room, seq, at, then } = ui.picker;
  hide("picker");
  giveBack(at);
  if (then) then(emoji);
  else attempt(() => ui.store.react(room, seq, emoji, true));
}

function pickerToggled(event) {
  if (event.newState !== "closed" || !ui.picker) return;
  const { at } = ui.picker;
  ui.picker = null;
  if (document.activeElement === document.body || event.target.contains(document.activeElement)) giveBack(at);
  draw();
}

function pickerKeys(event) {
  const grid = [...event.currentTarget.querySelectorAll(".grid button")];
  const at = grid.indexOf(document.activeElement);
  const inField = event.target.tagName === "INPUT";
  if (event.key === "Enter" && inField && grid.length) grid[0].click();
  else if (event.key === "ArrowDown" && inField) grid[0]?.focus();
  else if (inField) return;
  else {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + COLUMNS, ArrowUp: at - COLUMNS, Home: 0, End: grid.length - 1 }[event.key];
    if (to === undefined) return;
    if (to < 0) event.currentTarget.querySelector("input").focus(); else grid[Math.min(to, grid.length - 1)].focus();
  }
  event.preventDefault();
  event.stopPropagation();
}

// ---- where they stand

/** After each drawing: opens what shall be open, at its element. */
export function placePopovers() {
  show("menu", ui.menu?.at, "[role=menuitem]");
  show("picker", ui.picker?.at, "input");
}

function show(id, at, focus) {
  const element = document.getElementById(id);
  if (!element) return;
  const open = element.matches(":popover-open");
  if (!at) return void (open && element.hidePopover());
  if (open && element.at === at) return;
  if (!open) element.showPopover();
  element.at = at;
  position(element, at);
  element.querySelector(focus)?.focus();
}

function position(element, at) {
  const anchor = (at.isConnected ? at : document.getElementById("log")).getBoundingClientRect();
  const [width, height] = [element.offsetWidth, element.offsetHeight];
  const left = Math.max(8, Math.min(anchor.right - width < 8 ? anchor.left : anchor.right - width, innerWidth - width - 8));
  const under = anchor.bottom + 4 + height <= innerHeight - 8;
  const top = under ? anchor.bottom + 4 : Math.max(8, anchor.top - height - 4 < 8 ? innerHeight - height - 8 : anchor.top - height - 4);
  element.style.left = `${left}px`;
  element.style.top = `${top}px`;
}
