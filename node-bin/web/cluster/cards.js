// A card for each node: how it is, and in a demo what can be done to it.

import { bytes, count, duration, rate } from "./format.js";
import { html, nothing, render, repeat } from "./lit.js";
import { roles } from "./picture.js";

const SLOW = [0, 100, 400, 1500];   // ms by which a disk can be slowed

export class Cards {
  constructor(host, model, control) {
    Object.assign(this, { host, model, control });
  }

  update() {
    const { model } = this;
    render(html`${repeat(model.members(), (node) => node.id, (node) => this.card(node))}`, this.host);
  }

  card({ id, standing, address }) {
    const { model } = this;
    const state = model.state(id);
    const view = model.fresh(id);
    const vitals = (view && view.vitals) || null;
    const known = model.rates.get(id);
    const sync = vitals && vitals.sync;
    const row = (name, value, title) => html`<div title=${title || nothing}><dt>${name}</dt><dd>${value}</dd></div>`;
    return html`<article class="card ${state}" id="node-${id}" aria-label="Node ${id}">
      <header><h3>Node ${id}</h3><span class="state">${standing === "learner" ? "learns" : roles[state]}</span>
        <a href=${address} title="The chat at node ${id}" aria-label="The chat at node ${id}">chat</a></header>
      <dl>
        ${row("disk write", sync ? html`<small>up to ${duration(sync.longest_us)}</small> ${duration(sync.median_us)}` : "–", "How long the disk took to make something durable in the last ten seconds: median, and the longest")}
        ${row("data", vitals ? html`<small>${bytes(vitals.disk.free)} free</small> ${bytes(vitals.disk.log + vitals.disk.rows)}` : "–", vitals ? `Log ${bytes(vitals.disk.log)}, rows ${bytes(vitals.disk.rows)}, outbox ${bytes(vitals.disk.outbox)}` : "")}
        ${row("messages", view && known ? `${rate(known.messages)}/s` : "–", "Rows of messages that were written")}
        ${row("clients", vitals ? html`<small>${count(vitals.connections)} sockets</small> ${count(vitals.clients)}` : "–", "Clients that this node knows, and open sockets on its port for them")}
        ${view && view.tentative ? row("outbox", html`<b>${count(view.tentative)} wait</b>`, "Messages that were accepted without a majority, and have no place yet") : nothing}
      </dl>
      ${model.control && this.control.base ? this.deeds(id) : nothing}
    </article>`;
  }

  /** What can be done to a node. */
  deeds(id) {
    const { control, model } = this;
    const node = model.inDemo(id);
    if (!node) return nothing;
    const [ended, paused] = [node.state === "ended", node.state === "paused"];
    const others = model.demo.nodes.map((other) => other.id).filter((other) => other !== id);
    const isOff = others.length > 0 && others.every((other) => model.isCut(id, other));
    const button = (text, does, title, className = "") => html`<button type="button" class=${className} title=${title} aria-label="${title}" @click=${does}>${text}</button>`;
    return html`<div class="deeds" role="group" aria-label="What to do to node ${id}">
      ${ended
        ? button("Start", () => control.restart(id), `Start node ${id} again`, "good")
        : button("Kill", () => control.kill(id), `Kill node ${id}: kill -9`, "bad")}
      ${paused
        ? button("Go on", () => control.resume(id), `Let node ${id} go on: SIGCONT`, "good")
        : html`<button type="button" ?disabled=${ended} title="Let node ${id} stand still: SIGSTOP" aria-label="Pause node ${id}: SIGSTOP" @click=${() => control.pause(id)}>Pause</button>`}
      ${isOff
        ? button("Heal", () => control.heal([[id]]), `Heal node ${id}: let it hear the others again`, "good")
        : button("Cut off", () => control.cut([[id]]), `Cut off node ${id} from all others`)}
      <label class=${node.disk_delay_ms ? "slow on" : "slow"}><span class="unseen">Slow the disk of node ${id}</span>
        <select title="How much longer each disk write of node ${id} takes" @change=${(event) => control.slow(id, Number(event.target.value))}>
          ${[...new Set([...SLOW, node.disk_delay_ms])].map((ms) => html`<option value=${ms} .selected=${ms === node.disk_delay_ms}>${ms ? `+${duration(ms * 1000)}` : "Slow disk"}</option>`)}
        </select></label>
    </div>`;
  }
}
