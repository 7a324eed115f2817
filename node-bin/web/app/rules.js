// A room's rules, in words and as choices.

const WHO = { members: "all members", moderators: "moderators", nobody: "nobody" };
const KINDS = { public: "Anybody finds and joins it", private: "By invitation", group: "By invitation", direct: "Two people" };

export function historyInWords(history) {
  if (typeof history === "object") return `the last ${history.last.toLocaleString()} messages`;
  return { all: "everything, for every member", "since-join": "for each member, from when it joined", none: "until everybody has read it" }[history] ?? "everything";
}

export function tentativeInWords(tentative) {
  if (typeof tentative === "object") return `messages are taken once ${tentative.copies} nodes hold them`;
  return tentative === "refuse" ? "messages wait on the writer's device" : "messages are taken, and get their place later";
}

/** Pairs of what is ruled and how. */
export function rulesInWords(room) {
  const { rules } = room;
  return [
    ["Who may come in", KINDS[room.kind]],
    ["Members", room.memberCount.toLocaleString()],
    ["Who writes", WHO[rules.post] ?? rules.post],
    ...(room.kind === "public" ? [] : [["Who invites", WHO[rules.invite] ?? rules.invite]]),
    ["Kept", historyInWords(rules.history)],
    ["Changing one's messages", rules.edits ? "allowed" : "not allowed"],
    ["Without a majority", tentativeInWords(rules.tentative)],
    ["Longest message", `${(rules.text_bytes ?? 4096).toLocaleString()} bytes`],
    ...(room.archived ? [["Archived", "nobody writes here any more"]] : []),
  ];
}
