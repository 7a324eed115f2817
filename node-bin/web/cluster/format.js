// Numbers for people.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12,480 */
export const count = (number) => whole.format(number);

/** 0.42 ms, 12 ms, 1.2 s; from microseconds. */
export function duration(us) {
  if (us === null || us === undefined) return "–";
  if (us === 0) return "0 s";
  const ms = us / 1000;
  if (ms < 0.995) return `${ms.toFixed(2)} ms`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60000)} min ${Math.round(ms / 1000) % 60} s`;
}

/** 8.0 MB */
export function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = number;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${unit === 0 || value >= 99.5 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** 0, 0.4, 12 */
export const rate = (number) => (number >= 9.95 || number === 0 ? count(number) : number.toFixed(1));

/** 14:05:09 */
export function clock(ms) {
  const at = new Date(ms);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

const nth = ["", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
/** third, 12th */
export const ordinal = (number) => nth[number] || `${number}th`;

/** "node 1", "nodes 1, 2 and 4" */
export function nodes(ids) {
  if (ids.length === 1) return `node ${ids[0]}`;
  return `nodes ${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
}
