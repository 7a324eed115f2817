// Looks at the cluster from time to time: which node the page is at, who leads, and whether this side has a majority. What it finds is only shown.

import { Session } from "../core/session.js";
import { draw, ui } from "./ui.js";

const WELL = 4_000;       // ms between looks
const ILL = 700;          // while there is no leader, or no answer
const WITHIN = 1_500;     // ms for an answer
const WITHIN_ALL = 6_000; // for one of any member, while nobody is signed in
const MOVED_FOR = 8_000;  // ms that a move is spoken of

let wake = () => {};
let leaderless = 0;
let former = null;

/** Looks soon. */
export const lookNow = () => wake();

export async function watch() {
  for (;;) {
    try {
      seen(await view());
    } catch {
      ui.cluster.reached = false;
    }
    draw();
    const well = ui.cluster.reached && !leaderless;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, well ? WELL : ILL);
      wake = () => { clearTimeout(timer); setTimeout(resolve, 60); };
    });
  }
}

/** The cluster as the session's node sees it; while there is no session, as any member does. */
async function view() {
  const { session } = ui;
  if (!session) {
    const found = await Session.http("GET", "/api/v1/cluster", undefined, { within: WITHIN_ALL });
    // A page that is loaded anew, from a node that is dead by then, knows whom else to ask.
    Session.know(found.nodes.map(({ address }) => address));
    return found;
  }
  // A stand-in of the session may answer for its cluster.
  return session.isStandIn ? session.http("GET", "/api/v1/cluster") : fetchView((session.status.server ?? location.origin).replace(/\/$/u, ""));
}

async function fetchView(server) {
  const response = await fetch(`${server}/api/v1/cluster`, { signal: AbortSignal.timeout(WITHIN), credentials: "omit", cache: "no-store" });
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

function seen(view) {
  ui.cluster.reached = true;
  ui.cluster.view = view;
  leaderless = view.leader === null ? leaderless + 1 : 0;
  // An election is over sooner than two looks.
  ui.cluster.cutOff = leaderless > 1;
  if (former !== null && former !== view.node && ui.phase === "in") {
    const moved = { node: view.node };
    ui.cluster.moved = moved;
    setTimeout(() => { if (ui.cluster.moved === moved) { ui.cluster.moved = null; draw(); } }, MOVED_FOR);
  }
  former = view.node;
}

/** The line at the bottom: `node 2 · leader 1 · term 7` */
export function statusLine() {
  const { view, reached } = ui.cluster;
  const status = ui.session?.status;
  if (!view || (!reached && !status?.connected)) return { dot: "off", text: "looking for a node …", title: "" };
  const text = `node ${view.node} · ${view.leader === null ? "no majority" : `leader ${view.leader}`} · term ${view.term}`;
  const away = status && !status.connected;
  const title = [status?.server ?? location.origin, ...view.nodes.map(member)].join("\n");
  return { dot: away ? "off" : view.leader === null ? "alone" : "on", text: away ? `${text} · connecting …` : text, title };
}

function member({ id, role, standing, replaces }) {
  return `node ${id}: ${role === "leader" ? "leads" : standing}${replaces === null || replaces === undefined ? "" : `, takes the place of node ${replaces}`}`;
}
