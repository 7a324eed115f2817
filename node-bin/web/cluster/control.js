// The demo's control: what is done to the cluster, and what its load has counted. The key stands behind the # of the page's address, which browsers send to nobody.

import { follow, pause } from "./sse.js";

export const key = new URLSearchParams(location.hash.slice(1)).get("key");

const GENTLE = 5;   // posts a second that a page begins with

export class Control {
  constructor(model) {
    this.model = model;
    this.base = null;
    this.asked = false;
    this.begun = false;
  }

  /** The nodes have said where the control is. */
  isAt(base) {
    if (!key || this.base === base || !base) return;
    const first = this.base === null;
    this.base = base;
    if (first) this.stay();
  }

  async stay() {
    for (;;) {
      let state = {};
      try {
        await follow(`${this.base}/api/v1/demo/stream`, {
          headers: { Authorization: `Bearer ${key}` },
          signal: new AbortController().signal,
          onFrame: (frame) => {
            state = { ...state, ...frame };
            this.model.sawDemo(state);
            this.begin(state);
          },
        });
      } catch (error) {
        this.model.lostDemo(error.status === 401 ? "the key in this page's address is not this demo's: open the address that it has printed" : "the demo does not answer");
        await pause(error.status === 401 ? 10000 : 1000);
      }
    }
  }

  /** Somebody is looking for the first time: a little happens. */
  begin({ load }) {
    if (this.begun) return;
    this.begun = true;
    if (load.per_second === 0 && load.sent === 0) this.load(GENTLE);
  }

  async call(method, path, body = {}) {
    this.model.said("");
    try {
      const response = await fetch(`${this.base}/api/v1/demo${path}`, {
        method,
        headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(6000),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.detail);
      this.model.sawDemo({ ...this.model.demo, ...answer });
    } catch (error) {
      this.model.said(`That did not work: ${error.message}`);
    }
  }

  kill(node) { return this.call("POST", `/nodes/${node}/kill`); }
  pause(node) { return this.call("POST", `/nodes/${node}/pause`); }
  resume(node) { return this.call("POST", `/nodes/${node}/resume`); }
  restart(node) { return this.call("POST", `/nodes/${node}/restart`); }
  slow(node, ms) { return this.call("PUT", `/nodes/${node}/disk`, { delay_ms: ms }); }
  load(perSecond) { return this.call("PUT", "/load", { per_second: perSecond }); }
  cut(groups) { return this.call("POST", "/cut", { groups }); }
  heal(groups) { return this.call("POST", "/heal", groups ? { groups } : {}); }

  /** Cuts, or opens, the one link between two nodes. */
  link(a, b, cut) { return this.call("POST", cut ? "/cut" : "/heal", { links: [[a, b]] }); }
}
