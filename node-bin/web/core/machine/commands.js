// Commands from their submission until they are settled: order, numbers, what is kept of them. A port of protocol/src/client/outbox.rs, whose rules it has.

import { WAITING, body, dueAt, errTag, isFinal, keeping, okTag } from "./values.js";

/** A command was not taken: too many numbers have been given since the first unsettled one. */
export class WindowFull extends Error {
  constructor() { super("too many commands wait: let some of them settle first"); }
}

export const commands = {
  /** Everything that was handed out through this change is durable. */
  handleKept(now, serial) {
    this.now = now;
    for (const [wire, forgotten] of this.settling) if (forgotten <= serial) this.settling.delete(wire);
    for (const held of this.commands.values()) {
      if (held.stage.kind === "keeping" && held.stage.serial <= serial) held.stage = dueAt(now);
    }
  },

  /** Has a command done once, after those before it; its number. Throws WindowFull. */
  submit(now, command) {
    this.now = now;
    let waiting = 0;
    for (const held of this.commands.values()) waiting += held.wire === null ? 1 : 0;
    // Counted from the first unsettled one: the cluster keeps the outcomes of the last numbers only, and must still know that one's.
    if (Math.max(0, this.nextWire - this.firstUnsettled()) + waiting >= this.config.window) throw new WindowFull();
    const number = this.nextNumber;
    this.nextNumber += 1;
    this.commands.set(number, { command, wire: null, stage: WAITING, accepted: null, hurry: false, resumed: false, ahead: false });
    if (this.mayNumber()) this.giveNumbers(); else this.keepCommand(number);
    return number;
  },

  /** Takes a command back that was certainly never sent; null where it may have been, or is settled. It is not told of any more. */
  withdraw(now, number) {
    this.now = now;
    const held = this.commands.get(number);
    if (!held || held.wire !== null) return null;
    this.commands.delete(number);
    this.forgetCommand(number, null);
    return held.command;
  },

  /** How far a command is: "waiting", "sent", {accepted: copies}; null when it is settled, or was never submitted. */
  status(number) {
    const held = this.commands.get(number);
    return held ? statusOf(held) : null;
  },

  /** All commands that are not settled, in order: [number, command, status, the session's number or null]. */
  open() {
    return Array.from(this.commands, ([number, held]) => [number, held.command, statusOf(held), held.wire]);
  },

  /** Commands that are not settled. */
  get unsettled() { return this.commands.size; },

  /** The first of the session's numbers that is not settled, or the next one if all are. */
  firstUnsettled() {
    let first = null;
    for (const { wire } of this.commands.values()) if (wire !== null && (first === null || wire < first)) first = wire;
    return first ?? this.nextWire;
  },

  /** The first of the session's numbers whose outcome this client, or a later run of it, may still ask for. */
  firstUnacked() {
    return Math.min(this.firstUnsettled(), ...this.settling.keys());
  },

  mayNumber() {
    return this.line.kind === "connected" && this.line.signedIn && this.knowsItsNumbers();
  },

  /** A leader has said which number is next, or there is none and nothing is known of a later life that has used it. */
  knowsItsNumbers() {
    return this.check === null || this.ahead;
  },

  /** The present server reaches no leader that could say whether this client's numbers are free, and knows of nobody who has used them. */
  mayGoAhead(about, result) {
    return about.kind === "NextNumber" && errTag(result) === "NoLeader" && this.named <= this.nextWire;
  },

  /** Whatever waits is about to be sent. */
  giveNumbers() {
    for (const [number, held] of this.commands) {
      if (held.wire === null) this.give(number, held);
    }
  },

  give(number, held) {
    held.wire = this.nextWire;
    this.nextWire += 1;
    held.ahead = this.check !== null;
    held.stage = dueAt(this.now);
    const serial = this.keepCommand(number);
    if (serial !== null) held.stage = keeping(serial);
  },

  keepCommand(number) {
    const held = this.commands.get(number);
    if (!held || !this.journal.on) return null;
    return this.keep({ command: number }, { number, wire: held.wire, command: held.command }, true);
  },

  forgetCommand(number, wire) {
    if (!this.journal.on) return;
    if (number + 1 === this.nextNumber || (wire !== null && wire + 1 === this.nextWire)) this.keepSession(false);
    const serial = this.forget({ command: number });
    if (wire !== null) this.settling.set(wire, serial);
  },

  /** A leader has said which number of this session is next, or a server that there is none to ask. */
  toldNextNumber(result) {
    if (okTag(result) !== "NextNumber") {
      this.ahead = this.mayGoAhead({ kind: "NextNumber" }, result);
      this.check = dueAt(this.ahead ? this.now + this.jittered(this.config.timing.again) : this.retryAt(result));
      return;
    }
    const theirs = body(result.Ok);
    this.check = null;
    this.ahead = false;
    if (theirs > this.nextWire) {
      // What was kept is an old copy.
      this.nextWire = theirs;
      this.keepSession(true);
      const unclear = [...this.commands].filter(([, held]) => held.ahead || (held.resumed && held.wire === null));
      for (const [number, { wire }] of unclear) {
        this.commands.delete(number);
        this.outputs.push({ type: "Unclear", number });
        this.forgetCommand(number, wire);
      }
    } else if (theirs < this.firstUnsettled()) {
      // The cluster has forgotten.
      this.nextWire = theirs;
      this.keepSession(true);
      const rooms = [...this.cursors.keys()].sort((a, b) => a - b);
      this.cursors.clear();
      for (const room of rooms) this.forget({ cursor: room });
      for (const held of this.commands.values()) held.wire = null;
      this.giveNumbers();
    }
    for (const held of this.commands.values()) held.ahead = false;
  },

  /** A server without a leader has accepted a command: it is settled once there is one. */
  acceptedNumber(number, { id, copies }) {
    const againAt = this.now + this.jittered(this.config.timing.again);
    const held = this.commands.get(number);
    if (!held) return;
    held.stage = dueAt(held.hurry ? this.now : againAt);
    held.hurry = false;
    if (!held.accepted || held.accepted.id !== id || held.accepted.copies !== copies) {
      held.accepted = { id, copies };
      this.outputs.push({ type: "Accepted", number, id, copies });
    }
  },

  /** A message of this id is committed, or refused: if it is an own one, its command is settled, and the outcome is there to be asked for. */
  hurry(id) {
    for (const held of this.commands.values()) {
      if (!held.accepted || held.accepted.id !== id) continue;
      if (held.stage.kind === "due") held.stage = dueAt(this.now); else held.hurry = true;
    }
  },

  answeredNumber(number, result) {
    const kind = okTag(result);
    if (kind === "Accepted") {
      this.acceptedNumber(number, body(result.Ok));
      return;
    }
    const againAt = this.retryAt(result);
    const held = this.commands.get(number);
    if (!held) return;
    if (kind !== "Done" && !isFinal(result)) {
      held.stage = dueAt(againAt);
      return;
    }
    const settled = kind === "Done" ? { Ok: body(result.Ok) } : result;
    this.commands.delete(number);
    if (kind === "Done") this.seeMembership(settled.Ok);
    this.outputs.push({ type: "Settled", number, result: settled });
    this.forgetCommand(number, held.wire);
    if (held.accepted && "Err" in settled) this.ownRefused(held.accepted.id, settled.Err);
  },
};

function statusOf({ accepted, wire }) {
  if (accepted) return { accepted: accepted.copies };
  return wire === null ? "waiting" : "sent";
}
