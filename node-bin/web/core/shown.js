// What the machine holds, in the words of docs/API.md: for the screen.

/** A stamp (microseconds since 1970) as RFC 3339 with milliseconds. */
const time = (stamp) => new Date(Math.trunc(Number(stamp) / 1000)).toISOString();

const wide = (number) => BigInt(number).toString(16).padStart(16, "0");

/** A tentative message in API.md's form. */
export function tentative({ id, author, author_name: name, text, reply_to: to, written_at: at, order: [stamp, outbox, n], copies }) {
  const message = { id, author: name, author_id: author, text, written_at: time(at), copies, order: [stamp, outbox.node, outbox.boot, n].map(wide).join("-") };
  return to === null || to === undefined ? message : { ...message, reply_to: to };
}

const KINDS = { Post: "post", Respond: "post", Edit: "edit", Delete: "delete", React: "react", Pin: "pin", Read: "read", Join: "join", Leave: "leave" };

const name = (room) => room?.Id ?? room?.Name;

/** An unsettled command: {number, kind, room, …, at, status, id, copies}. `at`: when it was written, in ms; `status`: "waiting", "sent" or {accepted: copies}; `id`: the message's, from "sent" on. */
export function pending({ tag, at }, command, status, id) {
  const [variant, said] = Object.entries(command)[0];
  const shown = { number: tag, kind: KINDS[variant] ?? variant.toLowerCase(), room: name(said.room), at, status: status.accepted === undefined ? status : "accepted" };
  for (const field of ["text", "seq", "emoji", "on"]) if (said[field] !== undefined) shown[field] = said[field];
  if (variant === "Respond") shown.replyTo = said.to;
  if (status.accepted !== undefined) shown.copies = status.accepted;
  if (id && shown.kind === "post") shown.id = id;
  return shown;
}

/** What became of a command. */
export function done(outcome) {
  if (typeof outcome === "string") return {};
  const what = { ...Object.values(outcome)[0] };
  if (what.at !== undefined) what.at = time(what.at);
  return what;
}

/** A problem of the API as {kind, detail}. Where the node named none, the refusal says what it is. */
export function why(problem, refusal) {
  if (problem) return { kind: String(problem.type).replace("urn:tertulia:", ""), detail: problem.detail ?? problem.title };
  const variant = typeof refusal === "string" ? refusal : Object.keys(refusal ?? { Unknown: null })[0];
  const kind = variant.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  return { kind, detail: refusal?.BadRequest?.why ?? kind.replaceAll("-", " ") };
}
