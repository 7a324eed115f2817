// Keys and pointer.

const HELP = [
  ["← →", "previous, next event of the list"], ["Shift ← →", "previous, next turn of the story"], ["↑ ↓", "nearest event on the lane above, below"],
  ["Home End", "first, last event of the list"], ["v", "to the violation"], ["e", "only what the evidence names"], ["+ −", "zoom in, out (or the wheel)"],
  ["0", "the whole run"], ["z", "zoom to the selected event"], ["c", "show each client, or all in one line"], ["f or /", "filter"], ["Esc", "close, or unselect"], ["?", "these keys"],
];

function showHelp() {
  const dialog = document.getElementById("keys");
  const close = element("button", { type: "button" }, "Close");
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(element("h2", {}, "Keys"), element("dl", {}, ...HELP.flatMap(([keys, what]) =>
    [element("dt", {}, ...keys.split(" ").map((key) => key === "or" ? " or " : element("kbd", {}, key))), element("dd", {}, what)])),
    element("p", {}, "Drag to move, wheel to zoom, click an arrow or a mark for its details."), close);
  dialog.showModal();
}

function toggleClients() {
  VIEW.clients = !VIEW.clients;
  changed("view");
}

function onlyNamed() {
  if (NAMED.size === 0) return;
  const lane = document.getElementById("lane");
  lane.value = lane.value === "named" ? "all" : "named";
  lane.dispatchEvent(new Event("change"));
}

const ACTIONS = {
  "ArrowLeft": (event) => step(-1, event.shiftKey), "ArrowRight": (event) => step(1, event.shiftKey),
  "ArrowUp": () => stepLane(-1), "ArrowDown": () => stepLane(1),
  "Home": () => shown.length && select(shown[0]), "End": () => shown.length && select(shown[shown.length - 1]),
  "v": jumpToViolation, "e": onlyNamed, "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": fit,
  "z": () => VIEW.selected >= 0 && setView(ROWS.at[VIEW.selected] - 40_000, ROWS.at[VIEW.selected] + 40_000),
  "c": toggleClients, "f": () => document.getElementById("text").focus(), "/": () => document.getElementById("text").focus(), "?": showHelp,
  "Escape": () => select(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("keys").open) return;
  const typing = event.target.matches("input, select");
  if (typing) {
    if (event.key === "Escape") { event.target.blur(); canvas.focus(); }
    return;
  }
  if (event.target.matches("button, summary") && (event.key === "Enter" || event.key === " ")) return;
  const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action(event);
});

/** Where the pointer went down, and what was seen then. */
let drag = null;

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  drag = { x: event.offsetX, from: VIEW.from, to: VIEW.to, moved: false };
});

canvas.addEventListener("pointermove", (event) => {
  if (!drag) return hover(event.offsetX, event.offsetY);
  const dx = event.offsetX - drag.x;
  if (Math.abs(dx) > 3) drag.moved = true;
  if (!drag.moved) return;
  canvas.classList.add("drag");
  const by = dx / (width - GUTTER) * (drag.to - drag.from);
  setView(drag.from - by, drag.to - by);
});

canvas.addEventListener("pointerup", (event) => {
  canvas.classList.remove("drag");
  if (drag && !drag.moved) {
    const row = rowAt(event.offsetX, event.offsetY);
    select(row);
  }
  drag = null;
});

canvas.addEventListener("pointerleave", () => hover(-1, -1));

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const step = event.deltaMode === 1 ? 24 : 1;
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
    const by = (event.deltaX || event.deltaY) * step / (width - GUTTER) * (VIEW.to - VIEW.from);
    return setView(VIEW.from + by, VIEW.to + by);
  }
  zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * step / 400))), timeAt(Math.max(GUTTER, event.offsetX)));
}, { passive: false });

function hover(px, py) {
  const row = px < GUTTER ? -1 : rowAt(px, py), tip = document.getElementById("tip");
  if (row !== VIEW.hovered) { VIEW.hovered = row; changed("hovered"); }
  tip.hidden = row < 0;
  if (row < 0) return;
  const fault = KINDS[ROWS.kind[row]].group === "faults";
  tip.replaceChildren(`${fault ? "" : `${longLaneName(ROWS.lane[row])} `}${sentence(row)}`,
    element("small", {}, `${seconds(ROWS.at[row], 6)} s${ROWS.to[row] >= 0 ? ` · ${fateOf(row)}` : ""}`));
  tip.style.left = `${Math.max(4, Math.min(px + 14, width - tip.offsetWidth - 6))}px`;
  tip.style.top = `${py + 20 + tip.offsetHeight > height ? Math.max(2, py - tip.offsetHeight - 12) : py + 18}px`;
}
