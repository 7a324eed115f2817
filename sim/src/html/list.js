// The list of events: only the rows in sight exist. A list too tall for a browser is scrolled in proportion.

const ROW_HEIGHT = 24, TALLEST = 12e6;
const list = document.getElementById("list"), tall = document.getElementById("tall"), rowsBox = document.getElementById("rows");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function listHeight() {
  return Math.min(shown.length * ROW_HEIGHT, TALLEST);
}

/** The first row in sight, as a fraction. */
function firstInSight() {
  const real = shown.length * ROW_HEIGHT - list.clientHeight, scroll = listHeight() - list.clientHeight;
  return scroll <= 0 ? 0 : list.scrollTop / scroll * Math.max(0, real) / ROW_HEIGHT;
}

function scrollToPlace(place) {
  const real = shown.length * ROW_HEIGHT - list.clientHeight, scroll = listHeight() - list.clientHeight;
  if (real <= 0) return;
  const first = firstInSight(), sight = list.clientHeight / ROW_HEIGHT;
  if (place >= first + 1 && place <= first + sight - 2) return;
  const want = Math.max(0, Math.min((place - sight / 2) * ROW_HEIGHT, real));
  list.scrollTop = want / real * scroll;
}

function drawList() {
  const first = firstInSight(), begin = Math.floor(first), count = Math.ceil(list.clientHeight / ROW_HEIGHT) + 1;
  rowsBox.style.transform = `translateY(${list.scrollTop - (first - begin) * ROW_HEIGHT}px)`;
  const made = [];
  for (let place = begin; place < Math.min(begin + count, shown.length); place++) made.push(listRow(place));
  rowsBox.replaceChildren(...made);
}

function listRow(place) {
  const i = shown[place], kind = KINDS[ROWS.kind[i]], on = i === VIEW.selected;
  const classes = ["row", on && "on", NAMED.has(i) && "named", kind.weight === 2 && "turn", ROWS.kind[i] === VIOLATION && "violation"];
  const dot = element("i");
  dot.style.setProperty("--c", kind.group === "faults" ? faultColour(HEAD.faults[ROWS.raw[i]]) : colourOf(ROWS.kind[i]));
  const faulty = kind.group === "faults" || ROWS.kind[i] === VIOLATION;
  const row = element("div", { class: classes.filter(Boolean).join(" "), role: "option", "aria-selected": String(on), id: `row-${i}` },
    element("time", {}, seconds(ROWS.at[i], 4)), dot, element("b", {}, faulty ? "" : laneName(ROWS.lane[i])), element("span", {}, sentence(i)));
  row.title = sentence(i);
  row.addEventListener("click", () => select(i));
  row.addEventListener("pointerenter", () => { VIEW.hovered = i; changed("hovered"); });
  return row;
}

function filterChanged() {
  tall.style.height = `${listHeight()}px`;
  const total = ROWS.size.toLocaleString("en");
  document.getElementById("count").textContent = `${shown.length.toLocaleString("en")} of ${total} events${NAMED.size ? `; a red edge marks the ${NAMED.size} that the evidence seems to name` : ""}`;
  if (VIEW.selected >= 0) scrollToPlace(placeOf(VIEW.selected));
  drawList();
}

function selectedChanged() {
  if (VIEW.selected >= 0) scrollToPlace(placeOf(VIEW.selected));
  list.setAttribute("aria-activedescendant", VIEW.selected >= 0 ? `row-${VIEW.selected}` : "");
  drawList();
  drawDetail();
}
