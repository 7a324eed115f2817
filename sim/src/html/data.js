// The run as it was recorded, made ready to be looked at: one entry per thing that happened, in order of time, in flat arrays.
//
// Rows of the file are [µs since the row before, kind, lane, …]; see data.rs. Faults and the violation become rows of their own kinds here, so that
// the list, the keys and the filter need to know of rows only.

const RUN = JSON.parse(document.getElementById("run").textContent);
const HEAD = RUN.head;
const FAULT_BEGINS = HEAD.kinds.push({ name: "fault", group: "faults", weight: 2, message: false, fields: [], text: "" }) - 1;
const FAULT_ENDS = HEAD.kinds.push({ name: "fault ends", group: "faults", weight: 2, message: false, fields: [], text: "" }) - 1;
const VIOLATION = HEAD.kinds.push({ name: "violation", group: "violation", weight: 2, message: false, fields: [], text: "" }) - 1;
const KINDS = HEAD.kinds;
const KIND = Object.fromEntries(KINDS.map((kind, nth) => [kind.name, nth]));
const LANES = HEAD.hosts + HEAD.clients;
const END = Math.max(HEAD.end, 1);

/** Fates of a message that did not arrive. */
const LOST = -1, NEVER = -2, UNDER_WAY = -3;

/** All rows, in flat arrays: when, what, on which lane, to which lane (or -1), when it arrived (or NaN), its second copy, its fate. */
const ROWS = read(RUN.rows);
RUN.rows = null;

function read(raw) {
  const extra = [];
  HEAD.faults.forEach((fault, nth) => {
    extra.push({ at: fault.from, kind: FAULT_BEGINS, fault: nth });
    if (fault.to !== null && !fault.momentary) extra.push({ at: fault.to, kind: FAULT_ENDS, fault: nth });
  });
  if (HEAD.violated !== null) extra.push({ at: HEAD.violated, kind: VIOLATION, fault: -1 });
  extra.sort((a, b) => a.at - b.at);
  const size = raw.length + extra.length;
  const rows = {
    size, at: new Float64Array(size), kind: new Uint8Array(size), lane: new Int16Array(size), to: new Int16Array(size).fill(-1),
    arrived: new Float64Array(size).fill(NaN), again: new Float64Array(size).fill(NaN), fate: new Int8Array(size), raw: new Array(size),
  };
  let now = 0, next = 0, i = 0;
  const put = (more) => {
    const fault = HEAD.faults[more.fault];
    rows.at[i] = more.at; rows.kind[i] = more.kind; rows.lane[i] = fault && fault.nodes.length ? fault.nodes[0] : -1; rows.raw[i] = more.fault; i++;
  };
  for (const row of raw) {
    now += row[0];
    // The violation comes after all that happened at its moment.
    while (next < extra.length && (extra[next].at < now || (extra[next].at === now && extra[next].kind !== VIOLATION))) put(extra[next++]);
    rows.at[i] = now; rows.kind[i] = row[1]; rows.lane[i] = row[2]; rows.raw[i] = row;
    if (KINDS[row[1]].message) {
      rows.to[i] = row[3];
      const fate = row[4];
      if (Array.isArray(fate)) { rows.arrived[i] = now + fate[0]; rows.again[i] = now + fate[1]; }
      else if (fate >= 0) rows.arrived[i] = now + fate;
      else rows.fate[i] = fate;
    }
    i++;
  }
  while (next < extra.length) put(extra[next++]);
  return rows;
}

/** The first row at or after a time. */
function firstAt(time) {
  let low = 0, high = ROWS.size;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ROWS.at[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}

/** The value of a row's field, or undefined. */
function field(i, name) {
  const kind = KINDS[ROWS.kind[i]], nth = kind.fields.indexOf(name);
  return nth < 0 ? undefined : ROWS.raw[i][(kind.message ? 5 : 3) + nth];
}

/** The few words that a row has beside its numbers. */
function words(i) {
  const kind = KINDS[ROWS.kind[i]], raw = ROWS.raw[i];
  if (!Array.isArray(raw)) return "";
  return raw[(kind.message ? 5 : 3) + kind.fields.length] ?? "";
}

function laneName(lane) {
  if (lane < 0) return "";
  return lane < HEAD.hosts ? `n${lane + 1}` : `c${lane - HEAD.hosts + 1}`;
}

function longLaneName(lane) {
  return lane < HEAD.hosts ? `n${lane + 1}` : `client ${lane - HEAD.hosts + 1}`;
}

/** Each kind's sentence in parts: words, and where in the row a field stands. */
const PARTS = KINDS.map((kind) => kind.text.split(/\{([^}]*)\}/).map((part, nth) =>
  nth % 2 === 0 ? part : part === "to" ? { to: true } : { place: (kind.message ? 5 : 3) + kind.fields.indexOf(part) }));
const PLURAL = KINDS.map((kind) => /entries|messages/.test(kind.text));

/** What happened, as a sentence without its subject. */
function sentence(i) {
  const kind = KINDS[ROWS.kind[i]];
  if (ROWS.kind[i] === VIOLATION) return `breaks the rule ${HEAD.rule}`;
  if (kind.group === "faults") {
    const fault = HEAD.faults[ROWS.raw[i]];
    return ROWS.kind[i] === FAULT_BEGINS ? `${fault.id}: ${fault.told}` : `${fault.id} ends`;
  }
  if (ROWS.kind[i] === KIND["point"]) return `reaches the point ${words(i)}`;
  let text = "";
  for (const part of PARTS[ROWS.kind[i]]) text += typeof part === "string" ? part : part.to ? longLaneName(ROWS.to[i]) : ROWS.raw[i][part.place];
  if (PLURAL[ROWS.kind[i]]) text = text.replace(/entries (\d+) to \1\b/, "entry $1").replace(/\b1 entries\b/, "1 entry").replace(/\b1 messages of\b/, "1 message of");
  const more = words(i);
  return more ? `${text}: ${more}` : text;
}

/** A time as seconds, with as many digits as the view needs. */
function seconds(micros, digits = 3) {
  return (micros / 1e6).toFixed(digits);
}

/** Who is what from when to when: for each machine a list of { from, to, state, term }. */
const LIVES = lives();

function lives() {
  const all = Array.from({ length: HEAD.hosts }, () => [{ from: 0, to: END, state: "out", term: 0 }]);
  const turn = (lane, at, state, term) => {
    const last = all[lane][all[lane].length - 1];
    if (last.state === state && last.term === term) return;
    last.to = at;
    all[lane].push({ from: at, to: END, state, term });
  };
  const lost = (term, but, at) => {
    for (let lane = 0; lane < HEAD.hosts; lane++) {
      const last = all[lane][all[lane].length - 1];
      if (lane !== but && last.state === "candidate" && last.term <= term) turn(lane, at, "follower", term);
    }
  };
  for (let i = 0; i < ROWS.size; i++) {
    const lane = ROWS.lane[i], at = ROWS.at[i];
    if (lane < 0 || lane >= HEAD.hosts) continue;
    const term = field(i, "term");
    switch (ROWS.kind[i]) {
      case KIND["starts"]: case KIND["steps down"]: turn(lane, at, "follower", term); break;
      case KIND["candidate"]: turn(lane, at, "candidate", term); break;
      case KIND["leader"]: turn(lane, at, "leader", term); lost(term, lane, at); break;
      case KIND["crashes"]: turn(lane, at, "down", 0); break;
      case KIND["term begins"]: if (all[lane].at(-1).state === "candidate" && term > all[lane].at(-1).term) turn(lane, at, "follower", term); break;
    }
  }
  return all.map((list) => list.filter((life) => life.to > life.from));
}

/** When somebody is paused. */
const PAUSES = HEAD.faults.filter((fault) => fault.class === "pause");
