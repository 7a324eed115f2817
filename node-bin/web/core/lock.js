// Which of a browser's tabs runs the session: one at a time.
//
// Web Locks say so where there are any (https and localhost). Elsewhere it is a lease in the database, renewed every second: a tab that sleeps loses it. Either may be wrong for a
// moment; what keeps the records right is their epoch (keep.js).

const NAME = "tertulia session";
const LEASE = 3000;   // ms
const RENEW = 1000;   // ms

/** Waits until this tab may run the session, then calls `granted`. The returned function gives it back, or stops waiting. */
export function lead(keep, granted) {
  if (!keep.isDurable) {
    queueMicrotask(granted);
    return () => {};
  }
  return navigator.locks ? byLock(granted) : byLease(keep, granted);
}

function byLock(granted) {
  const end = new AbortController();
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  navigator.locks.request(NAME, { signal: end.signal }, () => {
    granted();
    return held;
  }).catch(() => { /* It stopped waiting. */ });
  return () => {
    end.abort();
    release();
  };
}

function byLease(keep, granted) {
  const tab = Math.random().toString(36).slice(2);
  let [isHeld, timer] = [false, null];
  const renew = async () => {
    let isOurs = isHeld;
    try {
      isOurs = await keep.lease(tab, Date.now() + LEASE, Date.now());
    } catch { /* It is tried again; the epoch decides. */ }
    if (timer === null) return;
    if (isOurs && !isHeld) granted();
    isHeld = isOurs;
  };
  timer = setInterval(renew, RENEW);
  renew();
  return () => {
    clearInterval(timer);
    timer = null;
    if (isHeld) keep.lease(tab, 0, Date.now()).catch(() => {});
  };
}
