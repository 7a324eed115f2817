// Connections of the client machine: WebSockets to /api/v1/client (docs/CLIENT.md, "Over a WebSocket").

const PATH = "/api/v1/client";
const PROBE_WITHIN = 1900;  // ms; a little less than the machine waits

/** Opens a socket; null where the browser forbids it (an address that the page's policy does not name, say). */
function open(server) {
  try {
    return new WebSocket(server.replace(/^http/, "ws") + PATH);
  } catch {
    return null;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** One connection at a time. `on`: connected(), disconnected(), reply(reply, problem), event(event, shown), error(problem). */
export class Wire {
  #on;
  #socket = null;

  constructor(on) { this.#on = on; }

  /** Drops any connection and opens one. */
  connect(server) {
    this.disconnect();
    const socket = open(server);
    this.#socket = socket;
    if (!socket) {
      queueMicrotask(() => { if (this.#socket === socket) this.#on.disconnected(); });
      return;
    }
    const isPresent = () => this.#socket === socket;
    socket.onopen = () => { if (isPresent()) this.#on.connected(); };
    socket.onclose = () => {
      if (!isPresent()) return;
      this.#socket = null;
      this.#on.disconnected();
    };
    socket.onmessage = ({ data }) => {
      if (!isPresent()) return;
      const { reply, problem, event, shown, error } = parse(data);
      if (reply) this.#on.reply(reply, problem);
      if (event) this.#on.event(event, shown);
      if (error) this.#on.error(error);
    };
  }

  /** Drops the connection; nothing more is heard of it. */
  disconnect() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  send(request) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }
}

/** Asks a server twice how full it is, over a connection of its own; {roundTrip, permille} of the second time, or null. */
export function probe(server, now) {
  return new Promise((resolve) => {
    const socket = open(server);
    if (!socket) {
      resolve(null);
      return;
    }
    let sentAt = 0;
    const ask = (id) => {
      sentAt = now();
      socket.send(JSON.stringify({ id, ask: "Load" }));
    };
    const end = (found) => {
      clearTimeout(late);
      socket.onclose = null;
      socket.close();
      resolve(found);
    };
    const late = setTimeout(() => end(null), PROBE_WITHIN);
    socket.onopen = () => ask(1);
    socket.onclose = () => end(null);
    socket.onmessage = ({ data }) => {
      const { reply } = parse(data);
      const load = reply?.result.Ok?.Load;
      if (reply?.id === 1 && load) ask(2);
      else end(load ? { roundTrip: now() - sentAt, permille: load.permille } : null);
    };
  });
}
