// Which rows the evidence of a broken rule speaks of: a careful guess from the nodes, terms, places and clients that it names.

/** What a text names. */
function namedIn(text) {
  const all = (pattern) => [...text.matchAll(pattern)].map((match) => Number(match[1]));
  const lanes = new Set();
  for (const id of all(/\bn(\d+)\b/g)) {
    const host = HEAD.ids.indexOf(id);
    if (host >= 0) lanes.add(host);
  }
  for (const id of all(/\b[Cc]lient (\d+)/g)) if (id >= 1 && id <= HEAD.clients) lanes.add(HEAD.hosts + id - 1);
  const places = [...text.matchAll(/\(r(\d+), (\d+)\)/g)].map((match) => [Number(match[1]), Number(match[2])]);
  return {
    lanes, places, terms: new Set(all(/\bterm:? (\d+)/g)),
    indexes: new Set([...all(/\b[Ee]ntr(?:y|ies) (\d+)/g), ...all(/\bindex:? (\d+)/g), ...all(/\bthrough (\d+)/g), ...all(/\bends at (\d+)/g)]),
    numbers: new Set([...all(/\b[Rr]equest (\d+)/g), ...all(/\bNumber\((\d+)\)/g)]), sessions: new Set(all(/\bsession s?(\d+)/g)),
  };
}

/** The rows that the evidence seems to name, oldest first. */
const NAMED = named();
/** The same by row, for loops over all of them. */
const IS_NAMED = new Uint8Array(ROWS.size);
for (const i of NAMED) IS_NAMED[i] = 1;

function named() {
  if (HEAD.verdict !== "failed") return new Set();
  const what = namedIn(HEAD.evidence.join("\n"));
  const found = [], end = firstAt(HEAD.violated + 1), restarts = new Map();
  for (let i = end - 1; i >= 0 && found.length < 60; i--) {
    if (ROWS.kind[i] === VIOLATION) continue;
    if (isNamed(i, what)) found.push(i);
    else if (isRestart(i, what) && (restarts.get(ROWS.lane[i]) ?? 0) < 2) {
      restarts.set(ROWS.lane[i], (restarts.get(ROWS.lane[i]) ?? 0) + 1);
      found.push(i);
    }
  }
  return new Set(found.reverse());
}

/** The last crash and start of a node that is named: rules about disks are broken there. */
function isRestart(i, what) {
  const kind = ROWS.kind[i];
  return what.lanes.has(ROWS.lane[i]) && (kind === KIND["starts"] || kind === KIND["crashes"]);
}

function isNamed(i, what) {
  const kind = KINDS[ROWS.kind[i]], name = kind.name;
  const here = what.lanes.has(ROWS.lane[i]) || (kind.message && what.lanes.has(ROWS.to[i]));
  const index = field(i, "index"), first = field(i, "first"), term = field(i, "term");
  switch (name) {
    case "vote": case "voted": case "vote on disk": case "leader": case "candidate":
      return here && what.terms.has(term);
    case "executes":
      return [...what.indexes].includes(index) || (what.sessions.has(field(i, "session")) && what.numbers.has(field(i, "number")));
    case "log grows": case "applies":
      return what.lanes.has(ROWS.lane[i]) && [...what.indexes].some((place) => first <= place && place <= index);
    case "commits": case "learns commit": case "acknowledged": case "snapshot here": case "snapshot in use":
      return what.lanes.has(ROWS.lane[i]) && what.indexes.has(index);
    case "posts": return what.places.some(([room, seq]) => room === field(i, "room") && seq === field(i, "seq"));
    case "is shown": case "is acknowledged":
      return here && (what.places.some(([room, seq]) => room === field(i, "room") && seq === field(i, "seq")) || what.numbers.has(field(i, "number")));
    case "submits": case "is refused": return here && what.numbers.has(field(i, "number"));
    case "log damaged": case "disk wiped": case "repairs": return here;
    default: return false;
  }
}
