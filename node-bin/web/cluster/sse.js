// Server-Sent Events over fetch, and not an EventSource: this one can send a key, sees signs of life that carry no data, and leaves a server that stands still.

/**
 * Follows a stream until it ends; always throws why. `onFrame` gets each event's JSON.
 * `silence`: after so many ms without a byte the server is given up.
 */
export async function follow(url, { headers = {}, onFrame, signal, silence = 2500 }) {
  const end = new AbortController();
  const stop = () => end.abort(signal.reason);
  signal.addEventListener("abort", stop);
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => end.abort(new Error("it says nothing any more")), silence);
  };
  heard();
  try {
    const response = await fetch(url, { headers, signal: end.signal, cache: "no-store", credentials: "omit" });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw Object.assign(new Error(problem.detail || `status ${response.status}`), { status: response.status });
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("it ended the stream");
      heard();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        if (event.startsWith("data: ")) onFrame(JSON.parse(event.slice(6)));
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    end.abort();
  }
}

/** Resolves after so many ms. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
