// What a person has not said yet, beyond the life of the page: the draft of each room, and own posts that were refused. In localStorage, under the session's name.
//
// Each draft and each refused post has an entry of its own, and is written when it has changed: so what one tab writes takes nothing away that another one has written. Of a change
// the other tabs are told by the browser. A refused post has the number of its command, which is the same in every tab: they all hear that it was refused, and keep it once.

const REFUSED_KEPT = 50;   // of each room

export class Kept {
  #name; #area; #changed;
  #drafts = new Map();    // room -> text
  #refused = new Map();   // room -> Map: number -> post

  /** `name`: of the session. `changed(room)`: another tab has changed what is kept of it. `area`: where it is kept; null keeps it as long as the page. */
  constructor(name, changed, area = areaOfPage()) {
    this.#name = name;
    this.#area = area;
    this.#changed = changed;
    this.#eachEntry((key, value) => this.#take(key, value));
    globalThis.addEventListener?.("storage", this.#heard);
  }

  draft(room) { return this.#drafts.get(room) ?? ""; }

  /** Refused posts of a room, as they were written. */
  refused(room) { return [...(this.#refused.get(room)?.values() ?? [])].sort((a, b) => a.at - b.at); }

  setDraft(room, text) {
    if (text === this.draft(room)) return;
    this.#drafts.set(room, text);
    this.#write(`draft.${room}`, text || null);
  }

  refuse(room, post) {
    const posts = this.#posts(room);
    posts.set(post.number, post);
    this.#write(`refused.${room}.${post.number}`, JSON.stringify(post));
    for (const { number } of this.refused(room).slice(0, -REFUSED_KEPT)) this.discard(room, number);
  }

  discard(room, number) {
    this.#refused.get(room)?.delete(number);
    this.#write(`refused.${room}.${number}`, null);
  }

  /** Nothing of it is left here, and nothing more is kept. */
  forget() {
    this.close();
    const entries = [];
    this.#eachEntry((key) => entries.push(key));
    for (const key of entries) this.#write(key, null);
    this.#area = null;
  }

  close() { globalThis.removeEventListener?.("storage", this.#heard); }

  #posts(room) {
    if (!this.#refused.has(room)) this.#refused.set(room, new Map());
    return this.#refused.get(room);
  }

  /** An entry as it stands there; null where it is gone. The room that it is of. */
  #take(key, value) {
    const [what, id, number] = key.split(".");
    const room = Number(id);
    if (what === "draft") this.#drafts.set(room, value ?? "");
    else if (what === "refused" && value === null) this.#refused.get(room)?.delete(Number(number));
    else if (what === "refused") this.#takePost(room, Number(number), value);
    else return null;
    return room;
  }

  /** One that this tab has, too, keeps the form that it has here. */
  #takePost(room, number, value) {
    const posts = this.#posts(room);
    if (posts.has(number)) return;
    try { posts.set(number, JSON.parse(value)); } catch { /* It is no post: somebody has written there. */ }
  }

  #heard = ({ storageArea, key, newValue }) => {
    if (storageArea !== this.#area || !key?.startsWith(`${this.#name}.`)) return;
    const room = this.#take(key.slice(this.#name.length + 1), newValue);
    if (room !== null) this.#changed(room);
  };

  #eachEntry(act) {
    const begin = `${this.#name}.`;
    try {
      const keys = Array.from({ length: this.#area?.length ?? 0 }, (_, nth) => this.#area.key(nth));
      for (const key of keys) if (key.startsWith(begin)) act(key.slice(begin.length), this.#area.getItem(key));
    } catch { /* It may not be read: then nothing was kept. */ }
  }

  #write(key, value) {
    try {
      if (value === null) this.#area?.removeItem(`${this.#name}.${key}`); else this.#area?.setItem(`${this.#name}.${key}`, value);
    } catch { /* There is no room: it lives as long as the page. */ }
  }
}

function areaOfPage() {
  try { return globalThis.localStorage ?? null; } catch { return null; }
}
