// The last minutes: who led, what was committed a second, what happened.

import { clock, duration, rate } from "./format.js";
import { html, render, svg } from "./lit.js";

const SPAN = 3 * 60e3;       // ms that are shown
const LEFT = 34;             // px for words
const BAND = [4, 22];        // px from the top: where the leaders' band begins, and its height
const CHART = [38, 48];
const SHOWN = 7;             // events in words

export class Timeline {
  constructor(host, model) {
    Object.assign(this, { host, model, width: 0 });
    new ResizeObserver(() => { this.width = 0; this.update(); }).observe(host);
  }

  update() {
    if (!this.width) this.width = Math.max(260, this.host.clientWidth - (this.host.clientWidth > 620 ? 262 : 0));
    const now = Date.now();
    render(html`${this.chart(now)}${this.list()}`, this.host);
  }

  chart(now) {
    const { model, width } = this;
    const from = now - SPAN;
    const x = (at) => LEFT + ((Math.max(at, from) - from) / SPAN) * (width - LEFT - 2);
    const height = CHART[0] + CHART[1] + 18;
    const samples = model.samples.filter((sample) => sample.at > from - 2000);
    const top = Math.max(1, ...samples.map((sample) => Math.max(sample.value, sample.asked || 0))) * 1.15;
    const y = (value) => CHART[0] + CHART[1] * (1 - value / top);
    return svg`<svg class="past" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${this.inWords(from)}>
      <text class="axis" x="0" y=${BAND[0] + 15}>leader</text>
      <text class="axis" x="0" y=${CHART[0] + 9}>${rate(top / 1.15)}/s</text>
      <text class="axis" x="0" y=${CHART[0] + CHART[1]}>0</text>
      ${model.segments.filter((segment) => segment.to > from).map((segment) => this.band(segment, x))}
      <line class="base" x1=${LEFT} x2=${width - 2} y1=${CHART[0] + CHART[1] + 0.5} y2=${CHART[0] + CHART[1] + 0.5}></line>
      ${this.area(samples, x, y)}
      ${model.events.filter((event) => event.at > from).map((event) => svg`
        <line class="mark ${event.kind}" x1=${x(event.at)} x2=${x(event.at)} y1=${BAND[0] + BAND[1] + 3} y2=${CHART[0] + CHART[1]}><title>${clock(event.at)} ${event.text}</title></line>
        <circle class="mark ${event.kind}" cx=${x(event.at)} cy=${BAND[0] + BAND[1] + 6} r="3"></circle>`)}
      ${[3, 2, 1, 0].map((minutes) => svg`<text class="axis when" x=${x(now - minutes * 60e3)} y=${height - 3} text-anchor=${minutes === 3 ? "start" : minutes ? "middle" : "end"}>${minutes ? `${minutes} min ago` : "now"}</text>`)}
    </svg>`;
  }

  band(segment, x) {
    const [a, b] = [x(segment.from), x(segment.to)];
    const wide = Math.max(1.5, b - a);
    if (segment.leader === null) return svg`<rect class="gap" x=${a} y=${BAND[0]} width=${Math.max(2.5, wide)} height=${BAND[1]}><title>nobody led for ${duration((segment.to - segment.from) * 1000)}</title></rect>`;
    const word = wide > 92 ? `node ${segment.leader} · term ${segment.term}` : wide > 44 ? `node ${segment.leader}` : wide > 12 ? segment.leader : "";
    return svg`<g class="led c${((segment.leader - 1) % 9) + 1}">
      <rect x=${a} y=${BAND[0]} width=${Math.max(1, wide - 1)} height=${BAND[1]} rx="4"><title>node ${segment.leader}, term ${segment.term}, from ${clock(segment.from)}</title></rect>
      <text x=${a + (wide > 44 ? 8 : wide / 2)} y=${BAND[0] + 15} text-anchor=${wide > 44 ? "start" : "middle"}>${word}</text></g>`;
  }

  area(samples, x, y) {
    if (samples.length < 2) return "";
    const points = samples.map((sample) => `${x(sample.at).toFixed(1)} ${y(sample.value).toFixed(1)}`);
    const base = y(0).toFixed(1);
    return svg`<path class="area" d="M${x(samples[0].at).toFixed(1)} ${base}L${points.join("L")}L${x(samples.at(-1).at).toFixed(1)} ${base}Z"></path>
      <path class="curve" d="M${points.join("L")}"></path>`;
  }

  list() {
    const events = this.model.events.slice(-SHOWN).reverse();
    return html`<ol class="happened" tabindex="0" aria-label="What happened, the newest first">
      ${events.length ? events.map((event) => html`<li class=${event.kind}><time>${clock(event.at)}</time> ${event.text}</li>`) : html`<li class="none">Nothing has happened yet.</li>`}
    </ol>`;
  }

  inWords(from) {
    const seen = this.model.segments.filter((segment) => segment.to > from);
    const led = seen.map((segment) => (segment.leader === null ? `nobody for ${duration((segment.to - segment.from) * 1000)}` : `node ${segment.leader} in term ${segment.term}`));
    return `The last three minutes. Led: ${led.join(", then ") || "not known"}.`;
  }
}
