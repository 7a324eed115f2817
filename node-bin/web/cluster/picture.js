// The picture: nodes on a ring, links between them. Nodes that do not hear each other drift apart; entries travel from the leader to those who follow.
// Made of DOM elements that stay; what moves is moved by hand, for the page's policy allows no styles in markup.

import { duration } from "./format.js";
import { pairOf } from "./model.js";

const SVG = "http://www.w3.org/2000/svg";
const TRAVEL = 520;        // ms that an entry travels
const MOST = 48;           // entries under way in the picture
const UNDER_WAY = 0.1;     // s of entries that may be on their way to a node that is in step
const LABELLED = 6;        // nodes up to which every link has its label; half as many where it is narrow
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function make(name, attributes = {}, parent = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

const set = (element, name, value) => { if (element.getAttribute(name) !== value) element.setAttribute(name, value); };
const move = (element, x, y) => { element.style.translate = `calc(${x.toFixed(1)}px - 50%) calc(${y.toFixed(1)}px - 50%)`; };
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

export class Picture {
  /** `onNode(id, button)` and `onLink(a, b)` when one is chosen; `canAct`: whether links can be cut. */
  constructor(host, model, { onNode, onLink, canAct }) {
    Object.assign(this, { host, model, onNode, onLink, canAct });
    this.svg = make("svg", { role: "img", "aria-labelledby": "picture-says", class: "drawing" });
    this.says = make("title", { id: "picture-says" }, this.svg);
    const glow = make("radialGradient", { id: "glow" }, make("defs", {}, this.svg));
    make("stop", { offset: "35%", class: "glow-in" }, glow);
    make("stop", { offset: "100%", class: "glow-out" }, glow);
    this.gaps = make("g", { class: "gaps" }, this.svg);
    this.lines = make("g", { class: "links" }, this.svg);
    this.travel = make("g", { class: "entries" }, this.svg);
    this.discs = make("g", { class: "nodes" }, this.svg);
    this.over = document.createElement("div");
    this.over.className = "over";
    host.append(this.svg, this.over);
    this.nodes = new Map();
    this.links = new Map();
    this.entries = [];
    this.owed = 0;
    this.at = 0;
    new ResizeObserver(() => this.measure()).observe(host);
    this.measure();
    requestAnimationFrame((at) => this.frame(at));
  }

  measure() {
    this.width = Math.max(280, this.host.clientWidth);
    this.height = Math.max(260, this.host.clientHeight);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.placed = false;
    this.update();
  }

  // ---- what there is

  update() {
    const members = this.model.members();
    const ids = members.map((node) => node.id).sort((a, b) => a - b);
    if (ids.join() !== [...this.nodes.keys()].join()) this.build(ids);
    if (!ids.length) return;
    this.arrange(ids);
    for (const member of members) this.updateNode(member);
    for (const link of this.links.values()) this.updateLink(link);
    this.place();
    write(this.says, this.inWords(ids));
  }

  build(ids) {
    for (const group of [this.lines, this.discs, this.travel, this.gaps]) group.replaceChildren();
    this.over.replaceChildren();
    this.nodes.clear();
    this.links.clear();
    this.entries = [];
    this.placed = false;
    for (const [nth, a] of ids.entries()) {
      for (const b of ids.slice(nth + 1)) this.links.set(pairOf(a, b), this.makeLink(a, b));
    }
    for (const id of ids) this.nodes.set(id, this.makeNode(id));
  }

  makeNode(id) {
    const group = make("g", { class: "node" }, this.discs);
    const part = (name, className) => make(name, { class: className }, group);
    const node = {
      id, group, x: 0, y: 0,
      halo: part("circle", "halo"), track: part("circle", "track"), arc: part("circle", "arc"), disc: part("circle", "disc"),
      number: part("text", "number"), role: part("text", "role"), first: part("text", "caption"), second: part("text", "caption faint"),
      turn: part("g", "turn"), held: part("g", "held"),
    };
    node.turnDisc = make("circle", {}, node.turn);
    node.turnText = make("text", {}, node.turn);
    node.heldPill = make("rect", {}, node.held);
    node.heldText = make("text", {}, node.held);
    write(node.number, String(id));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "node-button";
    button.addEventListener("click", () => this.onNode(id, button));
    node.button = button;
    this.over.append(button);
    return node;
  }

  makeLink(a, b) {
    const group = make("g", { class: "link" }, this.lines);
    const [line, other] = [make("line", {}, group), make("line", {}, group)];
    const pill = document.createElement(this.canAct() ? "button" : "span");
    pill.className = "pill";
    if (this.canAct()) {
      pill.type = "button";
      pill.addEventListener("click", () => this.onLink(a, b));
      pill.addEventListener("pointerenter", () => group.classList.add("near"));
      pill.addEventListener("pointerleave", () => group.classList.remove("near"));
    }
    const text = document.createElement("span");
    pill.append(text);
    this.over.append(pill);
    return { a, b, group, line, other, pill, text };
  }

  /** Where each node belongs: all on one ring, or each side that hears nobody else on one of its own, beside each other. */
  arrange(ids) {
    const { width, height } = this;
    const most = ids.length <= 5 ? 42 : ids.length <= 9 ? 34 : 22;
    this.radius = Math.max(12, Math.min(most, width / 11, height / 9, (Math.PI * Math.min(width, height) * 0.8) / (ids.length * 2.4)));
    const sides = this.model.sides();
    const parted = sides.length > 1 && sides.length <= 4;
    const groups = parted ? sides.map((side) => [...side]) : [ids];
    // Who is down stands with the largest side: there is no telling whom it would hear.
    if (parted) groups[0].push(...ids.filter((id) => !sides.flat().includes(id)));
    // From left to right as they stand on the ring, so that nobody has far to go.
    const whole = new Map(this.ring(ids, { x: 0, y: 0, width, height }).map((place) => [place.id, place]));
    const middle = (group) => group.reduce((sum, id) => sum + whole.get(id).x, 0) / group.length;
    groups.sort((a, b) => middle(a) - middle(b));
    const share = (group) => group.length + 0.7;
    const all = groups.reduce((sum, group) => sum + share(group), 0);
    let x = 0;
    this.edges = [];
    for (const group of groups) {
      const part = (width * share(group)) / all;
      for (const place of this.ring(group.sort((a, b) => a - b), { x, y: 0, width: part, height })) {
        const node = this.nodes.get(place.id);
        Object.assign(node, { tx: place.x, ty: place.y, words: place.words });
        if (!this.placed || calm.matches) Object.assign(node, { x: node.tx, y: node.ty });
      }
      x += part;
      this.edges.push(x);
    }
    this.divide();
    const fresh = !this.placed;
    this.placed = true;
    if (fresh || calm.matches) this.place();
  }

  /** Places on a ring within a box, and where each one's words stand: outside, above or below, or beside where there is room. */
  ring(ids, box) {
    const r = this.radius;
    const words = r > 20 ? 38 : 6;
    const beside = box.width < 520 || box.width < this.width || r <= 20 || ids.length < 3 ? 0 : 92;
    const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2];
    const rx = Math.max(0, Math.min(box.width / 2 - r * 1.35 - beside, box.height * (box.width < this.width ? 0.5 : 0.86)));
    const ry = box.height / 2 - r * 1.25 - words;
    // A ring of an odd number stands higher below than above.
    const drop = ids.length % 2 && ids.length > 1 ? (1 - Math.cos(Math.PI / ids.length)) / 2 : 0;
    const narrow = box.width < this.width || box.width < box.height * 1.1;
    return ids.map((id, nth) => {
      // Even numbers begin half a step on: no link lies on another one, nor on one that leads out.
      const turn = (2 * Math.PI * (nth + (ids.length % 2 ? 0 : 0.5))) / ids.length - Math.PI / 2;
      const pair = narrow ? [0, nth ? 0.62 : -0.62] : [nth ? 0.7 : -0.7, 0];
      const [dx, dy] = ids.length === 1 ? [0, 0] : ids.length === 2 ? pair : [Math.cos(turn), Math.sin(turn) + drop];
      const y = Math.min(box.height - r * 1.1 - words, Math.max(r * 1.1 + words, cy + ry * dy));
      return { id, x: cx + rx * dx, y, words: beside && Math.abs(dx) > 0.75 ? (dx > 0 ? "right" : "left") : dy - drop < -0.05 ? "above" : "below" };
    });
  }

  /** A line between sides that do not hear each other. */
  divide() {
    const edges = this.edges.slice(0, -1);
    while (this.gaps.childElementCount > edges.length) this.gaps.lastElementChild.remove();
    edges.forEach((x, nth) => {
      const line = this.gaps.children[nth] || make("line", {}, this.gaps);
      for (const [name, value] of [["x1", x], ["x2", x], ["y1", 18], ["y2", this.height - 18]]) set(line, name, value.toFixed(0));
    });
  }

  updateNode(member) {
    const { model, radius: r } = this;
    const { id } = member;
    const node = this.nodes.get(id);
    const state = model.state(id);
    const turn = model.turn(id);
    const view = model.fresh(id);
    const leads = model.leaderView;
    const behind = model.behind(id);
    set(node.group, "class", `node ${state}${member.standing === "voter" ? "" : " learner"}`);
    for (const [circle, size] of [[node.halo, r * 1.75], [node.track, r], [node.arc, r], [node.disc, r - 5]]) set(circle, "r", String(size));
    const around = 2 * Math.PI * r;
    const held = state === "leader" || (behind !== null && behind <= 2) ? 1 : behind === null || !leads || !leads.last ? (view ? 1 : 0) : Math.max(0.04, 1 - behind / Math.max(leads.last, 1));
    // A little is hard to see of much: what is missing is drawn as the root of its share.
    const shown = held >= 1 ? 1 : 1 - Math.sqrt(1 - held) * 0.9;
    set(node.arc, "stroke-dasharray", `${(around * shown).toFixed(1)} ${around.toFixed(1)}`);
    set(node.number, "font-size", (r * 0.78).toFixed(1));
    set(node.number, "y", (r * (r > 24 ? 0.1 : 0.27)).toFixed(1));
    write(node.role, r > 24 ? roles[state] : "");
    set(node.role, "y", (r * 0.5).toFixed(1));
    set(node.role, "font-size", (r * 0.27).toFixed(1));
    const [first, second] = this.captions(member, state, behind, view);
    for (const [nth, text, caption] of [[0, first, node.first], [1, second, node.second]]) {
      write(caption, r > 20 ? text : "");
      const side = node.words === "left" ? -1 : node.words === "right" ? 1 : 0;
      set(caption, "text-anchor", side ? (side > 0 ? "start" : "end") : "middle");
      set(caption, "x", (side * (r + 11)).toFixed(1));
      set(caption, "y", (side ? 1 + nth * 15 : node.words === "above" ? -r - 24 + nth * 15 : r + 18 + nth * 15).toFixed(1));
    }
    const showsTurn = turn > 0 && !["ended", "silent", "unknown"].includes(state);
    set(node.turn, "display", showsTurn ? "inline" : "none");
    set(node.turn, "transform", `translate(${(r * 0.8).toFixed(1)} ${(-r * 0.8).toFixed(1)})`);
    set(node.turnDisc, "r", "10");
    write(node.turnText, String(turn));
    const waiting = view ? view.tentative : 0;
    set(node.held, "display", waiting ? "inline" : "none");
    write(node.heldText, `${waiting} wait`);
    set(node.held, "transform", `translate(${(-r * 0.95).toFixed(1)} ${(-r * 0.85).toFixed(1)})`);
    for (const [key, value] of [["x", -27], ["y", -10], ["width", 54], ["height", 20], ["rx", 10]]) set(node.heldPill, key, String(value));
    node.button.setAttribute("aria-label", `Node ${id}: ${roles[state] || state}`);
    const size = `${2 * r + 8}px`;
    if (node.button.style.width !== size) { node.button.style.width = size; node.button.style.height = size; }
  }

  captions(member, state, behind, view) {
    const { model } = this;
    if (state === "ended") return ["does not run", ""];
    if (state === "paused") return ["stands still", ""];
    if (state === "silent" || state === "unknown") return ["no answer", ""];
    const sync = view && view.vitals && view.vitals.sync ? `disk ${duration(view.vitals.sync.median_us)}` : "";
    if (state === "leader") return [`term ${model.truth.term}`, sync];
    if (state === "alone" || state === "candidate") return [`term ${view.term}`, "no majority"];
    // What is on its way is not behind.
    const rate = model.rates.get(model.truth.leader);
    const inStep = behind !== null && behind <= Math.max(2, (rate ? rate.applied : 0) * UNDER_WAY);
    return [behind === null ? `entry ${view.applied}` : inStep ? "in step" : `${behind} behind`, sync];
  }

  updateLink(link) {
    const { model } = this;
    const state = model.link(link.a, link.b);
    const truth = model.truth;
    const leads = state === "up" && truth && (truth.leader === link.a || truth.leader === link.b);
    link.state = state;
    const near = link.group.classList.contains("near") ? " near" : "";
    set(link.group, "class", `link ${state}${leads ? " leads" : ""}${near}`);
    const us = model.roundTrip(link.a, link.b);
    const can = this.canAct();
    const few = this.nodes.size <= (this.width < 520 ? LABELLED / 2 : LABELLED);
    const text = state === "cut" ? "cut" : state === "up" && us !== undefined && (few || leads) ? duration(us) : "";
    // Nothing is known of it, and it can be cut all the same: a dot stands there.
    const bare = text === "" && can && few && state !== "down";
    write(link.text, text);
    link.pill.className = `pill ${state}${leads ? " leads" : ""}${bare ? " bare" : ""}`;
    link.pill.hidden = text === "" && !bare;
    if (can) {
      const label = `${text === "" ? "" : `${text}: `}${state === "cut" ? "heal" : "cut"} the link between node ${link.a} and node ${link.b}`;
      if (link.pill.title !== label) { link.pill.title = label; link.pill.setAttribute("aria-label", label); }
    }
  }

  // ---- what moves

  place() {
    const r = this.radius;
    for (const node of this.nodes.values()) {
      set(node.group, "transform", `translate(${node.x.toFixed(1)} ${node.y.toFixed(1)})`);
      move(node.button, node.x, node.y);
    }
    const columns = new Map();
    for (const link of this.links.values()) {
      const [a, b] = [this.nodes.get(link.a), this.nodes.get(link.b)];
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      const far = Math.hypot(dx, dy) || 1;
      const [ux, uy] = [dx / far, dy / far];
      const [x1, y1, x2, y2] = [a.x + ux * (r + 3), a.y + uy * (r + 3), b.x - ux * (r + 3), b.y - uy * (r + 3)];
      // A cut link is two ends that do not meet.
      const part = link.state === "cut" ? Math.min(0.3, 64 / far) : 0.5;
      const ends = [[link.line, x1, y1, x1 + (x2 - x1) * part, y1 + (y2 - y1) * part], [link.other, x2, y2, x2 + (x1 - x2) * part, y2 + (y1 - y2) * part]];
      for (const [line, ...at] of ends) ["x1", "y1", "x2", "y2"].forEach((name, nth) => set(line, name, at[nth].toFixed(1)));
      // What is cut is cut where the line between the sides is.
      const edge = link.state === "cut" ? this.edges.slice(0, -1).find((at) => (at - a.x) * (at - b.x) < 0) : undefined;
      if (edge === undefined) move(link.pill, (x1 + x2) / 2, (y1 + y2) / 2);
      else (columns.get(edge) || columns.set(edge, []).get(edge)).push({ pill: link.pill, y: a.y + ((b.y - a.y) * (edge - a.x)) / (b.x - a.x) });
    }
    for (const [x, pills] of columns) {
      pills.sort((one, other) => one.y - other.y);
      const middle = pills.reduce((sum, { y }) => sum + y, 0) / pills.length;
      pills.forEach(({ pill }, nth) => move(pill, x, middle + (nth - (pills.length - 1) / 2) * 26));
    }
  }

  frame(at) {
    const passed = Math.min(100, at - this.at);
    this.at = at;
    let moves = false;
    const step = 1 - Math.exp(-passed / 170);
    for (const node of this.nodes.values()) {
      const [dx, dy] = [node.tx - node.x, node.ty - node.y];
      if (Math.abs(dx) + Math.abs(dy) < 0.3) continue;
      moves = true;
      node.x += dx * step;
      node.y += dy * step;
    }
    if (moves) this.place();
    this.travelOn(at, passed);
    requestAnimationFrame((next) => this.frame(next));
  }

  /** Entries on their way from the leader, as many as are committed, though not more than the eye can follow. */
  travelOn(at, passed) {
    const { model } = this;
    const truth = model.truth;
    if (truth && truth.leader !== null && !calm.matches) {
      const rate = model.rates.get(truth.leader);
      this.owed += (Math.min(5, rate ? rate.applied : 0) * passed) / 1000;
      if (this.owed >= 1) {
        this.owed = 0;
        for (const link of this.links.values()) {
          if (link.state !== "up" || this.entries.length >= MOST) continue;
          if (link.a === truth.leader || link.b === truth.leader) {
            const to = link.a === truth.leader ? link.b : link.a;
            this.entries.push({ from: truth.leader, to, began: at, dot: make("circle", { r: "3.2", class: "entry" }, this.travel) });
          }
        }
      }
    }
    this.entries = this.entries.filter((entry) => {
      const [a, b] = [this.nodes.get(entry.from), this.nodes.get(entry.to)];
      const part = (at - entry.began) / TRAVEL;
      if (part >= 1 || !a || !b) { entry.dot.remove(); return false; }
      const eased = part * part * (3 - 2 * part);
      const far = Math.hypot(b.x - a.x, b.y - a.y) || 1;
      const [begin, end] = [this.radius / far, 1 - this.radius / far];
      const place = begin + (end - begin) * eased;
      set(entry.dot, "cx", (a.x + (b.x - a.x) * place).toFixed(1));
      set(entry.dot, "cy", (a.y + (b.y - a.y) * place).toFixed(1));
      return true;
    });
  }

  /** The picture in a sentence or two. */
  inWords(ids) {
    const { model } = this;
    const truth = model.truth;
    const parts = [`${ids.length} nodes.`];
    parts.push(!truth ? "Nothing is known of a leader." : truth.leader === null ? "Nobody leads." : `Node ${truth.leader} leads term ${truth.term}.`);
    for (const id of ids) {
      const state = model.state(id);
      if (!["leader", "follower"].includes(state)) parts.push(`Node ${id}: ${roles[state]}.`);
    }
    const cut = [...this.links.values()].filter((link) => link.state === "cut").map((link) => `${link.a} and ${link.b}`);
    if (cut.length) parts.push(`Cut are the links between ${cut.join("; ")}.`);
    return parts.join(" ");
  }
}

export const roles = {
  leader: "leads", follower: "follows", candidate: "candidate", alone: "alone", paused: "paused", ended: "dead", silent: "silent", unknown: "not heard",
};
