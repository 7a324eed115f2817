// The service worker: the page comes up though its node is dead, and always as a whole.
//
// - The server writes into this file the hash of every file of its release, and their *version*. So another release has another worker. It fetches all files of its release at
//   its installation into a cache of that version, and looks at each one's hash: behind a proxy with two releases it is not installed, and tried again later.
// - A page gets all of its files from the version that its first file came from. Which one that was stands in the cache itself, by the page's id, since a worker is ended and begun
//   anew at any time. So after an upgrade the next load is new as a whole, and a page that stands goes on with its own files. A version that no page uses any more is dropped.
// - The page itself is asked for each time, and comes out of the cache if there is no answer soon: its policy names the cluster's members, and those change.
// - Where only a service worker may show notifications (telephones), it brings the page forward when one is pressed.
// - Nothing under /api/ is touched, nor anything else that is not in the list.

const SHELL = /* what the server writes here */ null;
const PREFIX = "tertulia ";
const CACHE = PREFIX + SHELL?.version;
const FILES = SHELL?.files ?? {};
const ALIASES = { "/index.html": "/", "/cluster.html": "/cluster" };
/** Where a version notes which pages are its own. */
const OF = "/pages of this version/";

/** How long the node has to send the page, in ms. */
const ANSWER_WITHIN = 700;

/** The cache of each page's version, as far as it was asked for. */
const pages = new Map();

/** The file's own hash: the ETag of a page has its policy's behind it. Null where somebody between has taken it away. */
const hashOf = (response) => response.headers.get("ETag")?.match(/^(?:W\/)?"(\w+)/)?.[1] ?? null;

/** A file came that is not of this release. */
class OtherRelease extends Error {}

/** Fetches a file of this release. */
async function fetchOwn(path, signal) {
  const response = await fetch(path, { cache: "no-cache", credentials: "omit", signal });
  const hash = hashOf(response);
  if (!response.ok || (hash !== null && hash !== FILES[path])) throw new OtherRelease(`${path} is not this release's`);
  return response;
}

async function install() {
  const isNew = !await caches.has(CACHE);
  const cache = await caches.open(CACHE);
  const files = await Promise.allSettled(Object.keys(FILES).map(async (path) => cache.put(path, await fetchOwn(path))));
  const failed = files.find(({ status }) => status === "rejected");
  if (failed) {
    if (isNew) await caches.delete(CACHE);
    throw failed.reason;
  }
  await self.skipWaiting();
}

/** Pages that came without a worker are of this version, as far as anybody knows. */
async function activate() {
  const cache = await caches.open(CACHE);
  for (const { id } of await self.clients.matchAll({ type: "window", includeUncontrolled: true })) {
    if (await noted(id) === null) await cache.put(OF + id, new Response(null));
  }
  await self.clients.claim();
}

/** The version under which a page is noted, or null. */
async function noted(page) {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && await (await caches.open(name)).match(OF + page)) return name;
  }
  return null;
}

/** The version that a page is made of. */
async function versionOf(page) {
  if (!pages.has(page)) pages.set(page, await noted(page) ?? CACHE);
  return pages.get(page);
}

/** Drops what no page needs any more, of this version and of those before it. `newcomer`: a page that is only coming. */
async function tidy(newcomer) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const alive = new Set([newcomer, ...windows.map(({ id }) => id)]);
  // In the order in which they were made: what comes behind is the next version's, whose pages are only to come.
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX)) continue;
    const cache = await caches.open(name);
    let isUsed = name === CACHE;
    for (const { url } of await cache.keys()) {
      const path = decodeURIComponent(new URL(url).pathname);
      if (!path.startsWith(OF)) continue;
      if (alive.has(path.slice(OF.length))) isUsed = true; else await cache.delete(url);
    }
    if (!isUsed) await caches.delete(name);
    if (name === CACHE) break;
  }
}

/** The page as the node has it now, or null. If the node has another release, its worker is asked for: the next load is of it. */
async function fresh(path, cache, event) {
  try {
    const response = await fetchOwn(path, AbortSignal.timeout(ANSWER_WITHIN));
    await cache.put(path, response.clone());
    return response;
  } catch (error) {
    if (error instanceof OtherRelease) event.waitUntil(self.registration.update().catch(() => { /* It is asked for again. */ }));
    return null;
  }
}

async function open(event, path) {
  const cache = await caches.open(CACHE);
  const page = event.resultingClientId;
  pages.set(page, CACHE);
  await cache.put(OF + page, new Response(null));
  event.waitUntil(tidy(page));
  return (await fresh(path, cache, event)) ?? (await cache.match(path)) ?? fetch(event.request);
}

async function file(event, path) {
  const cache = await caches.open(await versionOf(event.clientId));
  return (await cache.match(path)) ?? fetch(event.request);
}

/** Brings the page forward at the message that a notification was about. */
async function show(hash) {
  const [page] = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (!page) return self.clients.openWindow(`/${hash}`);
  page.postMessage({ go: hash });
  return page.focus();
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data));
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const path = ALIASES[url.pathname] ?? url.pathname;
  if (request.method !== "GET" || url.origin !== self.location.origin || !Object.hasOwn(FILES, path)) return;
  event.respondWith(request.mode === "navigate" ? open(event, path) : file(event, path));
});
