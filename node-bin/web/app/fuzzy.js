// How well a few typed letters fit a name: whole words before beginnings of words before letters that only come in this order.

const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** A score, higher is better; `null` if it does not fit. */
export function fit(typed, name) {
  const wanted = fold(typed.trim());
  const text = fold(name);
  if (!wanted) return 0;
  if (text === wanted) return 1_000;
  if (text.startsWith(wanted)) return 800 - text.length;
  const word = text.search(new RegExp(`(?<![\\p{L}\\p{N}])${wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "u"));
  if (word >= 0) return 600 - word - text.length / 10;
  const inside = text.indexOf(wanted);
  if (inside >= 0) return 400 - inside - text.length / 10;
  return scattered(wanted, text);
}

function scattered(wanted, text) {
  let at = -1;
  let gaps = 0;
  for (const letter of wanted) {
    if (letter === " ") continue;
    const next = text.indexOf(letter, at + 1);
    if (next < 0) return null;
    if (at >= 0) gaps += next - at - 1;
    at = next;
  }
  return gaps > wanted.length * 4 ? null : 200 - gaps * 5 - text.length / 10;
}

/** Those that fit, the best first; among equals as they stood. `nameOf` gives one text, or several of which the best counts. */
export function pick(typed, things, nameOf, most = 50) {
  const scored = [];
  for (const thing of things) {
    const scores = [nameOf(thing)].flat().map((name, nth) => {
      const score = fit(typed, name);
      return score === null ? -Infinity : score - nth * 20;
    });
    const score = Math.max(...scores);
    if (score > -Infinity) scored.push([score, thing]);
  }
  return scored.sort((a, b) => b[0] - a[0]).slice(0, most).map(([, thing]) => thing);
}
