// Values of the gateway as they stand in JSON, and how they compare. Enums are externally tagged: "Pong", {"Load": {…}}.
//
// Whole numbers beyond 2^53 - 1 come as their digits, and ids of messages as 32 hex digits (docs/CLIENT.md, "Over a WebSocket").

/** Refusals after which the same request, with the same number, may succeed. */
const TEMPORARY = ["NoLeader", "Busy", "Unknown", "TooOften", "OutboxFull", "TooFewCopies"];

/** The variant of an enum. */
export const tag = (value) => (typeof value === "string" ? value : Object.keys(value)[0]);

/** What the variant holds; undefined where it holds nothing. */
export const body = (value) => (typeof value === "string" ? undefined : Object.values(value)[0]);

/** The variant of the answer, or undefined if it is a refusal. */
export const okTag = (result) => ("Ok" in result ? tag(result.Ok) : undefined);

/** The variant of the refusal, or undefined if it is an answer. */
export const errTag = (result) => ("Err" in result ? tag(result.Err) : undefined);

export const isTemporary = (refusal) => TEMPORARY.includes(tag(refusal));

/** Whether a result is a refusal that will not change by asking again. */
export const isFinal = (result) => "Err" in result && !isTemporary(result.Err);

/** Compares whole numbers, either of which may be text. */
export function compareNumbers(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [x, y] = [BigInt(a), BigInt(b)];
  return x < y ? -1 : Number(x > y);
}

/** Compares ids of messages: all are text of one length, or (in the test vectors) all are numbers. */
export const compareIds = (a, b) => (a < b ? -1 : Number(a > b));

/** Compares places among tentative messages: [stamp, {node, boot}, n]. */
export function compareOrders([at, outbox, n], [otherAt, otherOutbox, otherN]) {
  return compareNumbers(at, otherAt) || compareNumbers(outbox.node, otherOutbox.node)
    || compareNumbers(outbox.boot, otherOutbox.boot) || compareNumbers(n, otherN);
}

/** Whether two JSON values are the same. */
export function same(a, b) {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]));
}

/** A map's keys that are numbers, ascending. */
export const ascending = (map) => [...map.keys()].sort((a, b) => a - b);

/** The least of these times, null where there is none. */
export function earliest(times) {
  let least = null;
  for (const time of times) if (time !== null && time !== undefined && (least === null || time < least)) least = time;
  return least;
}

// How far something is that wants an answer, on whatever connection there is.
/** To be sent at this time, or as soon as there is a signed-in connection after it. */
export const dueAt = (at) => ({ kind: "due", at });
export const SENT = Object.freeze({ kind: "sent" });
/** A command that has no number of the session yet. */
export const WAITING = Object.freeze({ kind: "waiting" });
/** A command whose record must be durable first. */
export const keeping = (serial) => ({ kind: "keeping", serial });
export const isDue = (stage, now) => stage.kind === "due" && now >= stage.at;
/** What was under way is due again. */
export const renewed = (stage, now) => (stage.kind === "due" || stage.kind === "sent" ? dueAt(now) : stage);
