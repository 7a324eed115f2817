// What a stranger has written, taken apart for the screen: into texts, links, names and light markup. Nothing here makes HTML, so nothing of it can become HTML.
//
// The parts of a text, put together, are the text again, but for the marks of what is set in bold, italics or as code.
// Characters that are not seen but act on their neighbours are parts of their own (`control`): whoever draws them isolates each, so that it acts on nothing.

/** Turns the direction of writing, hides something, or breaks a line where none is. Joiners within emoji and scripts, and marks of direction that only stand for a letter, are not among them. */
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|(?<!\u{1f3f4}[\u{e0020}-\u{e007f}]*)[\u{e0000}-\u{e007f}]/u;
const CONTROLS = new RegExp(CONTROL.source, "gu");
const LINK = /https?:\/\/[^\s<>"`\u0000-\u001f\u200b\u2028-\u202e\u2060-\u206f]+/iu;
const NAME = /(?<![\p{L}\p{N}])@[\p{L}\p{N}_.-]+/u;
const CODE = /`[^`\n]+`/u;
// Bold and italics open behind a space or punctuation, and close before one, on the same line.
const BOLD = /(?<![\p{L}\p{N}*])\*(?![\s*])[^*\n]*[^\s*]\*(?![\p{L}\p{N}*])/u;
const ITALIC = /(?<![\p{L}\p{N}_])_(?![\s_])[^_\n]*[^\s_]_(?![\p{L}\p{N}_])/u;
const FENCE = /```(?:[\w+#-]*\n)?([\s\S]*?)```/u;

const ABBREVIATIONS = {
  0x200b: "ZWSP", 0x2028: "LS", 0x2029: "PS", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO",
  0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM", 0x180e: "MVS",
};

/** How a character that is not seen is named: `RLO`, or `U+0007`. */
export function controlName(character) {
  const code = character.codePointAt(0);
  return ABBREVIATIONS[code] || `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A text for one line among other things: a name, a quotation. What is not seen is left out, and space is space. */
export function plain(text, longest = 400) {
  const line = String(text ?? "").replace(CONTROLS, " ").replace(/\s+/gu, " ").trim();
  return line.length > longest ? `${[...line.slice(0, longest)].slice(0, -1).join("")}…` : line;
}

/** The same without markup's marks: for a quotation, or to be read aloud. */
export function spoken(text, longest = 400) {
  return plain(parts(text).map((part) => part.text ?? part.parts?.map((inner) => inner.text).join("") ?? "").join(""), longest);
}

/**
 * Parts of a text: `{kind: "text" | "control" | "code" | "block" | "link" | "name", text}`, or `{kind: "bold" | "italic", parts}`. A link has `href`.
 */
export function parts(text) {
  const found = [];
  let rest = String(text);
  for (let match; (match = FENCE.exec(rest)) && match[1].trim();) {
    inline(rest.slice(0, match.index).replace(/\n$/u, ""), found);
    found.push({ kind: "block", text: match[1].replace(/\n$/u, "") });
    rest = rest.slice(match.index + match[0].length).replace(/^\n/u, "");
  }
  inline(rest, found);
  return found;
}

const RULES = [[CODE, (text) => ({ kind: "code", text: text.slice(1, -1) })], [LINK, link], [NAME, name], [BOLD, (text) => styled("bold", text)], [ITALIC, (text) => styled("italic", text)]];

function inline(text, found) {
  let rest = text;
  let before = "";
  while (rest) {
    const first = earliest(before + rest, before.length);
    if (!first) break;
    const { at, text: matched, part } = first;
    literal(rest.slice(0, at), found);
    found.push(part);
    // What stands before decides whether a mark opens something.
    before = (rest.slice(0, at) + matched).slice(-1);
    rest = rest.slice(at + matched.length);
  }
  literal(rest, found);
}

/** The first match of any rule from `from` on; at the same place, the first rule's. */
function earliest(text, from) {
  let best = null;
  for (const [pattern, make] of RULES) {
    const sticky = new RegExp(pattern.source, pattern.flags + "g");
    sticky.lastIndex = from;
    for (let match; (match = sticky.exec(text)) && (!best || match.index - from < best.at);) {
      const made = make(match[0]);
      if (made) {
        best = { at: match.index - from, text: match[0].slice(0, made.length ?? match[0].length), part: made };
        break;
      }
    }
  }
  return best;
}

/** A link that a browser would open in the way in which it reads. Punctuation that ends the sentence is no part of it. */
function link(matched) {
  let text = matched;
  for (let trimmed; (trimmed = trimEnd(text)) !== text;) text = trimmed;
  let url;
  try { url = new URL(text); } catch { return null; }
  if ((url.protocol !== "http:" && url.protocol !== "https:") || !url.hostname || url.username || url.password) return null;
  return { kind: "link", text, href: url.href, length: text.length };
}

function trimEnd(text) {
  const trimmed = text.replace(/[.,;:!?'*_~…]+$/u, "");
  const last = trimmed.at(-1);
  const open = { ")": "(", "]": "[", "}": "{" }[last];
  return open && trimmed.split(last).length > trimmed.split(open).length ? trimmed.slice(0, -1) : trimmed;
}

function name(matched) {
  const text = matched.replace(/[.-]+$/u, "");
  return text.length > 1 ? { kind: "name", text, length: text.length } : null;
}

function styled(kind, matched) {
  const inner = [];
  literal(matched.slice(1, -1), inner);
  return { kind, parts: inner };
}

function literal(text, found) {
  if (!text) return;
  if (!CONTROL.test(text)) return void found.push({ kind: "text", text });
  let at = 0;
  for (const match of text.matchAll(CONTROLS)) {
    if (match.index > at) found.push({ kind: "text", text: text.slice(at, match.index) });
    found.push({ kind: "control", text: match[0] });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: "text", text: text.slice(at) });
}

const EMOJI = /^(?:\p{RGI_Emoji}|\s){1,12}$/v;
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** Whether a text is one to three emoji and nothing else: it may be drawn large. */
export function isEmojiOnly(text) {
  return text.length < 40 && EMOJI.test(text) && /\S/u.test(text) && [...graphemes.segment(text.replace(/\s/gu, ""))].length <= 3;
}

/** Whether a text may be a reaction: one visible thing of at most 32 bytes. */
export function isReaction(text) {
  return text !== "" && !/\s/u.test(text) && !CONTROL.test(text) && new TextEncoder().encode(text).length <= 32;
}

/** The first letter or emoji of a name. */
export function initial(text) {
  const [first] = graphemes.segment(plain(text).replace(/^[^\p{L}\p{N}\p{Emoji}]+/u, "") || "?");
  return first.segment.slice(0, 8).toLocaleUpperCase();
}

/** The parts of a text without markup: what is seen, and what is not. */
export function visibleParts(text) {
  const found = [];
  literal(text, found);
  return found;
}
