// The picture in words: a table of the nodes, and one of the links.

import { count, duration } from "./format.js";
import { html, nothing, render } from "./lit.js";
import { roles } from "./picture.js";

const words = { up: "up", cut: "cut", down: "down", unknown: "not known" };

export class Table {
  constructor(host, model) {
    Object.assign(this, { host, model, open: false });
  }

  update() {
    const toggled = (event) => { this.open = event.target.open; this.update(); };
    render(html`<details @toggle=${toggled}><summary>The same as a table</summary>${this.open ? this.tables() : nothing}</details>`, this.host);
  }

  tables() {
    const { model } = this;
    const members = model.members();
    const ids = members.map((node) => node.id);
    return html`<div class="tables"><table><caption>Nodes</caption>
      <thead><tr><th scope="col">Node</th><th scope="col">State</th><th scope="col">Term</th><th scope="col">Leads next</th><th scope="col">To a majority</th><th scope="col">Behind</th><th scope="col">Applied</th><th scope="col">Waiting messages</th><th scope="col">Address</th></tr></thead>
      <tbody>${members.map(({ id, address, standing }) => {
        const view = model.fresh(id);
        const turn = model.turn(id);
        const behind = model.behind(id);
        const reason = model.leaderView && model.leaderView.ranking.find((other) => other.node === id);
        return html`<tr><th scope="row">${id}</th><td>${roles[model.state(id)]}${standing === "voter" ? "" : `, ${standing}`}</td><td>${view ? view.term : "–"}</td><td>${turn || "–"}</td><td>${reason && reason.quorum_us !== null ? duration(reason.quorum_us) : "–"}</td>
          <td>${behind === null ? "–" : count(behind)}</td><td>${view ? count(view.applied) : "–"}</td><td>${view ? count(view.tentative) : "–"}</td><td><a href=${address}>${address}</a></td></tr>`;
      })}</tbody></table>
      <table><caption>Links: whether they are up, and how long there and back takes as the leader has measured it</caption>
      <thead><tr><td></td>${ids.map((id) => html`<th scope="col">Node ${id}</th>`)}</tr></thead>
      <tbody>${ids.map((a) => html`<tr><th scope="row">Node ${a}</th>${ids.map((b) => {
        if (a === b) return html`<td class="self">–</td>`;
        const us = model.roundTrip(a, b);
        const state = model.link(a, b);
        return html`<td class=${state}>${words[state]}${us !== undefined && state === "up" ? `, ${duration(us)}` : ""}</td>`;
      })}</tr>`)}</tbody></table></div>`;
  }
}
