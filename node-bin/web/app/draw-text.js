// A text on the screen. Each character that is not seen stands in an isolate of its own, under its name, so that it turns nothing around it.

import { html, nothing } from "./lit.js";
import { controlName, isEmojiOnly, parts, visibleParts } from "./text.js";

const control = (text) => html`<bdi class="control" data-name=${controlName(text)} title=${`a character that is not seen: ${controlName(text)}`}>${text}</bdi>`;
const pieces = (text) => visibleParts(text).map((part) => (part.kind === "control" ? control(part.text) : part.text));

/** `names`: lower-case names that this message reaches; `reach`: whether what can be pressed in it is in the order of Tab. */
export function drawText(text, { names = new Set(), me = "", reach = true } = {}) {
  return parts(text).map((part) => DRAWN[part.kind](part, { names, me, reach }));
}

const DRAWN = {
  text: ({ text }) => text,
  control: ({ text }) => control(text),
  code: ({ text }) => html`<code>${pieces(text)}</code>`,
  block: ({ text }) => html`<pre><code>${pieces(text)}</code></pre>`,
  bold: ({ parts }, options) => html`<strong>${parts.map((part) => DRAWN[part.kind](part, options))}</strong>`,
  italic: ({ parts }, options) => html`<em>${parts.map((part) => DRAWN[part.kind](part, options))}</em>`,
  link: ({ text, href }, { reach }) =>
    html`<a href=${href} target="_blank" rel="noopener noreferrer" dir="ltr" title=${href === text ? nothing : href} tabindex=${reach ? nothing : "-1"}>${text}</a>`,
  name: ({ text }, { names, me }) => {
    const name = text.slice(1).toLowerCase();
    return names.has(name) ? html`<span class=${name === me ? "name me" : "name"}>${text}</span>` : text;
  },
};

export const textClass = (text) => (isEmojiOnly(text) ? "text large" : "text");
