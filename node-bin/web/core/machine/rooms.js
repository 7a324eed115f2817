// Followed rooms: a cursor for each, events in order, without gaps, once. A port of protocol/src/client/rooms.rs, whose rules it has.

import { SENT, ascending, body, dueAt, isDue, isFinal, okTag, same, tag } from "./values.js";

/** The first place that an event stands for: its own, or where what is no longer kept begins. */
const begins = (event) => event.kind.Skipped?.from ?? event.cursor;

export const rooms = {
  /** Follows a room (`{Id: 1}`, `{Name: "lobby"}`) from a place on (`{After: cursor}`, `{Last: count}`), over all servers. Only members may: join first. */
  follow(now, room, from) {
    this.now = now;
    this.follows.set(this.nextFollow, { room, from, id: null, cursor: null, stage: dueAt(now), flowing: false });
    this.nextFollow += 1;
  },

  /** Follows every room that the session's user is in, also those joined later: each from where this client or an earlier run of it was, others from now. */
  followAll(now) {
    this.now = now;
    this.askForAll();
  },

  askForAll() {
    this.all = { stage: dueAt(this.now), flowing: false };
  },

  /** Follows a room by itself no more: it was left, say. What is on its way is dropped. */
  unfollow(room) {
    for (const [id, followed] of this.follows) {
      if (followed.id === room || same(followed.room, { Id: room })) this.follows.delete(id);
    }
    if (!this.isFollowed(room)) this.dropTail(room);
  },

  /** The last event of a room that was delivered, or where following it began. */
  cursor(room) {
    return this.cursors.get(room) ?? null;
  },

  handleEvent(now, event) {
    this.now = now;
    this.heard = now;
    if (event.cursor === 0) {
      // It has no place, and nothing is missed with it.
      this.hint(event);
      return;
    }
    const followed = [...this.follows.values()].find((one) => one.id === event.room && one.flowing);
    if (!followed) {
      this.eventOfAll(event);
      return;
    }
    const { cursor } = followed;
    if (cursor === null) return;
    // What is no longer kept is one event over all of its places.
    if (begins(event) <= cursor + 1 && event.cursor > cursor) {
      followed.cursor = event.cursor;
      this.deliver(event);
    } else if (event.cursor > cursor) {
      // Something is missing: begin again after the last one that was delivered.
      followed.flowing = false;
      followed.stage = dueAt(now);
    } else {
      this.seenAgain(event);
    }
  },

  eventOfAll(event) {
    if (!this.all) return;
    // A room of its own that is not flowing yet is begun from another place than all rooms.
    for (const followed of this.follows.values()) if (followed.id === event.room) return;
    const last = this.cursors.get(event.room);
    if (last !== undefined && event.cursor <= last) {
      this.seenAgain(event);
    } else if (last !== undefined && begins(event) > last + 1) {
      if (this.all.flowing) this.askForAll();
    } else {
      this.deliver(event);
    }
  },

  deliver(event) {
    this.outputs.push({ type: "Deliver", event });
    this.moveCursor(event.room, event.cursor);
    this.tailAfter(event);
  },

  moveCursor(room, cursor) {
    if (!this.journal.on && !this.all) return;
    this.cursors.set(room, cursor);
    // Not waited for: what is lost of it is delivered once more to the next run, never skipped.
    if (this.journal.on) this.keep({ cursor: room }, { room, cursor }, false);
  },

  /** What an outcome says about the rooms that are followed. */
  seeMembership(done) {
    const what = body(done);
    switch (tag(done)) {
      case "Joined":
        if (!this.all) break;
        if (!this.cursors.has(what.room)) this.moveCursor(what.room, what.cursor);
        // In it once more: from where on, the server says. What comes next would look like a gap, and be the last that this user may see.
        else if (this.cursors.get(what.room) < what.cursor) this.askForAll();
        break;
      case "Room":
        if (what.created && this.all && !this.cursors.has(what.room)) this.moveCursor(what.room, 0);
        break;
      case "Left":
        if (this.cursors.delete(what.room) && this.journal.on) this.forget({ cursor: what.room });
        this.dropTail(what.room);
        break;
      default:
    }
  },

  dueFollows(due) {
    for (const [id, followed] of this.follows) {
      if (!isDue(followed.stage, this.now)) continue;
      followed.stage = SENT;
      const from = followed.cursor === null ? followed.from : { After: followed.cursor };
      due.push([{ kind: "Follow", of: id }, { Follow: { room: followed.room, from } }]);
    }
    if (this.all && isDue(this.all.stage, this.now)) {
      this.all.stage = SENT;
      const after = new Map(this.cursors);
      // The server has one place for each room, whoever names it.
      for (const { id, cursor } of this.follows.values()) if (id !== null && cursor !== null) after.set(id, cursor);
      due.push([{ kind: "All" }, { FollowAll: { after: ascending(after).map((room) => [room, after.get(room)]) } }]);
    }
  },

  answeredFollow(id, result) {
    const againAt = this.retryAt(result);
    const followed = this.follows.get(id);
    if (!followed) return;
    if (okTag(result) === "Following") {
      const { room, cursor } = body(result.Ok);
      followed.id = room;
      followed.flowing = true;
      // A server that is behind names an earlier place than the one that was asked for: what lies between was seen.
      const beginning = followed.from.After === undefined ? cursor : Math.max(followed.from.After, cursor);
      // A later place than this client has come to: what lies between is not this user's to see any more.
      followed.cursor = Math.max(followed.cursor ?? beginning, cursor);
      this.askForTail(room);
    } else if (isFinal(result)) {
      this.follows.delete(id);
      this.outputs.push({ type: "Unfollowed", room: followed.room, refusal: result.Err });
      if (followed.id !== null && !this.isFollowed(followed.id)) this.dropTail(followed.id);
    } else {
      followed.stage = dueAt(againAt);
    }
  },

  answeredAll(result) {
    const againAt = this.retryAt(result);
    if (!this.all) return;
    if (okTag(result) !== "FollowingAll") {
      this.all.stage = dueAt(againAt);
      return;
    }
    this.all.flowing = true;
    const { cursors } = body(result.Ok);
    for (const [room, cursor] of cursors) {
      const last = this.cursors.get(room);
      if (last === undefined || last < cursor) this.moveCursor(room, cursor);
    }
    this.askForTails(cursors);
  },

  /** Everything that is followed is asked for anew, on the next connection. */
  followAgain() {
    for (const followed of this.follows.values()) {
      followed.stage = dueAt(this.now);
      followed.flowing = false;
    }
    if (this.all) this.askForAll();
    this.doubtTails();
  },
};
