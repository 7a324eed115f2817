// What a client keeps over its end: small records under keys. A port of protocol/src/client/kept.rs; here records are plain objects, which a database takes as they are.
//
// - A key is "session", {command: number} or {cursor: room}. A record replaces the one of the same key.
// - Any beginning of what was kept, in the order in which it was handed out, is a state that the client was in.

/** A key as text. */
export const keyText = (key) => (typeof key === "string" ? key : `${Object.keys(key)[0]} ${Object.values(key)[0]}`);

/** Why a client cannot go on from what was kept. */
export class ResumeError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/**
 * The state that records add up to: `[{key, record}]`, from a table, or in the order in which they were handed out, with `record: null` for what was forgotten.
 * Null where there are none.
 */
export function stateOf(kept) {
  const live = new Map();
  for (const { key, record } of kept) {
    if (record === null) live.delete(keyText(key)); else live.set(keyText(key), { key, record });
  }
  if (live.size === 0) return null;
  const session = live.get("session");
  if (!session) throw new ResumeError("no-session", "what was kept does not say of which session it is: it cannot be used");
  const state = { session: session.record, commands: [], cursors: new Map() };
  for (const { key, record } of live.values()) {
    if (key.command !== undefined) state.commands.push(record);
    if (key.cursor !== undefined) state.cursors.set(record.room, record.cursor);
  }
  state.commands.sort((a, b) => a.number - b.number);
  return state;
}

export const kept = {
  /** Hands out a record; its place among the changes. */
  keep(key, record, sync) {
    return this.change({ type: "Keep", record }, key, sync);
  },

  forget(key) {
    return this.change({ type: "Forget" }, key, false);
  },

  change(output, key, sync) {
    this.journal.given += 1;
    const serial = this.journal.given;
    this.outputs.push({ ...output, change: { serial, key, sync } });
    return serial;
  },

  keepSession(sync) {
    const { name, token } = this.config;
    this.keep("session", { token, name, next_number: this.nextNumber, next_wire: this.nextWire }, sync);
  },
};
