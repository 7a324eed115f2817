// The canvas: lanes over time. Only what is in view is drawn; when there are too many messages for eyes, their density is drawn instead.

const GUTTER = 54, AXIS = 24, FAULT_ROW = 19, THIN = 15, BAND = 16;
/** More messages than this in view are a density. */
const MOST_ARROWS = 1800;
/** A message that takes longer than this is drawn only while its beginning or its end is near. */
const LONGEST = 3e6;
const CLASS_COLOURS = { crash: "f-crash", partition: "f-partition", pause: "f-pause", disk: "f-disk", weather: "f-weather", operator: "f-operator", clock: "f-pause" };
const GROUP_COLOURS = { clients: "clients-c", points: "points-c", faults: "f-partition", violation: "red" };

const canvas = document.getElementById("canvas"), pen = canvas.getContext("2d");
let colours = {}, width = 0, height = 0, layout = null, targets = [];

function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = {};
  for (const name of ["page", "paper", "ink", "soft", "line", "faint", "accent", "red", "follower", "candidate", "leader", "down", "down-edge", "paused", "on-leader",
    "votes", "appends", "heartbeats", "snapshots", "requests", "events", "reads", "tentative", "operators", "clients-c", "log", "elections", "lives", "members", "points-c",
    "f-crash", "f-partition", "f-pause", "f-disk", "f-weather", "f-operator", "f-fault"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
}

function colourOf(kind) {
  const group = KINDS[kind].group;
  return colours[GROUP_COLOURS[group] ?? group] ?? colours.soft;
}

function faultColour(fault) {
  return colours[CLASS_COLOURS[fault.class] ?? "f-fault"];
}

/** Faults packed into rows, so that none covers another: the row of each, or -1 where there is no room. */
const FAULT_ROWS = packFaults(4);

function packFaults(most) {
  const ends = [];
  return HEAD.faults.map((fault) => {
    const to = fault.momentary ? fault.from : fault.to ?? END;
    let row = ends.findIndex((end) => end <= fault.from);
    if (row < 0) row = ends.length < most ? ends.length : -1;
    if (row >= 0) ends[row] = to;
    return row;
  });
}

/** Where each lane lies. */
function measure() {
  const faultRows = Math.max(0, ...FAULT_ROWS) + (HEAD.faults.length > 0 ? 1 : 0);
  const top = AXIS + faultRows * FAULT_ROW + 16;
  const clients = HEAD.clients === 0 ? 0 : VIEW.clients ? HEAD.clients : 1;
  const below = clients * THIN + 14;
  const each = Math.max(34, Math.min(170, (height - top - below) / HEAD.hosts));
  const lanes = [];
  for (let lane = 0; lane < HEAD.hosts; lane++) lanes.push(top + each * (lane + 0.5));
  const first = top + each * HEAD.hosts + 6;
  for (let client = 0; client < HEAD.clients; client++) lanes.push(first + THIN * ((VIEW.clients ? client : 0) + 0.5));
  return { top, each, lanes, first, bottom: first + clients * THIN + 6, needed: first + clients * THIN + 8 };
}

function x(time) {
  return GUTTER + (time - VIEW.from) / (VIEW.to - VIEW.from) * (width - GUTTER);
}

function timeAt(px) {
  return VIEW.from + (px - GUTTER) / (width - GUTTER) * (VIEW.to - VIEW.from);
}

function draw() {
  const box = canvas.parentElement.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
  width = Math.max(200, box.width - 2); height = Math.max(160, box.height - 2);
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  layout = measure();
  targets = [];
  pen.save();
  pen.beginPath(); pen.rect(GUTTER, 0, width - GUTTER, height); pen.clip();
  drawUnrecorded(); drawGrid(); drawFaults();
  const marks = drawMessages();
  drawLives(); drawMarks(marks); drawViolation(); drawSelected();
  pen.restore();
  drawGutter();
}

function font(size, weight = 400) {
  pen.font = `${weight} ${size}px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
}

/** Text cut to a width; nothing when not even a few letters fit. */
function clipped(text, room) {
  if (pen.measureText(text).width <= room) return text;
  let length = Math.floor(text.length * room / pen.measureText(text).width);
  while (length > 2 && pen.measureText(`${text.slice(0, length)}…`).width > room) length--;
  return length > 2 ? `${text.slice(0, length).trimEnd()}…` : "";
}

function drawGrid() {
  const span = VIEW.to - VIEW.from, want = span / Math.max(3, (width - GUTTER) / 110);
  const power = 10 ** Math.floor(Math.log10(want)), unit = [1, 2, 5, 10].find((times) => times * power >= want) * power;
  const digits = Math.max(0, Math.min(6, Math.ceil(6 - Math.log10(unit) - 1e-9)));
  font(11); pen.textAlign = "center"; pen.textBaseline = "middle";
  for (let time = Math.max(0, Math.ceil(VIEW.from / unit) * unit); time <= Math.min(VIEW.to, END); time += unit) {
    const at = Math.round(x(time)) + 0.5;
    pen.strokeStyle = colours.faint; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(at, AXIS - 4); pen.lineTo(at, layout.bottom); pen.stroke();
    pen.fillStyle = colours.soft; pen.fillText(`${seconds(time, digits)} s`, at, AXIS / 2 - 1);
  }
  if (HEAD.stop < END) label(HEAD.stop, "faults and posts end", layout.top - 1);
}

/** A dashed line with a word at its foot. */
function label(time, text, y) {
  const at = Math.round(x(time)) + 0.5;
  pen.strokeStyle = colours.soft; pen.lineWidth = 1; pen.setLineDash([2, 4]);
  pen.beginPath(); pen.moveTo(at, AXIS); pen.lineTo(at, layout.bottom); pen.stroke(); pen.setLineDash([]);
  font(11); pen.textAlign = "right"; pen.textBaseline = "alphabetic"; pen.fillStyle = colours.soft; pen.fillText(text, at - 5, y - 3);
}

/** Where details are not recorded. */
function drawUnrecorded() {
  const first = Math.max(HEAD.cut ?? 0, HEAD.from), bands = [];
  if (first > 0) bands.push([0, first]);
  if (HEAD.to < END) bands.push([HEAD.to, END]);
  pen.fillStyle = colours.faint;
  for (const [from, to] of bands) pen.fillRect(x(from), AXIS, x(to) - x(from), layout.bottom - AXIS);
}

function drawFaults() {
  HEAD.faults.forEach((fault, nth) => {
    const to = fault.to ?? (fault.momentary ? fault.from : END);
    if (to < VIEW.from || fault.from > VIEW.to) return;
    const from = x(fault.from), colour = faultColour(fault), wide = Math.max(2, x(to) - from);
    pen.fillStyle = colour;
    if (!fault.momentary) {
      pen.globalAlpha = fault.class === "weather" ? 0.05 : 0.11;
      for (const lane of fault.nodes) pen.fillRect(from, layout.lanes[lane] - layout.each / 2 + 2, wide, layout.each - 4);
      pen.globalAlpha = 1;
    }
    if (FAULT_ROWS[nth] < 0) return;
    const y = AXIS + FAULT_ROWS[nth] * FAULT_ROW;
    pen.globalAlpha = 0.2; pen.fillRect(from, y, wide, FAULT_ROW - 3);
    pen.globalAlpha = 1; pen.fillRect(from, y, Math.min(3, wide), FAULT_ROW - 3);
    const left = Math.max(from, GUTTER), next = nextInRow(nth), room = Math.min(next, width) - left - 10;
    font(11.5); pen.textAlign = "left"; pen.textBaseline = "middle"; pen.fillStyle = colours.ink;
    if (room > 26) pen.fillText(clipped(`${fault.id}: ${fault.told}`, room), left + 7, y + FAULT_ROW / 2 - 1);
    const row = faultRow(nth);
    if (row >= 0) targets.push({ x1: from, x2: Math.max(from + wide, from + 4), y1: y, y2: y + FAULT_ROW, row });
  });
}

/** Where the next fault of the same row begins. */
function nextInRow(nth) {
  for (let other = nth + 1; other < HEAD.faults.length; other++) if (FAULT_ROWS[other] === FAULT_ROWS[nth]) return x(HEAD.faults[other].from);
  return Infinity;
}

const FAULT_AT = new Map();
for (let i = 0; i < ROWS.size; i++) if (ROWS.kind[i] === FAULT_BEGINS) FAULT_AT.set(ROWS.raw[i], i);
function faultRow(nth) {
  return FAULT_AT.get(nth) ?? -1;
}

function drawLives() {
  for (let lane = 0; lane < HEAD.hosts; lane++) {
    const y = layout.lanes[lane] - BAND / 2;
    for (const life of LIVES[lane]) {
      if (life.to < VIEW.from || life.from > VIEW.to) continue;
      if (life.state === "out") { drawSpare(lane, life); continue; }
      const from = Math.max(x(life.from), GUTTER - 2), to = Math.min(x(life.to), width + 2), wide = Math.max(1, to - from);
      pen.fillStyle = colours[life.state];
      pen.fillRect(from, y, wide, BAND);
      if (life.state === "down") hatch(from, y, wide, colours["down-edge"]);
      const text = life.state === "leader" ? `leads term ${life.term}` : life.state === "candidate" ? `candidate, term ${life.term}` : life.state === "down" ? "down" : "";
      font(11, life.state === "leader" ? 600 : 400);
      if (text && wide > pen.measureText(text).width + 12) {
        pen.fillStyle = life.state === "leader" ? colours["on-leader"] : colours.ink; pen.textAlign = "left"; pen.textBaseline = "middle";
        pen.fillText(text, from + 6, y + BAND / 2 + 0.5);
      }
    }
    for (const pause of PAUSES) {
      if (!pause.nodes.includes(lane) || (pause.to ?? END) < VIEW.from || pause.from > VIEW.to) continue;
      const from = x(pause.from), wide = x(pause.to ?? END) - from;
      pen.globalAlpha = 0.75; pen.fillStyle = colours.paused; pen.fillRect(from, y, wide, BAND); pen.globalAlpha = 1;
      hatch(from, y, wide, colours.paper);
      font(11); pen.fillStyle = colours.ink; pen.textAlign = "left"; pen.textBaseline = "alphabetic";
      if (wide > 46) pen.fillText("paused", Math.max(from, GUTTER) + 4, y - 4);
    }
  }
  for (let line = 0; line < (VIEW.clients ? HEAD.clients : Math.min(1, HEAD.clients)); line++) {
    pen.fillStyle = colours.faint; pen.fillRect(GUTTER, layout.first + THIN * line + 3, width - GUTTER, THIN - 6);
  }
}

/** Nothing runs here yet. */
function drawSpare(lane, life) {
  const y = layout.lanes[lane], from = Math.max(x(Math.max(0, life.from)), GUTTER), to = Math.min(x(life.to), width);
  pen.strokeStyle = colours.line; pen.lineWidth = 1; pen.setLineDash([2, 4]);
  pen.beginPath(); pen.moveTo(from, y + 0.5); pen.lineTo(to, y + 0.5); pen.stroke(); pen.setLineDash([]);
  font(11); pen.fillStyle = colours.soft; pen.textAlign = "left"; pen.textBaseline = "alphabetic";
  if (to - from > 160) pen.fillText("nothing runs here yet", from + 6, y - 4);
}

function hatch(from, y, wide, colour) {
  pen.save();
  pen.beginPath(); pen.rect(Math.max(from, GUTTER), y, Math.min(wide, width), BAND); pen.clip();
  pen.strokeStyle = colour; pen.lineWidth = 1; pen.globalAlpha = 0.6; pen.beginPath();
  const begin = Math.max(from, GUTTER) - (Math.max(from, GUTTER) % 7) - BAND, end = Math.min(from + wide, width);
  for (let at = begin; at < end; at += 7) { pen.moveTo(at, y + BAND); pen.lineTo(at + BAND, y); }
  pen.stroke(); pen.restore();
}

/** The messages in view, under the lanes that they cross. Returns the rows that are marks on a lane. */
function drawMessages() {
  const begin = firstAt(VIEW.from - LONGEST), end = firstAt(VIEW.to + 1);
  const arrows = [], many = [], marks = [], on = kindsOn();
  for (let i = begin; i < end; i++) {
    const kind = ROWS.kind[i], named = IS_NAMED[i] === 1;
    if (!on[kind] && !named && i !== VIEW.selected) continue;
    if (ROWS.to[i] >= 0) {
      const last = Number.isNaN(ROWS.arrived[i]) ? ROWS.at[i] : Math.max(ROWS.arrived[i], ROWS.again[i] || 0);
      if (last < VIEW.from) continue;
      (KINDS[kind].weight > 0 || named ? arrows : many).push(i);
    } else if (ROWS.at[i] >= VIEW.from && ROWS.lane[i] >= 0) marks.push(i);
  }
  if (many.length > MOST_ARROWS) drawDensity(many); else for (const i of many) drawArrow(i, arrows.length + many.length);
  thinned = many.length > MOST_ARROWS ? many.length : 0;
  if (arrows.length > MOST_ARROWS) drawDensity(arrows); else for (const i of arrows) drawArrow(i, arrows.length);
  return marks;
}

/** How many messages are in view that are too many to draw. */
let thinned = 0;

/** How many messages leave each lane, as a low skyline above its band. */
function drawDensity(rows) {
  const bin = 3, bins = Math.ceil((width - GUTTER) / bin), counts = new Float32Array(bins * LANES);
  for (const i of rows) {
    const column = Math.floor((x(ROWS.at[i]) - GUTTER) / bin);
    if (column >= 0 && column < bins) counts[ROWS.lane[i] * bins + column]++;
  }
  const most = Math.max(1, counts.reduce((a, b) => Math.max(a, b), 0)), room = layout.each / 2 - BAND / 2 - 3;
  pen.fillStyle = colours.appends; pen.globalAlpha = 0.38;
  for (let lane = 0; lane < HEAD.hosts; lane++) {
    for (let column = 0; column < bins; column++) {
      const tall = Math.sqrt(counts[lane * bins + column] / most) * Math.min(room, 26);
      if (tall > 0) pen.fillRect(GUTTER + column * bin, layout.lanes[lane] - BAND / 2 - 1 - tall, bin - 1, tall);
    }
  }
  pen.globalAlpha = 1;
}

/** The two ends of a message: from the edge of one band to the edge of the other. */
function ends(i) {
  const y1 = layout.lanes[ROWS.lane[i]], y2 = layout.lanes[ROWS.to[i]], down = y2 > y1 ? 1 : -1;
  const half = (lane) => lane < HEAD.hosts ? BAND / 2 : 3;
  const from = x(ROWS.at[i]), arrived = ROWS.arrived[i];
  const begin = y1 + down * half(ROWS.lane[i]), end = y2 - down * half(ROWS.to[i]);
  if (!Number.isNaN(arrived)) return { x1: from, y1: begin, x2: x(arrived), y2: end };
  const share = ROWS.fate[i] === UNDER_WAY ? 0.7 : 0.42;
  return { x1: from, y1: begin, x2: from + Math.min(26, Math.max(5, x(ROWS.at[i] + 4000) - from)) * share * 2, y2: begin + (end - begin) * share };
}

function drawArrow(i, among, strong = false) {
  const { x1, y1, x2, y2 } = ends(i), lost = Number.isNaN(ROWS.arrived[i]), named = NAMED.has(i);
  pen.strokeStyle = pen.fillStyle = named ? colours.red : colourOf(ROWS.kind[i]);
  const weight = KINDS[ROWS.kind[i]].weight;
  pen.globalAlpha = strong || named ? 1 : among > 900 ? (weight > 0 ? 0.75 : 0.25) : among > 250 ? (weight > 0 ? 0.85 : 0.42) : 0.85;
  pen.lineWidth = strong ? 2.5 : named ? 2 : weight > 0 ? 1.3 : 1;
  if (lost) pen.setLineDash([4, 3]);
  pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke(); pen.setLineDash([]);
  if (lost && ROWS.fate[i] !== UNDER_WAY) cross(x2, y2, among > 600 ? 2.5 : 4);
  else if (!lost && (among < 700 || strong || named)) head(x1, y1, x2, y2);
  if (!Number.isNaN(ROWS.again[i])) {
    pen.setLineDash([1, 3]); pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x(ROWS.again[i]), y2); pen.stroke(); pen.setLineDash([]);
    if (among < 700 || strong) { pen.beginPath(); pen.arc(x(ROWS.again[i]), y2, 3.5, 0, 7); pen.stroke(); }
  }
  pen.globalAlpha = 1;
  targets.push({ x1, y1, x2, y2, row: i, line: true });
}

function head(x1, y1, x2, y2) {
  const angle = Math.atan2(y2 - y1, x2 - x1), size = 6;
  pen.beginPath(); pen.moveTo(x2, y2);
  pen.lineTo(x2 - size * Math.cos(angle - 0.4), y2 - size * Math.sin(angle - 0.4));
  pen.lineTo(x2 - size * Math.cos(angle + 0.4), y2 - size * Math.sin(angle + 0.4));
  pen.closePath(); pen.fill();
}

function cross(at, y, size) {
  pen.beginPath(); pen.moveTo(at - size, y - size); pen.lineTo(at + size, y + size); pen.moveTo(at - size, y + size); pen.lineTo(at + size, y - size); pen.stroke();
}

/** Where a mark stands on its lane: what is durable and committed as ticks in the band's lower edge, turns as dots above it. */
function drawMarks(marks) {
  const taken = new Uint8Array(Math.ceil(width + 2) * LANES * 2);
  for (const i of marks) {
    const kind = ROWS.kind[i], info = KINDS[kind], lane = ROWS.lane[i], at = x(ROWS.at[i]), y = layout.lanes[lane], named = NAMED.has(i);
    if (info.group === "faults" || kind === VIOLATION) continue;
    const slot = (Math.max(0, Math.floor(at)) * LANES + (lane >= HEAD.hosts && !VIEW.clients ? HEAD.hosts : lane)) * 2 + (info.weight > 0 ? 1 : 0);
    if (taken[slot] && !named) continue;
    taken[slot] = 1;
    pen.fillStyle = named ? colours.red : colourOf(kind);
    if (lane >= HEAD.hosts) {
      const tall = info.name === "is acknowledged" || info.name === "is refused" ? 9 : 5;
      pen.fillRect(at - 0.75, y - tall / 2, named ? 3 : 1.5, tall);
    } else if (info.group === "log") {
      const deep = info.name === "commits" ? 7 : info.name === "applies" ? 5 : 3;
      pen.globalAlpha = named ? 1 : 0.8; pen.fillRect(at - 0.5, y + BAND / 2 + 1, named ? 2.5 : 1, named ? 11 : deep); pen.globalAlpha = 1;
    } else {
      const size = info.weight === 2 ? 4.5 : 2.6;
      pen.beginPath(); pen.arc(at, y - BAND / 2, size, 0, 7); pen.fill();
      pen.strokeStyle = colours.paper; pen.lineWidth = 1; pen.stroke();
    }
    targets.push({ x1: at - 4, x2: at + 4, y1: y - BAND / 2 - 6, y2: y + BAND / 2 + 8, row: i });
  }
}

function drawViolation() {
  if (HEAD.violated === null) return;
  const at = Math.round(x(HEAD.violated)) + 0.5;
  if (at < GUTTER - 4 || at > width + 4) return;
  pen.strokeStyle = colours.red; pen.lineWidth = 2;
  pen.beginPath(); pen.moveTo(at, AXIS - 4); pen.lineTo(at, layout.bottom); pen.stroke();
  font(12, 650); pen.textBaseline = "middle";
  const text = HEAD.rule, wide = pen.measureText(text).width + 12, left = at + wide > width ? at - wide : at;
  pen.fillStyle = colours.red; pen.fillRect(left, 2, wide, AXIS - 6);
  pen.fillStyle = colours.paper; pen.textAlign = "left"; pen.fillText(text, left + 6, AXIS / 2 - 0.5);
}

function drawSelected() {
  for (const [i, alpha] of [[VIEW.hovered, 0.7], [VIEW.selected, 1]]) {
    if (i < 0) continue;
    const at = x(ROWS.at[i]), lane = ROWS.lane[i];
    pen.globalAlpha = alpha;
    if (i === VIEW.selected) {
      pen.strokeStyle = colours.accent; pen.lineWidth = 1; pen.setLineDash([3, 3]);
      pen.beginPath(); pen.moveTo(at, AXIS); pen.lineTo(at, layout.bottom); pen.stroke(); pen.setLineDash([]);
    }
    if (ROWS.to[i] >= 0) drawArrow(i, 1, true);
    pen.globalAlpha = alpha;
    if (lane >= 0) { pen.strokeStyle = colours.accent; pen.lineWidth = 2; pen.beginPath(); pen.arc(at, layout.lanes[lane], lane < HEAD.hosts ? 10 : 6, 0, 7); pen.stroke(); }
    pen.globalAlpha = 1;
  }
}

function drawGutter() {
  pen.fillStyle = colours.paper; pen.fillRect(0, 0, GUTTER, height);
  pen.strokeStyle = colours.line; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(GUTTER - 0.5, 0); pen.lineTo(GUTTER - 0.5, height); pen.stroke();
  pen.textBaseline = "middle"; pen.textAlign = "right";
  const lane = VIEW.selected >= 0 ? ROWS.lane[VIEW.selected] : -1;
  for (let host = 0; host < HEAD.hosts; host++) {
    font(14, 650); pen.fillStyle = host === lane ? colours.accent : colours.ink; pen.fillText(laneName(host), GUTTER - 10, layout.lanes[host]);
  }
  font(11); pen.fillStyle = colours.soft;
  if (HEAD.faults.length > 0) pen.fillText("faults", GUTTER - 8, AXIS + FAULT_ROW / 2 - 1);
  if (!VIEW.clients && HEAD.clients > 0) pen.fillText("clients", GUTTER - 8, layout.first + THIN / 2);
  for (let client = 0; VIEW.clients && client < HEAD.clients; client++) {
    pen.fillStyle = HEAD.hosts + client === lane ? colours.accent : colours.soft;
    pen.fillText(laneName(HEAD.hosts + client), GUTTER - 8, layout.lanes[HEAD.hosts + client]);
  }
}

/** The row under the pointer, or -1. */
function rowAt(px, py) {
  let best = -1, near = 7;
  for (const target of targets) {
    let far;
    if (target.line) {
      const dx = target.x2 - target.x1, dy = target.y2 - target.y1, length = dx * dx + dy * dy || 1;
      const share = Math.max(0, Math.min(1, ((px - target.x1) * dx + (py - target.y1) * dy) / length));
      far = Math.hypot(px - target.x1 - share * dx, py - target.y1 - share * dy);
    } else if (px >= target.x1 && px <= target.x2 && py >= target.y1 && py <= target.y2) far = Math.abs(px - (target.x1 + target.x2) / 2) / Math.max(1, (target.x2 - target.x1) / 8);
    else continue;
    if (far < near || (far === near && KINDS[ROWS.kind[target.row]].weight > 0)) { near = far; best = target.row; }
  }
  return best;
}
