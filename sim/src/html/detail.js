// What is known of the selected event, in words; and the head of the page.

function fill(id, ...children) {
  document.getElementById(id).replaceChildren(...children);
}

function pairs(list) {
  return list.filter(([, value]) => value !== undefined && value !== "").flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))]);
}

function took(micros) {
  return micros >= 1e6 ? `${(micros / 1e6).toFixed(3)} s` : micros >= 1000 ? `${(micros / 1000).toFixed(2)} ms` : `${micros} µs`;
}

/** What became of a message. */
function fateOf(i) {
  if (!Number.isNaN(ROWS.again[i])) return `arrived twice: after ${took(ROWS.arrived[i] - ROWS.at[i])} and after ${took(ROWS.again[i] - ROWS.at[i])}`;
  if (!Number.isNaN(ROWS.arrived[i])) return `arrived after ${took(ROWS.arrived[i] - ROWS.at[i])}, at ${seconds(ROWS.arrived[i], 6)} s`;
  if (ROWS.fate[i] === UNDER_WAY) return "was under way when the run ended";
  return ROWS.fate[i] === LOST ? "lost: a fault, a broken connection or a dead process stood in between" : "never arrived";
}

function drawDetail() {
  const i = VIEW.selected;
  if (i < 0) return fill("detail", element("p", { class: "hint" }, "Select an event here or in the picture, or step with the arrow keys. Press ? for all keys."));
  const kind = KINDS[ROWS.kind[i]], message = ROWS.to[i] >= 0;
  const fault = kind.group === "faults" ? HEAD.faults[ROWS.raw[i]] : null;
  const subject = ROWS.lane[i] >= 0 && !fault ? `${longLaneName(ROWS.lane[i])} ` : "";
  const list = [["time", `${seconds(ROWS.at[i], 6)} s`]];
  if (fault) {
    list.push(["kind", fault.class], ["hits", fault.nodes.map(laneName).join(" ") || "all"]);
    if (!fault.momentary) list.push(["lasts", fault.to === null ? "until the end" : `${took(fault.to - fault.from)}, to ${seconds(fault.to)} s`]);
    if (fault.ways.length > 0) list.push(["blocks", fault.ways.map(([from, to]) => `${laneName(from)}→${laneName(to)}`).join(", ")]);
  } else if (ROWS.kind[i] === VIOLATION) list.push(["evidence", plainEvidence().join(" ")]);
  else {
    list.push(["kind", `${kind.name} (${kind.group})`]);
    if (message) list.push(["way", `${longLaneName(ROWS.lane[i])} → ${longLaneName(ROWS.to[i])}`], ["fate", fateOf(i)]);
    for (const name of kind.fields) list.push([name, field(i, name)]);
    list.push(["more", words(i)]);
  }
  const parts = [element("h3", {}, subject + sentence(i)), element("dl", {}, ...pairs(list))];
  if (NAMED.has(i)) parts.push(element("p", { class: "named" }, "The evidence of the broken rule seems to name this."));
  fill("detail", ...parts);
}

/** What a rule's file says, as paragraphs. */
function paragraphs(text) {
  return text.split(/\n(?=Source:|Verifies:|Does \*not\* verify:|\n)/).map((part) => element("p", {}, part.replace(/\n/g, " ").replace(/[*`]/g, "").trim())).filter((part) => part.textContent);
}

function drawHead() {
  document.getElementById("name").textContent = HEAD.name;
  const verdict = document.getElementById("verdict");
  verdict.textContent = HEAD.verdict === "failed" ? `failed: ${HEAD.rule}` : HEAD.verdict;
  verdict.classList.add(HEAD.verdict);
  const facts = [["seed", HEAD.seed], ["engine", HEAD.engine], ["trace", HEAD.trace], ["simulated", `${seconds(HEAD.end, 2)} s`]];
  if (HEAD.bug) facts.push(["known bug switched on", HEAD.bug.name]);
  fill("facts", ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", { class: name === "trace" ? "mono" : "" }, value))));
  document.getElementById("about").textContent = HEAD.about;
  fill("tally", ...pairs([...HEAD.tally.map(([name, value]) => [name, value.toLocaleString("en")]), ["events of the engine", HEAD.events.toLocaleString("en")]]));
  fill("points", ...HEAD.points.map(([name, times]) => element("span", {}, `${name} `, element("b", {}, `×${times}`))));
  document.getElementById("command").textContent = HEAD.command;
  drawNotes();
  drawBroken();
}

function drawNotes() {
  const notes = [];
  if (HEAD.bug?.about) notes.push(`Known bug ${HEAD.bug.name}: ${HEAD.bug.about.trim()}`);
  if (HEAD.verdict === "vacuous") notes.push(`This run proves nothing: ${HEAD.evidence.join("; ")}.`);
  if (HEAD.cut !== null) notes.push(`The run is too long for one page: messages and other details are here from ${seconds(HEAD.cut, 2)} s on, turns of the story from the beginning.`);
  if (HEAD.from > 0 || HEAD.to < END) notes.push(`Messages and other details were recorded from ${seconds(HEAD.from, 2)} s to ${seconds(HEAD.to, 2)} s only.`);
  if (!HEAD.clientsTalk) notes.push("On this engine, what clients and their nodes say to each other is not drawn; what clients saw is.");
  fill("notes", ...notes.map((note) => element("p", { class: "note" }, note)));
}

/** The evidence without the rule and the time, which stand in the title. */
function plainEvidence() {
  return HEAD.evidence.map((line) => line.replace(new RegExp(`^${HEAD.rule} at [\\d.]+ s: |^at \\d+ us: `), "").replace(/\bNumber\((\d+)\)/g, "request $1").replace(/, chain: \d+/g, "").replace(/Position \{ index: (\d+), term: (\d+) \}/g, "entry $1 of term $2"));
}

function drawBroken() {
  if (HEAD.verdict !== "failed") return;
  const [first, ...rest] = HEAD.ruleAbout ? paragraphs(HEAD.ruleAbout) : [element("p", {}, "No text says what this rule is about.")];
  const says = element("div", { class: "says" }, element("p", { class: "label" }, "What the rule says"), first);
  if (rest.length > 0) says.append(element("details", {}, element("summary", {}, "Where it comes from, what it verifies and what it does not"), ...rest));
  fill("broken",
    element("h2", {}, `The rule ${HEAD.rule} is broken at ${seconds(HEAD.violated, 6)} s`),
    element("div", {}, element("p", { class: "label" }, "What was seen"), ...plainEvidence().map((line) => element("p", { class: "evidence" }, line))), says);
  document.getElementById("broken").hidden = false;
}
