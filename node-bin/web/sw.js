// The service worker: the page comes up though its node is dead, and always as a whole.
//
// - The server writes into this file the hash of every file of its release, and their *version*. So another release has another worker. It fetches all files of its release at
//   its installation into a cache of that version, and looks at each one's hash: behind a proxy with two releases it is not installed, and tried again later.
// - A page gets all of its files from the version that its first file came from. Which one that was stands in the cache itself, by the page's id, since a worker is ended and begun
//   anew at any time. So after an upgrade the next load is new as a whole, and a page that stands goes on with its own files. A version that no page uses any more is dropped.
// - The page itself is asked for again behind its back, for its headers: its policy names the cluster's members, and those change.
// - Nothing under /api/ is touched, nor anything else that is not in the list.

const SHELL = /* what the server writes here */ null;
const PREFIX = "tertulia ";
const CACHE = PREFIX + SHELL?.version;
const FILES = SHELL?.files ?? {};
const ALIASES = { "/index.html": "/", "/cluster.html": "/cluster" };
/** Where a version notes which pages are its own. */
const OF = "/pages of this version/";

/** The cache of each page's version, as far as it was asked for. */
const pages = new Map();

const plain = (etag) => etag?.replace(/^W\//, "") ?? null;

/** Fetches a file of this release; throws where it is another release's. */
async function fetchOwn(path) {
  const response = await fetch(path, { cache: "no-cache", credentials: "omit" });
  const etag = plain(response.headers.get("ETag"));
  if (!response.ok || (etag !== null && etag !== FILES[path])) throw new Error(`${path} is not this release's`);
  return response;
}

async function install() {
  const cache = await caches.open(CACHE);
  try {
    await Promise.all(Object.keys(FILES).map(async (path) => cache.put(path, await fetchOwn(path))));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
  await self.skipWaiting();
}

/** The version that a page is made of. */
async function versionOf(page) {
  if (!pages.has(page)) {
    let version = CACHE;
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && await (await caches.open(name)).match(OF + page)) version = name;
    }
    pages.set(page, version);
  }
  return pages.get(page);
}

/** Drops what no page needs any more. `newcomer`: a page that is only coming. */
async function tidy(newcomer) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const alive = new Set([newcomer, ...windows.map(({ id }) => id)]);
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
  }
}

/** The page's present headers; and if the node has another release, that one's worker. */
async function refresh(path) {
  try {
    await (await caches.open(CACHE)).put(path, await fetchOwn(path));
  } catch {
    await self.registration.update().catch(() => { /* The node does not answer. */ });
  }
}

async function open(event, path) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(path);
  if (!kept) return fetch(event.request);
  const page = event.resultingClientId;
  pages.set(page, CACHE);
  await cache.put(OF + page, new Response(null));
  event.waitUntil(refresh(path));
  event.waitUntil(tidy(page));
  return kept;
}

async function file(event, path) {
  const cache = await caches.open(await versionOf(event.clientId));
  return (await cache.match(path)) ?? fetch(event.request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const path = ALIASES[url.pathname] ?? url.pathname;
  if (request.method !== "GET" || url.origin !== self.location.origin || !Object.hasOwn(FILES, path)) return;
  event.respondWith(request.mode === "navigate" ? open(event, path) : file(event, path));
});
