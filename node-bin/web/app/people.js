// Users, as far as this page has heard of them. Messages carry names; what else is to be shown of somebody is asked for when it is needed, once.

const AT_ONCE = 4;          // questions under way
const ASK_AGAIN = 30_000;   // ms after one that had no answer

export class People {
  constructor(store) {
    this.store = store;
    this.known = new Map();     // id -> {id, name, shown, ambiguous, deleted, online}
    this.wanted = new Set();
    this.asked = new Map();     // id -> when, of those that had no answer
    this.running = 0;
    this.version = 0;           // another one when somebody is called otherwise
  }

  take(view) {
    const before = this.known.get(view.id);
    if (!before || before.shown !== view.shown || before.ambiguous !== view.ambiguous) this.version += 1;
    this.known.set(view.id, { ...before, id: view.id, name: view.name, shown: view.shown, ambiguous: view.ambiguous, deleted: view.deleted, online: view.online });
    return view;
  }

  online(id, online) {
    const user = this.known.get(id);
    if (user) user.online = online;
  }

  /** What is known of a user; if that is nothing, it will be asked for. */
  get(id) {
    const user = this.known.get(id);
    if (!user && id && !(Date.now() - (this.asked.get(id) ?? 0) < ASK_AGAIN)) {
      this.wanted.add(id);
      this.run();
    }
    return user;
  }

  /** As people call somebody: the name that is shown, with the id where it stands for several. */
  label(id, name) {
    const user = this.known.get(id);
    if (!user) return name || `user ${id}`;
    return user.ambiguous ? `${user.shown || user.name} #${id}` : user.shown || user.name;
  }

  async run() {
    if (this.running >= AT_ONCE) return;
    this.running += 1;
    try {
      while (this.wanted.size) {
        const [id] = this.wanted;
        this.wanted.delete(id);
        this.asked.set(id, Date.now());
        try {
          this.take(await this.store.session.http("GET", `/api/v1/users/${id}`));
          this.asked.delete(id);
          this.store.changed();
        } catch { /* Asked again when it is needed again, later. */ }
      }
    } finally {
      this.running -= 1;
    }
  }
}
