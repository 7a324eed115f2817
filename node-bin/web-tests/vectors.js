// Plays docs/client-vectors.json against the client machine of the pages (web/core/machine.js): each step's outputs must be those of the Rust machine, in order.
//
// `run(vectors)` → {passed, failed: ["story, step: what was wrong"]}.
// With node: `node node-bin/web-tests/run.mjs`.

import { CHOICE, Client, TIMING } from "../web/core/machine.js";
import { messageId } from "../web/core/id.js";
import { same } from "../web/core/machine/values.js";

const NO_SPREAD = { ...CHOICE, spread: 0 };

/** A client and what the story's host knows. */
class Scene {
  constructor(random) {
    this.client = null;
    this.random = random;
  }

  /** What the call returns, where the story says what it must be. */
  input(now, input) {
    const [name, said] = typeof input === "string" ? [input, null] : Object.entries(input)[0];
    const { client } = this;
    switch (name) {
      case "start": return this.start(now, said);
      case "connected": return client.handleConnected(now);
      case "disconnected": return client.handleDisconnected(now);
      case "timeout": return client.handleTimeout(now);
      case "follow_all": return client.followAll(now);
      case "reply": return client.handleReply(now, said);
      case "event": return client.handleEvent(now, said);
      case "kept": return client.handleKept(now, said);
      case "submit": return this.expect(said.returns, client.submit(now, said.command));
      case "withdraw": return this.expect(said.returns, client.withdraw(now, said.number) !== null);
      case "follow": return client.follow(now, { Id: said.room }, { After: said.after });
      case "unfollow": return client.unfollow(said.room);
      case "ask": return client.ask(now, said);
      case "set_servers": return client.setServers(now, said.was);
      case "probed": return client.handleProbed(now, said.server, said.found && { roundTrip: said.found.round_trip_ms, permille: said.found.permille });
      default: throw new Error(`a story has an input that this runner does not know: ${name}`);
    }
  }

  start(now, { servers, window, keeps, choice, holds }) {
    const timing = { ...TIMING, choice: choice ? NO_SPREAD : null };
    const config = { name: "ada", token: Array(32).fill(7), servers, window, timing, random: this.random };
    this.client = keeps ? Client.resume(config, holds, now) : new Client(config, now);
  }

  expect(returns, returned) {
    if (!same(returns, returned)) throw new Error(`it returned ${JSON.stringify(returned)}, not ${JSON.stringify(returns)}`);
  }

  outputs() {
    const outputs = [];
    for (let output = this.client.pollOutput(); output; output = this.client.pollOutput()) outputs.push(output);
    // A tail is told as it is at the end of the step.
    return outputs.map((output) => this.told(output));
  }

  /** An output as the file spells it. */
  told(output) {
    const { type, change, record } = output;
    switch (type) {
      case "Connect": return { connect: output.server };
      case "Disconnect": return "disconnect";
      case "Send": return { send: output.request };
      case "SignedIn": return { signed_in: output.server };
      case "Rejected": return { rejected: output.refusal };
      case "Settled": return { settled: { number: output.number, result: output.result } };
      case "Accepted": return { accepted: { number: output.number, id: output.id, copies: output.copies } };
      case "Tail": return { tail: { room: output.room, posts: this.client.tail(output.room).map(({ id }) => id) } };
      case "Withdrawn": return { withdrawn: { room: output.room, id: output.post.id, refusal: output.refusal } };
      case "Unclear": return { unclear: output.number };
      case "Answered": return { answered: { ask: output.ask, result: output.result } };
      case "Deliver": return { deliver: output.event };
      case "Unfollowed": return { unfollowed: output.room };
      case "Keep": return { keep: { serial: change.serial, key: change.key, sync: change.sync, holds: record } };
      case "Forget": return { forget: { serial: change.serial, key: change.key } };
      case "Probe": return { probe: output.server };
      default: throw new Error(`an output that no story knows: ${type}`);
    }
  }
}

/** What is drawn decides nothing, but for a probe at nearly the least moment, which would meet a step. */
const DRAWS = [() => 0.05, () => 0.5, () => 1 - 2 ** -53];

/** Without the bytes of a record, which this client does not have; what they hold stays. */
const withoutBytes = (output) => {
  if (!output.keep) return output;
  const { record, ...rest } = output.keep;
  if (typeof record !== "string" || rest.holds === undefined) throw new Error("a record without what it holds");
  return { keep: rest };
};

function play(steps, random) {
  const scene = new Scene(random);
  for (const [nth, { at_ms: at, input, outputs }] of steps.entries()) {
    const where = `step ${nth + 1}, at ${at} ms, ${JSON.stringify(input).slice(0, 200)}`;
    let came;
    try {
      scene.input(at, input);
      came = scene.outputs();
    } catch (error) {
      return `${where}: ${error.stack}`;
    }
    const wanted = outputs.map(withoutBytes);
    if (!same(came, wanted)) return `${where}:\n    came    ${JSON.stringify(came)}\n    instead of ${JSON.stringify(wanted)}`;
    // No timer is left over: the host would call again at once, for ever.
    const next = scene.client.pollTimeout();
    if (input === "timeout" && next !== null && next <= at) return `${where}: a timer is due at ${next} still`;
  }
  return null;
}

export function run(vectors) {
  const failed = [];
  for (const { story, steps } of vectors.stories) {
    const wrong = DRAWS.map((random) => play(steps, random)).find((said) => said !== null);
    if (wrong) failed.push(`${story}, ${wrong}`);
  }
  if (vectors.stories.length === 0) failed.push("there are no stories");
  for (const { session, number, id } of vectors.message_ids) if (messageId(session, number) !== id) failed.push(`the id of number ${number} of session ${session}`);
  return { passed: vectors.stories.length - failed.length, failed };
}
