// Tentative messages of followed rooms: each room's *tail*, behind its committed messages. A port of protocol/src/client/tail.rs, whose rules it has.

import { SENT, ascending, body, compareIds, compareOrders, dueAt, isDue, isFinal, okTag, same } from "./values.js";

/** Messages of one room's tail. */
const LIMIT = 2000;
/** Ids that are remembered of messages that are tentative no more. */
const REMEMBERED = 1024;

const compare = (a, b) => compareOrders(a.order, b.order) || compareIds(a.id, b.id);
const earlier = (order, known) => (known && compareOrders(known, order) < 0 ? known : order);

class Tail {
  /** In their order. */
  posts = [];
  /** Their places, by their ids. */
  places = new Map();
  /** Told on an earlier connection, and not by this one's server. */
  doubtful = new Set();
  /** What is doubtful goes when the room's events through here have been delivered. */
  until = null;
  /** The question for what this server knows. */
  stage = null;

  isNeeded() {
    return this.posts.length > 0 || this.stage === SENT;
  }

  /** Where a post stands, or would. */
  indexOf(post) {
    let [low, high] = [0, this.posts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.posts[middle], post) < 0) low = middle + 1; else high = middle;
    }
    return low;
  }

  remove(id) {
    this.doubtful.delete(id);
    const order = this.places.get(id);
    if (order === undefined) return null;
    this.places.delete(id);
    const [post] = this.posts.splice(this.indexOf({ id, order }), 1);
    return post;
  }

  /**
   * Takes a message in, or its new state. False: nothing is different.
   *
   * The same message may have come to several nodes, and stands where it stood first: no screen shows it jump behind what was written later.
   */
  put(told) {
    const { id } = told;
    this.doubtful.delete(id);
    const known = this.places.get(id);
    const post = { ...told, order: earlier(told.order, known) };
    if (known !== undefined && same(this.posts[this.indexOf({ id, order: known })], post)) return false;
    const wasThere = this.remove(id) !== null;
    if (this.posts.length >= LIMIT) {
      const newest = this.posts.at(-1);
      if (compare(newest, post) <= 0) return wasThere;
      this.remove(newest.id);
    }
    this.places.set(id, post.order);
    this.posts.splice(this.indexOf(post), 0, post);
    return true;
  }

  /** What is shown comes from another server. */
  doubt() {
    this.doubtful = new Set(this.places.keys());
    this.until = null;
  }

  /** Drops what is doubtful where the room has come to `cursor`. */
  dropDoubtful(cursor) {
    if (this.until === null || cursor < this.until) return false;
    this.until = null;
    const { doubtful } = this;
    this.doubtful = new Set();
    let dropped = 0;
    for (const id of doubtful) dropped += this.remove(id) ? 1 : 0;
    return dropped > 0;
  }
}

export const tail = {
  /** The tentative messages of a room, in the order in which they are shown behind the committed ones. */
  tail(room) {
    return this.tails.get(room)?.posts ?? [];
  },

  /** An event without a place. */
  hint(event) {
    const { room, kind } = event;
    if (kind.Withdrawn) {
      this.hurry(kind.Withdrawn.id);
      this.withdrawPost(room, kind.Withdrawn.id, kind.Withdrawn.refusal);
    } else if (kind.Tentative || kind.Tail) {
      if (!this.isFollowed(room)) return;
      if (kind.Tail) this.replaceTail(room, kind.Tail); else this.tentative(room, kind.Tentative);
    } else {
      this.outputs.push({ type: "Deliver", event });
    }
  },

  tentative(room, post) {
    if (this.remembered.includes(post.id)) return;
    if (!this.tails.has(room)) this.tails.set(room, new Tail());
    if (this.tails.get(room).put(post)) this.tailChanged(room);
  },

  replaceTail(room, posts) {
    const [own, gone] = [this.ownAccepted(), new Set(this.remembered)];
    const before = this.tails.get(room) ?? new Tail();
    const now = new Tail();
    now.stage = before.stage === SENT ? SENT : null;
    for (const post of [...before.posts.filter(({ id }) => own.has(id)), ...posts]) {
      if (!gone.has(post.id)) now.put({ ...post, order: earlier(post.order, before.places.get(post.id)) });
    }
    this.tails.set(room, now);
    if (same(now.posts, before.posts)) this.tidy(room); else this.tailChanged(room);
  },

  /** A tentative message was refused. */
  withdrawPost(room, id, refusal) {
    const post = this.tails.get(room)?.remove(id);
    if (!post) return;
    this.remember(id);
    this.outputs.push({ type: "Withdrawn", room, post, refusal });
    this.tailChanged(room);
  },

  /** An own command that was accepted is refused: its message goes with it, if the room was not told before. */
  ownRefused(id, refusal) {
    const room = ascending(this.tails).find((one) => this.tails.get(one).places.has(id));
    if (room !== undefined) this.withdrawPost(room, id, refusal);
  },

  /** An event of this room was delivered. */
  tailAfter({ room, cursor, kind }) {
    if (kind.Posted) {
      this.remember(kind.Posted.id);
      this.hurry(kind.Posted.id);
    }
    const known = this.tails.get(room);
    if (!known) return;
    let isChanged = known.dropDoubtful(cursor);
    if (kind.Posted) {
      isChanged = known.remove(kind.Posted.id) !== null || isChanged;
    } else if (kind.Changed) {
      const { Left, Kicked, Banned } = kind.Changed.change;
      const out = Left ?? Kicked ?? (Banned?.on ? Banned : undefined);
      if (out && out.user === this.user) {
        this.dropTail(room);
        return;
      }
    } else if (kind.Skipped) {
      // Any of them may have been committed among what is no longer kept.
      this.askForTail(room);
    }
    if (isChanged) this.tailChanged(room);
  },

  /** A server that is behind sends again what was delivered: what is committed is tentative no more. */
  seenAgain({ room, kind }) {
    if (kind.Posted && this.tails.get(room)?.remove(kind.Posted.id)) {
      this.remember(kind.Posted.id);
      this.tailChanged(room);
    }
  },

  /** The room is followed (again): what is shown of it may not be what this server knows. */
  askForTail(room) {
    const known = this.tails.get(room);
    if (!known) return;
    known.doubt();
    known.stage = known.posts.length > 0 ? dueAt(this.now) : null;
  },

  /** All rooms of the session are followed (again), these: what is shown of others is not this user's to see any more. */
  askForTails(cursors) {
    const rooms = new Set(cursors.map(([room]) => room));
    for (const room of ascending(this.tails)) {
      const byItself = [...this.follows.values()].some((followed) => followed.id === room);
      if (byItself) continue;
      if (rooms.has(room)) this.askForTail(room); else this.dropTail(room);
    }
  },

  dueTails(due) {
    for (const room of ascending(this.tails)) {
      const known = this.tails.get(room);
      if (!known.stage || !isDue(known.stage, this.now)) continue;
      known.stage = SENT;
      due.push([{ kind: "Tail", of: room }, { Tentative: { room: { Id: room } } }]);
    }
  },

  answeredTail(room, result) {
    const againAt = this.retryAt(result);
    const known = this.tails.get(room);
    if (!known) return;
    if (okTag(result) === "Tentative") {
      const [own, gone] = [this.ownAccepted(), new Set(this.remembered)];
      const { cursor, posts } = body(result.Ok);
      known.stage = null;
      let isChanged = false;
      for (const post of posts) if (!gone.has(post.id)) isChanged = known.put(post) || isChanged;
      for (const id of known.doubtful) if (own.has(id)) known.doubtful.delete(id);
      known.until = Math.max(known.until ?? cursor, cursor);
      isChanged = known.dropDoubtful(this.placeIn(room) ?? cursor) || isChanged;
      if (isChanged) this.tailChanged(room); else this.tidy(room);
    } else if (isFinal(result)) {
      this.dropTail(room);
    } else {
      known.stage = dueAt(againAt);
      this.tidy(room);
    }
  },

  /** Every room is to be followed anew, on the next connection. */
  doubtTails() {
    for (const [room, known] of this.tails) {
      known.stage = null;
      known.doubt();
      if (!known.isNeeded()) this.tails.delete(room);
    }
  },

  /** The room is followed no more. */
  dropTail(room) {
    const known = this.tails.get(room);
    this.tails.delete(room);
    if (known && known.posts.length > 0) this.tailChanged(room);
  },

  isFollowed(room) {
    return this.all !== null || [...this.follows.values()].some((followed) => followed.id === room);
  },

  /** The last event of a room that was delivered. */
  placeIn(room) {
    const followed = [...this.follows.values()].find((one) => one.id === room);
    return followed ? followed.cursor : this.cursor(room);
  },

  /** Told once for several changes in a row, and behind what was delivered among them. */
  tailChanged(room) {
    this.tidy(room);
    this.outputs = this.outputs.filter((output) => !(output.type === "Tail" && output.room === room));
    this.outputs.push({ type: "Tail", room });
  },

  tidy(room) {
    const known = this.tails.get(room);
    if (known && !known.isNeeded()) this.tails.delete(room);
  },

  remember(id) {
    if (this.remembered.length === REMEMBERED) this.remembered.shift();
    this.remembered.push(id);
  },

  /** Messages of this client that are accepted and not settled. */
  ownAccepted() {
    const own = new Set();
    for (const { accepted } of this.commands.values()) if (accepted) own.add(accepted.id);
    return own;
  },
};
