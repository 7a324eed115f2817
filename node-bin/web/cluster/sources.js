// Where what is shown comes from.
// - One stream from one node, the page's home. When it dies, stands still or stops, the next member is home.
// - Every other member is asked how it is, and how it sees the cluster, about once a second: only a leader knows latencies and who is behind, and only a node that is cut off knows how it is there.
// - In a demo, the stream of its control.

import { follow, pause } from "./sse.js";

const ASK_EVERY = 1000;   // ms between questions to one other member
const ASK_SOON = 200;     // … while no leader is known
const ASK_AGAIN = 3000;   // … that did not answer several times in a row
const ANSWER_WITHIN = 1300;

export class Sources {
  /** `model` takes in what is heard; see model.js. */
  constructor(model) {
    this.model = model;
    this.home = location.origin;
    this.asking = new Map();
    this.never = new AbortController();
  }

  start() {
    this.stay();
    setInterval(() => this.ask(), 100);
  }

  /** Stays at one node as long as that goes. */
  async stay() {
    const { model } = this;
    for (let failures = 0; ;) {
      const home = this.home;
      model.homeIs(home);
      let view = {};
      try {
        await follow(`${home}/api/v1/cluster/stream`, {
          signal: this.never.signal,
          onFrame: (frame) => {
            failures = 0;
            view = { ...view, ...frame };
            model.saw(view, home, true);
          },
        });
      } catch (error) {
        failures += 1;
        model.lost(home, error.message);
        const members = model.addresses();
        this.home = members[(members.indexOf(home) + 1) % members.length] || location.origin;
        // Once round all of them at once, then slowly.
        await pause(failures < members.length ? 60 : Math.min(250 * failures, 2000));
      }
    }
  }

  /** Asks those whose turn it is. */
  ask() {
    const now = Date.now();
    const { truth } = this.model;
    const every = truth && truth.leader !== null ? ASK_EVERY : ASK_SOON;
    for (const { id, address } of this.model.members()) {
      const turn = this.asking.get(id) || { answered: 0, failures: 0, under: false };
      this.asking.set(id, turn);
      const due = turn.answered + (turn.failures > 3 ? ASK_AGAIN : every);
      if (this.model.isHome(id) || turn.under || due > now || this.model.isDown(id)) continue;
      turn.under = true;
      this.askOne(id, address).then((answered) => {
        turn.failures = answered ? 0 : turn.failures + 1;
        turn.answered = Date.now();
        turn.under = false;
      });
    }
  }

  async askOne(id, address) {
    try {
      const response = await fetch(`${address}/api/v1/cluster/vitals`, {
        signal: AbortSignal.timeout(ANSWER_WITHIN), cache: "no-store", credentials: "omit",
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      this.model.saw(await response.json(), address, false);
      return true;
    } catch (error) {
      this.model.lost(address, error.message);
      return false;
    }
  }
}
