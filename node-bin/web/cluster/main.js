// The cluster page: what it knows, and the views of it. All of them are drawn anew together, at most a few times a second.

import { Cards } from "./cards.js";
import { Control, key } from "./control.js";
import { Counter } from "./counter.js";
import { html, nothing, render } from "./lit.js";
import { Model } from "./model.js";
import { Picture } from "./picture.js";
import { Sources } from "./sources.js";
import { Story } from "./story.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";

const DRAW_EVERY = 120;   // ms

const element = (id) => document.getElementById(id);
const model = new Model();
const control = new Control(model);
const canAct = () => key !== null;

document.body.classList.toggle("demo", canAct());
const cards = new Cards(element("cards"), model, control);
const picture = new Picture(element("stage"), model, {
  canAct,
  onNode: (id) => {
    const card = element(`node-${id}`);
    card.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    (card.querySelector("button") || card.querySelector("a")).focus({ preventScroll: true });
  },
  onLink: (a, b) => control.link(a, b, !model.isCut(a, b)),
});
const views = [
  picture, cards,
  new Timeline(element("timeline"), model),
  new Counter(element("counter"), model, control),
  new Story(element("story"), model, control),
  new Table(element("table"), model),
];

let due = 0;
let drawn = 0;

function draw() {
  due = 0;
  drawn = performance.now();
  if (model.control) control.isAt(model.control);
  for (const view of views) view.update();
  render(summary(), element("summary"));
  render(legend(), element("legend"));
  render(html`${model.warnings().map((warning) => html`<p class=${warning.bad ? "bad" : ""}>${warning.text}</p>`)}`, element("warnings"));
  document.body.classList.toggle("ready", model.view !== null);
}

model.addEventListener("change", () => {
  if (!due) due = setTimeout(draw, Math.max(0, DRAW_EVERY - (performance.now() - drawn)));
});
model.addEventListener("note", ({ detail }) => {
  const line = document.createElement("p");
  line.textContent = detail;
  const log = element("events-said");
  log.append(line);
  while (log.childElementCount > 5) log.firstElementChild.remove();
});

function summary() {
  const truth = model.truth;
  const members = model.members();
  if (!model.view) return html`looking for a node that answers …`;
  const living = members.filter((node) => model.isAlive(node.id)).length;
  const leads = !truth ? "no node answers" : truth.leader === null ? html`<b class="bad">nobody leads</b>` : html`<b>node ${truth.leader}</b> leads term ${truth.term}`;
  const through = model.seen.get(model.homeNode)?.ok ? html` · <span title="This page hears of the cluster through this node, and goes on at another one by itself">seen through node ${model.homeNode}</span>` : nothing;
  return html`${living} of ${members.length} nodes are here, ${leads}${through}${key && model.view && !model.control ? html`, and this is no demo` : nothing}`;
}

const policies = { ring: "in a ring, by number", central: "whoever reaches a majority fastest" };

function legend() {
  const view = model.leaderView || model.view;
  if (!view) return nothing;
  const why = policies[view.policy] || `in the order that was set (${view.policy.replace("fixed:", "").replaceAll(",", ", ")})`;
  return html`<span class="sign">1</span> leads next, <span class="sign">2</span> after that: ${why}${model.demo ? html`. Click a time to cut that link` : nothing}`;
}

new Sources(model).start();
draw();
