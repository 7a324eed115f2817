// What outlives the page, in IndexedDB: the session, the client machine's records, the commands that wait to be given to it, the members' addresses.
//
// - One session a browser and origin. Of its tabs one runs the machine (lock.js); only that one writes records. Each turn at it begins a new *epoch*, and each of its transactions
//   looks whether the epoch is still its own: a tab that was asleep while another took over changes nothing any more, whatever a lock says.
// - Changes are carried out in the order in which they were handed out; any beginning of them is a state that the machine was in.
// - A command is put into the *inbox* by the tab in which it is written, in a transaction that is complete when the call returns: it needs no page any more to be carried out. There it
//   stands until the machine has taken it: its record is written and the inbox's entry deleted in one transaction. Rows name their session.
// - Where a browser keeps nothing (a private window), MemoryKeep does as if it did.

const NAME = "tertulia";
const VERSION = 1;
const OPEN_WITHIN = 4000;  // ms; a browser that does not answer keeps nothing

/** Another tab has taken over, or the session was ended: what this one wanted to write is not written. */
export class Superseded extends Error {
  constructor() { super("another tab goes on with this session"); }
}

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const finished = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onerror = () => reject(transaction.error);
  transaction.onabort = () => reject(transaction.error ?? new Superseded());
});

function carryOut(transaction, changes) {
  const [records, inbox] = [transaction.objectStore("records"), transaction.objectStore("inbox")];
  for (const { put, drop, unbox } of changes) {
    if (put) records.put(put);
    if (drop !== undefined) records.delete(drop);
    if (unbox !== undefined) inbox.delete(unbox);
  }
}

/** Opens what this origin keeps. Never fails: at worst nothing is kept. */
export async function openKeep() {
  try {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const database = request.result;
      // Values under "session", "epoch", "members", "followed", "lease".
      database.createObjectStore("meta");
      // {name, of, key, record, note}; `name` is the key as text, `of` the session's id.
      database.createObjectStore("records", { keyPath: "name" });
      // {tag, of, command, at}
      database.createObjectStore("inbox", { keyPath: "tag" });
    };
    const late = new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("the database does not open")), OPEN_WITHIN);
    });
    return new Keep(await Promise.race([done(request), late]));
  } catch {
    return new MemoryKeep();
  }
}

class Keep {
  isDurable = true;

  constructor(database) {
    this.database = database;
    // A newer page wants another form: it goes on with what is written.
    database.onversionchange = () => database.close();
  }

  begin(stores, mode, durability = "relaxed") {
    return this.database.transaction(stores, mode, { durability });
  }

  get(key) {
    return done(this.begin("meta", "readonly").objectStore("meta").get(key));
  }

  async set(key, value) {
    const transaction = this.begin("meta", "readwrite");
    transaction.objectStore("meta").put(value, key);
    await finished(transaction);
  }

  /** The session: {user, id, token}, or null. */
  async session() {
    return (await this.get("session")) ?? null;
  }

  /** A session begins, or (with null) ends: nothing of a former one is left, and whoever runs it finds that out. */
  async beginSession(session) {
    const transaction = this.begin(["meta", "records", "inbox"], "readwrite", "strict");
    const meta = transaction.objectStore("meta");
    const epoch = (await done(meta.get("epoch"))) ?? 0;
    meta.put(epoch + 1, "epoch");
    if (session) meta.put(session, "session"); else meta.delete("session");
    transaction.objectStore("records").clear();
    transaction.objectStore("inbox").clear();
    await finished(transaction);
  }

  /** This tab runs the machine from now on: {epoch, session, records, inbox}; `session` is null if there is none (any more). */
  async takeOver() {
    const transaction = this.begin(["meta", "records", "inbox"], "readwrite", "strict");
    const meta = transaction.objectStore("meta");
    const epoch = ((await done(meta.get("epoch"))) ?? 0) + 1;
    meta.put(epoch, "epoch");
    const session = (await done(meta.get("session"))) ?? null;
    const records = await done(transaction.objectStore("records").getAll());
    const inbox = await done(transaction.objectStore("inbox").getAll());
    await finished(transaction);
    const isPresent = ({ of }) => of === session?.id;
    return { epoch, session, records: records.filter(isPresent), inbox: inbox.filter(isPresent) };
  }

  /**
   * Carries out changes: {put: {name, of, key, record, note}}, {drop: name}, {unbox: tag}. `sync`: something waits for them to be durable.
   * Throws Superseded where the epoch is over.
   */
  async write(epoch, changes, sync) {
    const transaction = this.begin(["meta", "records", "inbox"], "readwrite", sync ? "strict" : "relaxed");
    const present = transaction.objectStore("meta").get("epoch");
    present.onsuccess = () => {
      if (present.result === epoch) carryOut(transaction, changes); else transaction.abort();
    };
    await finished(transaction);
  }

  /** A command, for the tab that runs the machine. Nothing that happens to this page later takes it back. */
  async box(entry) {
    const transaction = this.begin("inbox", "readwrite");
    transaction.objectStore("inbox").put(entry);
    transaction.commit();
    await finished(transaction);
  }

  inbox() {
    return done(this.begin("inbox", "readonly").objectStore("inbox").getAll());
  }

  /** Takes the lease if it is nobody's, this tab's, or run out: whether it is this tab's now. `until` 0 gives it back. */
  async lease(tab, until, now) {
    const transaction = this.begin("meta", "readwrite");
    const meta = transaction.objectStore("meta");
    const held = await done(meta.get("lease"));
    const isFree = !held || held.tab === tab || held.until <= now;
    if (isFree) meta.put({ tab, until }, "lease");
    await finished(transaction);
    return isFree;
  }
}

/** Keeps nothing beyond the page. */
export class MemoryKeep {
  isDurable = false;
  #meta = new Map();
  async get(key) { return this.#meta.get(key); }
  async set(key, value) { this.#meta.set(key, value); }
  async session() { return this.#meta.get("session") ?? null; }
  async beginSession(session) { this.#meta.set("session", session); }
  async takeOver() { return { epoch: 0, session: await this.session(), records: [], inbox: [] }; }
  async write() { /* The machine has it in memory. */ }
  async box() { /* Nobody else would find it. */ }
  async inbox() { return []; }
}
