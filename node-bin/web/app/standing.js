// How somebody stands in a room, and who has changed that, in words: for the one to whom it is done, and for the others.

import { clock, dayNumber, shortly } from "./time.js";

const ROLES = { owner: "an owner", moderator: "a moderator", member: "a plain member" };

/** Whether somebody who is muted until then is so now. `until`: RFC 3339, "forever", or nothing. */
export const isMuted = (until) => Boolean(until) && (until === "forever" || Date.parse(until) > Date.now());

/** `until 14:30`, `until 14:30 on 3 March`, `until a moderator ends it` */
export function untilInWords(until) {
  if (until === "forever") return "until a moderator ends it";
  return dayNumber(until) === dayNumber(Date.now()) ? `until ${clock(until)}` : `until ${clock(until)} on ${shortly(until)}`;
}

/**
 * What a frame of the stream tells those who were not meant, or null if there is nothing to tell. `by`, `whom`: names, "you" for the reader.
 */
export function told(frame, by, whom) {
  const who = by === "you" ? "You" : by;
  switch (frame.type) {
    case "kicked": return `${who} removed ${whom} from this room.`;
    case "banned": return frame.on ? `${who} banned ${whom} from this room.` : `${who} lifted the ban on ${whom}.`;
    case "muted": return isMuted(frame.until) ? `${who} muted ${whom} ${untilInWords(frame.until)}.` : frame.until ? null : `${who} let ${whom} speak again.`;
    case "role": return `${who} made ${whom} ${ROLES[frame.role]}.`;
    default: return null;
  }
}

/** The same for the one to whom it was done, who may be looking elsewhere. `room`: its name. */
export function toldYou(frame, by, room) {
  switch (frame.type) {
    case "kicked": return `${by} removed you from ${room}.`;
    case "banned": return frame.on ? `${by} banned you from ${room}.` : null;
    case "muted": return isMuted(frame.until) ? `${by} muted you in ${room} ${untilInWords(frame.until)}.` : frame.until ? null : `You may write in ${room} again: ${by} has ended your mute.`;
    case "role": return `${by} made you ${ROLES[frame.role]} of ${room}.`;
    default: return null;
  }
}

/** What stands in place of a room that one was sent away from. */
export const sentAway = ({ how, by }) => (how === "banned" ? `You are banned from this room${by ? `: ${by} did that` : ""}. A moderator can lift the ban.` : `${by} removed you from this room.`);
