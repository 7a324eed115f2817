// Puts it all together: the overview, the switches, and drawing once a frame when something changed.

const overview = document.getElementById("overview"), small = overview.getContext("2d");

function drawOverview() {
  const box = overview.getBoundingClientRect(), scale = window.devicePixelRatio || 1, wide = box.width, tall = box.height;
  if (overview.width !== Math.round(wide * scale)) { overview.width = Math.round(wide * scale); overview.height = Math.round(tall * scale); }
  small.setTransform(scale, 0, 0, scale, 0, 0);
  small.clearRect(0, 0, wide, tall);
  const at = (time) => overviewX(time, wide), each = (tall - 12) / HEAD.hosts;
  HEAD.faults.forEach((fault) => {
    small.fillStyle = faultColour(fault); small.globalAlpha = 0.5;
    small.fillRect(at(fault.from), 2, Math.max(2, at(fault.to ?? (fault.momentary ? fault.from : END)) - at(fault.from)), 5);
  });
  small.globalAlpha = 1;
  LIVES.forEach((list, lane) => list.forEach((life) => {
    if (life.state === "out") return;
    small.fillStyle = life.state === "down" ? colours["down-edge"] : colours[life.state];
    small.fillRect(at(life.from), 9 + each * lane, Math.max(1, at(life.to) - at(life.from)), Math.max(1, each - 1));
  }));
  if (HEAD.violated !== null) { small.fillStyle = colours.red; small.fillRect(at(HEAD.violated) - 1, 0, 2, tall); }
  const from = Math.max(0, at(VIEW.from)), to = Math.min(wide, at(VIEW.to));
  small.fillStyle = colours.page; small.globalAlpha = 0.65;
  small.fillRect(0, 0, from, tall); small.fillRect(to, 0, wide - to, tall);
  small.globalAlpha = 1; small.strokeStyle = colours.accent; small.lineWidth = 2;
  small.strokeRect(from + 1, 1, Math.max(3, to - from - 2), tall - 2);
}

function overviewX(time, wide) {
  return 6 + time / END * (wide - 12);
}

overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); moveOverview(event); });
overview.addEventListener("pointermove", (event) => { if (event.buttons & 1) moveOverview(event); });
function moveOverview(event) {
  const length = VIEW.to - VIEW.from, time = (event.offsetX - 6) / (overview.clientWidth - 12) * END;
  // From the whole run a click looks closer.
  const next = length > END * 0.9 ? END / 8 : length;
  setView(time - next / 2, time + next / 2);
}

function drawSpan() {
  const length = VIEW.to - VIEW.from;
  const hint = thinned ? ` · ${thinned.toLocaleString("en")} messages as a skyline, zoom in to see each` : "";
  document.getElementById("span").textContent = `${seconds(Math.max(0, VIEW.from), 3)} s to ${seconds(Math.min(END, VIEW.to), 3)} s, ${took(Math.round(length))}${hint}`;
}

let due = false;
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw(); drawOverview(); drawSpan();
    document.getElementById("clients").setAttribute("aria-pressed", String(VIEW.clients));
  });
}

let hashTimer = 0, filterTimer = 0;
listeners.push((what) => {
  redraw();
  if (what === "selected") selectedChanged();
  if (what === "filter") filterChanged();
  if (what === "view" || what === "selected") { clearTimeout(hashTimer); hashTimer = setTimeout(keepHash, 150); }
});

function makeGroups() {
  const used = new Set();
  for (let i = 0; i < ROWS.size; i++) used.add(KINDS[ROWS.kind[i]].group);
  fill("groups", ...GROUPS.filter((group) => used.has(group.id)).map((group) => {
    const swatch = element("i"), button = element("button", { type: "button", "aria-pressed": String(ON[group.id]), "data-group": group.id }, swatch, group.name);
    swatch.style.setProperty("--c", `var(--${GROUP_COLOURS[group.id] ?? group.id})`);
    button.addEventListener("click", () => {
      ON[group.id] = !ON[group.id];
      button.setAttribute("aria-pressed", String(ON[group.id]));
      refilter();
    });
    return button;
  }));
}

function makeLegend() {
  const swatch = (name, colour) => {
    const box = element("i");
    box.style.background = `var(--${colour})`;
    return element("span", {}, box, name);
  };
  const drawn = (name, path) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 20 12"); svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path); line.setAttribute("fill", "none"); line.setAttribute("stroke", "currentColor"); line.setAttribute("stroke-width", "1.4");
    svg.append(line);
    return element("span", {}, svg, name);
  };
  fill("legend", swatch("follower", "follower"), swatch("candidate", "candidate"), swatch("leader", "leader"), swatch("down", "down-edge"), swatch("paused", "paused"),
    drawn("message, sent to arrival", "M2 2 L17 10 M17 10 l-5 -.5 M17 10 l-3 -4"), drawn("lost", "M2 2 L11 7 M9 4 l5 5 M14 4 l-5 5"),
    drawn("doubled", "M2 2 L12 9 M12 9 m-2.5 0 a2.5 2.5 0 1 0 5 0 a2.5 2.5 0 1 0 -5 0"), drawn("log grows, applies, commits", "M3 1 v3 M8 1 v6 M13 1 v9"));
}

function makeFilter() {
  const lane = document.getElementById("lane"), text = document.getElementById("text"), level = document.getElementById("level");
  lane.append(element("option", { value: "all" }, "all lanes"));
  if (NAMED.size > 0) lane.append(element("option", { value: "named" }, "what the evidence names"));
  for (let at = 0; at < LANES; at++) lane.append(element("option", { value: String(at) }, longLaneName(at)));
  const apply = () => { FILTER.text = text.value; FILTER.lane = lane.value; FILTER.level = Number(level.value); refilter(); };
  text.addEventListener("input", () => { clearTimeout(filterTimer); filterTimer = setTimeout(apply, 150); });
  lane.addEventListener("change", apply);
  level.addEventListener("change", apply);
  document.getElementById("filter").addEventListener("submit", (event) => { event.preventDefault(); apply(); canvas.focus(); });
}

function begin() {
  readColours(); drawHead(); makeGroups(); makeLegend(); makeFilter();
  const click = (id, action) => document.getElementById(id).addEventListener("click", action);
  click("in", () => zoom(0.6)); click("out", () => zoom(1 / 0.6)); click("fit", fit); click("jump", jumpToViolation); click("clients", toggleClients); click("help", showHelp);
  click("copy", () => navigator.clipboard?.writeText(HEAD.command).then(() => { document.getElementById("copy").textContent = "Copied"; }, () => {}));
  document.getElementById("jump").hidden = HEAD.violated === null;
  list.addEventListener("scroll", drawList);
  list.addEventListener("pointerleave", () => { VIEW.hovered = -1; changed("hovered"); });
  new ResizeObserver(() => { redraw(); drawList(); }).observe(document.getElementById("scene"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); drawList(); });
  refilter();
  if (readHash()) { if (VIEW.selected >= 0) changed("selected"); }
  else if (HEAD.violated !== null) jumpToViolation();
  else fit();
  drawDetail();
}

begin();
