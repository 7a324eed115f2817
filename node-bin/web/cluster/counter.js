// The counter: what the load's clients sent, and what became of it, as the judge sees it.

import { count, duration, rate } from "./format.js";
import { html, nothing, render } from "./lit.js";

const STEPS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500];   // posts a second that can be chosen

export class Counter {
  constructor(host, model, control) {
    Object.assign(this, { host, model, control, chosen: null });
  }

  update() {
    const { demo, trouble } = this.model;
    render(demo ? this.counter(demo.load, trouble) : this.figures(), this.host);
  }

  counter(load, trouble) {
    const tile = (name, value, title) => html`<div class="tile ${value > 0 ? "wrong" : load.sent ? "right" : ""}" title=${title}><b>${count(value)}</b><span>${name}</span></div>`;
    const row = (name, value, title) => html`<div title=${title || nothing}><dt>${name}</dt><dd>${value}</dd></div>`;
    const ms = (value) => (value === null || value === undefined ? "–" : duration(value * 1000));
    return html`<section class="panel counter" aria-labelledby="counter-title">
      <h2 id="counter-title">Every message, counted and judged</h2>
      <div class="flow">
        <div><b>${count(load.sent)}</b><span>sent</span></div>
        <div><b>${count(load.committed)}</b><span>committed</span></div>
        <div class=${load.interrupted || load.accepted_now ? "waits" : ""}><b>${count(load.open)}</b><span>${load.accepted_now ? "wait for a leader" : "under way"}</span></div>
      </div>
      <div class="tiles">
        ${tile("lost", load.lost, "Told to have a place, and not there")}
        ${tile("doubled", load.doubled, "Standing twice, or told twice")}
        ${tile("out of order", load.reordered, "Not where its author, or another reader, saw it")}
      </div>
      ${load.violations ? this.broken(load) : nothing}
      ${load.refused || load.unknown ? html`<p class="note">${count(load.refused)} refused, ${count(load.unknown)} of which nobody heard what became.</p>` : nothing}
      <dl class="rows">
        ${row("without service", html`<small>longest ${ms(load.longest_wait_ms)}</small> ${duration(load.without_service_s * 1e6)}`, "Time in which somebody waited for at least 0.1 s and nobody was answered")}
        ${row("latency", html`<small>99 % in ${ms(load.p99_ms)}</small> ${ms(load.median_ms)}`, "From sending to the answer that it is committed, in the last ten seconds")}
        ${row("read back", html`<small>${count(load.delivered)} delivered live</small> ${count(load.read_back)}`, "Posts that were read back from the cluster and compared with what their authors had been told")}
        ${load.accepted ? row("without a leader", `${count(load.accepted)} accepted`, "Posts that a node without a leader took, to be committed later") : nothing}
      </dl>
      ${this.slider(load)}
      <p class="note">${load.clients ? `${load.clients} clients write and read on all nodes.` : "Clients come with the load."} What they see is judged by the simulator's rules.</p>
      ${load.full ? html`<p class="note">The load waits until what it has posted can be read back: a part of the cluster is cut off.</p>` : nothing}
      ${load.trouble ? html`<p class="bad">${load.trouble}</p>` : nothing}
      ${trouble ? html`<p class="bad" role="alert">${trouble}</p>` : nothing}
      ${this.model.word ? html`<p class="bad" role="alert">${this.model.word}</p>` : nothing}
    </section>`;
  }

  slider(load) {
    const now = this.chosen === null ? load.per_second : this.chosen;
    const place = STEPS.findLastIndex((step) => step <= now);
    const word = (perSecond) => (perSecond === 0 ? "none" : `${perSecond} a second`);
    const slide = (event) => { this.chosen = STEPS[event.target.value]; this.update(); };
    const choose = (event) => this.control.load(STEPS[event.target.value]).then(() => { this.chosen = null; this.update(); });
    return html`<label class="load"><span>Load</span>
      <input type="range" min="0" max=${STEPS.length - 1} step="1" .value=${String(place)} aria-valuetext=${word(now)} @input=${slide} @change=${choose}>
      <output>${word(now)}</output></label>`;
  }

  broken(load) {
    return html`<div class="broken" role="alert"><p><b>${count(load.violations)} ${load.violations === 1 ? "violation" : "violations"}.</b> This must not happen: please report it.</p>
      ${load.broken_rules.map(({ rule, seen, about }) => html`<details><summary>${rule}: ${seen}</summary><pre>${about}</pre></details>`)}</div>`;
  }

  /** Without a demo there is no load; what the cluster says of itself is here instead. */
  figures() {
    const { model } = this;
    const truth = model.truth;
    const view = model.leaderView || model.view;
    const row = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
    const line = view ? view.succession.filter((id) => !truth || id !== truth.leader) : [];
    const speed = truth && truth.leader !== null ? model.rates.get(truth.leader) : null;
    return html`<section class="panel counter" aria-labelledby="counter-title"><h2 id="counter-title">The cluster</h2>
      <div class="flow"><div><b>${truth && truth.leader !== null ? truth.leader : "–"}</b><span>leads</span></div>
        <div><b>${truth ? count(truth.term) : "–"}</b><span>term</span></div><div><b>${speed ? rate(speed.messages) : "–"}</b><span>messages/s</span></div></div>
      <dl class="rows">
        ${row("committed entries", view ? count(view.commit) : "–")}
        ${row("who leads next", line.length ? line.join(", then ") : "–")}
        ${row("succession", view ? policies[view.policy] || `in a fixed order (${view.policy})` : "–")}
        ${view ? view.ranking.map((reason) => row(`node ${reason.node}`, html`<small>to a majority</small> ${reason.quorum_us === null ? "–" : duration(reason.quorum_us)}`)) : nothing}
      </dl>
      ${model.trouble ? html`<p class="note bad" role="alert">${model.trouble[0].toUpperCase()}${model.trouble.slice(1)}. Until then this page only shows.</p>`
        : html`<p class="note">Anybody may look here; nothing can be done. <code>node demo</code> runs a cluster with buttons to break it.</p>`}</section>`;
  }
}

const policies = { ring: "in a ring, by number", central: "whoever reaches a majority fastest" };
