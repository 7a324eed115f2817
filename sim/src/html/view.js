// What is looked at: the span of time, the selected row, the filters; and the address's hash, which keeps the first two.

const SHORTEST = 200;
const GROUPS = [
  { id: "votes", name: "votes", on: true }, { id: "appends", name: "appends", on: true }, { id: "heartbeats", name: "heartbeats", on: false },
  { id: "snapshots", name: "snapshots", on: true }, { id: "reads", name: "read index", on: false }, { id: "requests", name: "requests", on: true },
  { id: "events", name: "events", on: false }, { id: "tentative", name: "tentative", on: true }, { id: "operators", name: "operators", on: true }, { id: "log", name: "log ticks", on: true },
  { id: "clients", name: "what clients saw", on: true }, { id: "points", name: "named points", on: true },
];
const ON = Object.fromEntries(GROUPS.map((group) => [group.id, group.on]));

const VIEW = { from: 0, to: END, selected: -1, hovered: -1, clients: false };
const FILTER = { text: "", lane: "all", level: 1 };

/** Rows that the list holds and the keys step over, ascending. */
let shown = new Uint32Array(0);
/** Who is told when something changed: "view", "selected", "filter". */
const listeners = [];
function changed(what) {
  for (const listener of listeners) listener(what);
}

function setView(from, to) {
  const length = Math.min(Math.max(to - from, SHORTEST), END * 1.04);
  const middle = (from + to) / 2, margin = END * 0.02;
  from = Math.max(-margin, Math.min(middle - length / 2, END + margin - length));
  VIEW.from = from;
  VIEW.to = from + length;
  changed("view");
}

function zoom(factor, around = (VIEW.from + VIEW.to) / 2) {
  const length = Math.min(Math.max((VIEW.to - VIEW.from) * factor, SHORTEST), END * 1.04);
  const share = (around - VIEW.from) / (VIEW.to - VIEW.from);
  setView(around - share * length, around + (1 - share) * length);
}

function fit() {
  setView(-END * 0.02, END * 1.02);
}

/** Selects a row and brings it into view, if it is not. */
function select(i) {
  VIEW.selected = i;
  if (i >= 0) {
    const at = ROWS.at[i], length = VIEW.to - VIEW.from, edge = length * 0.06;
    if (at < VIEW.from + edge || at > VIEW.to - edge) setView(at - length / 2, at + length / 2);
    if (ROWS.lane[i] >= HEAD.hosts && !VIEW.clients) VIEW.clients = true;
  }
  changed("selected");
}

/** By kind: whether its group is switched on. */
function kindsOn() {
  return Uint8Array.from(KINDS, (kind) => ON[kind.group] ?? true ? 1 : 0);
}

function isInFilter(i, words, on) {
  const kind = KINDS[ROWS.kind[i]];
  if ((kind.weight < FILTER.level || !on[ROWS.kind[i]]) && !IS_NAMED[i]) return false;
  if (FILTER.lane === "named") { if (!NAMED.has(i) && ROWS.kind[i] !== VIOLATION) return false; }
  else if (FILTER.lane !== "all") {
    const lane = Number(FILTER.lane), fault = kind.group === "faults" && HEAD.faults[ROWS.raw[i]].nodes.includes(lane);
    if (ROWS.lane[i] !== lane && ROWS.to[i] !== lane && !fault && ROWS.kind[i] !== VIOLATION) return false;
  }
  if (words.length === 0) return true;
  const text = `${laneName(ROWS.lane[i])} ${kind.name} ${kind.group} ${sentence(i)}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function refilter() {
  const words = FILTER.text.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = new Uint32Array(ROWS.size), on = kindsOn();
  let count = 0;
  for (let i = 0; i < ROWS.size; i++) if (isInFilter(i, words, on)) kept[count++] = i;
  shown = kept.slice(0, count);
  changed("filter");
}

/** The place in `shown` of the first row that is not before `i`. */
function placeOf(i) {
  let low = 0, high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown[middle] < i) low = middle + 1; else high = middle;
  }
  return low;
}

/** The row from which stepping begins: the selected one, or the middle of what is seen. */
function here() {
  return VIEW.selected >= 0 ? VIEW.selected : firstAt(VIEW.from + (VIEW.to - VIEW.from) / 2);
}

function step(by, onlyTurns) {
  let place = placeOf(here());
  const exact = shown[place] === VIEW.selected;
  place += by > 0 ? (exact ? 1 : 0) : -1;
  while (onlyTurns && place >= 0 && place < shown.length && KINDS[ROWS.kind[shown[place]]].weight < 2) place += by;
  if (place >= 0 && place < shown.length) select(shown[place]);
}

/** The nearest listed row of the next lane that has any. */
function stepLane(by) {
  const lane = VIEW.selected >= 0 ? ROWS.lane[VIEW.selected] : by > 0 ? -1 : LANES;
  const at = ROWS.at[here()] ?? 0;
  for (let next = lane + by; next >= 0 && next < LANES; next += by) {
    const place = placeOf(here());
    let best = -1;
    for (let down = place - 1; down >= 0; down--) if (ROWS.lane[shown[down]] === next) { best = shown[down]; break; }
    for (let up = place; up < shown.length; up++) {
      if (ROWS.lane[shown[up]] !== next) continue;
      if (best < 0 || ROWS.at[shown[up]] - at < at - ROWS.at[best]) best = shown[up];
      break;
    }
    if (best >= 0) return select(best);
  }
}

/** Selects the violation and shows it with the last of what the evidence names. */
function jumpToViolation() {
  const near = [...NAMED].find((i) => KINDS[ROWS.kind[i]].group !== "lives" && HEAD.violated - ROWS.at[i] < 400_000);
  const span = near === undefined ? 0 : HEAD.violated - ROWS.at[near];
  const length = Math.max(span * 1.5, 40_000);
  setView(HEAD.violated - length * 0.8, HEAD.violated + length * 0.2);
  for (let i = ROWS.size - 1; i >= 0; i--) if (ROWS.kind[i] === VIOLATION) return select(i);
}

/** The hash: the seen span in seconds, and the selected row. */
function keepHash() {
  const hash = `#view=${seconds(VIEW.from, 6)}..${seconds(VIEW.to, 6)}${VIEW.selected >= 0 ? `&row=${VIEW.selected}` : ""}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

function readHash() {
  const view = location.hash.match(/view=(-?[\d.]+)\.\.(-?[\d.]+)/), row = location.hash.match(/row=(\d+)/);
  if (row && Number(row[1]) < ROWS.size) VIEW.selected = Number(row[1]);
  if (view) setView(Number(view[1]) * 1e6, Number(view[2]) * 1e6);
  return Boolean(view);
}
