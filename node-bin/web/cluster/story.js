// Three things to try, and what will come of them.

import { nodes } from "./format.js";
import { html, nothing, render } from "./lit.js";

const SLOWLY = 1500;   // ms by which a disk is slowed so that its node gives up leading

export class Story {
  constructor(host, model, control) {
    Object.assign(this, { host, model, control });
  }

  update() {
    render(this.model.demo && this.control.base ? this.list() : nothing, this.host);
  }

  list() {
    return html`<section class="panel story" aria-labelledby="story-title"><h2 id="story-title">Try to break it</h2>
      <ol>${[this.kill(), this.cut(), this.slow()].map(({ title, text, does, word, off }) => html`<li>
        <h3>${title}</h3><button type="button" ?disabled=${off} @click=${does}>${word}</button><p>${text}</p></li>`)}</ol></section>`;
  }

  get leader() {
    const { truth } = this.model;
    return truth ? truth.leader : null;
  }

  kill() {
    const { control, model, leader } = this;
    const dead = model.demo.nodes.filter((node) => node.state !== "running");
    const minority = dead.length >= Math.ceil(model.demo.nodes.length / 2);
    return {
      title: "Kill the leader",
      text: dead.length
        ? "Its clients went on elsewhere by themselves, and nothing is missing. Start it: it catches up."
        : "kill -9. Another node leads within half a second; what was under way arrives, once.",
      word: dead.length ? `Start ${nodes(dead.map((node) => node.id))}` : leader === null ? "Nobody leads" : `Kill node ${leader}`,
      off: !dead.length && (leader === null || minority),
      does: () => (dead.length ? dead.forEach((node) => (node.state === "paused" ? control.resume(node.id) : control.restart(node.id))) : control.kill(leader)),
    };
  }

  cut() {
    const { control, model, leader } = this;
    const ids = model.demo.nodes.map((node) => node.id);
    const few = Math.floor((ids.length - 1) / 2);
    // The leader and those who would lead next are cut off: that is the worst.
    const line = [leader, ...ids.filter((id) => id !== leader)].filter((id) => id !== null);
    const off = line.slice(0, few).sort((a, b) => a - b);
    const rest = ids.filter((id) => !off.includes(id));
    if (model.demo.cuts.length) {
      const alone = ids.filter((id) => ["alone", "candidate"].includes(model.state(id)));
      const at = alone.length && model.address(alone[0]);
      return {
        title: "Let them talk again",
        text: html`${leader === null ? "No side has a majority." : "The larger side goes on."} ${at ? html`<a href=${at} target="_blank">On node ${alone[0]}</a> people still write: it waits, marked, and gets its place afterwards.` : ""}`,
        word: "Heal", off: false, does: () => control.heal(),
      };
    }
    return {
      title: `Cut it ${few} | ${rest.length}`,
      text: "The leader on the smaller side. The larger one elects another; what people write on the smaller one waits, and gets its place when you heal.",
      word: `Cut ${off.join(" ")} | ${rest.join(" ")}`, off: few === 0 || leader === null, does: () => control.cut([off, rest]),
    };
  }

  slow() {
    const { control, model, leader } = this;
    const slowed = model.demo.nodes.filter((node) => node.disk_delay_ms > 0);
    return {
      title: "Slow a disk",
      text: slowed.length
        ? "Latency is that of a majority's disks, not of the slowest one."
        : `Each write of the leader's disk takes ${SLOWLY / 1000} s longer. Other disks are enough to commit, and soon another node leads.`,
      word: slowed.length ? "Fast again" : leader === null ? "Nobody leads" : `Slow node ${leader}`,
      off: !slowed.length && leader === null,
      does: () => (slowed.length ? slowed.forEach((node) => control.slow(node.id, 0)) : control.slow(leader, SLOWLY)),
    };
  }
}
