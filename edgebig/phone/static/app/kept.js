// A browser's own cache holds nothing of a page whose certificate it does not trust; what the page keeps itself, stays.
// Nothing kept is believed but by its hash: the host's etag is the beginning of the file's SHA-256.
const CACHE = "edgebig";
const HASH = /^"([0-9a-f]{32})"$/;

// As fetch(url, {headers}); what is kept is taken where the host says that it is still the same, and is what the host says.
export async function fetchKept(url, headers = {}) {
  const cache = await opened();
  const kept = await cache?.match(url);
  const etag = kept?.headers.get("etag");
  const response = await fetch(url, { headers: etag ? { ...headers, "If-None-Match": etag } : headers });
  if (response.status === 304) {
    const bytes = await kept.arrayBuffer();
    if (etag === response.headers.get("etag") && (await isHash(bytes, etag))) {
      return new Response(bytes, { headers: { "content-type": kept.headers.get("content-type") } });
    }
    await cache.delete(url);
    return fetchKept(url, headers);
  }
  // A full disk, or a browser that keeps nothing, is no fault.
  if (cache && response.ok && HASH.test(response.headers.get("etag"))) cache.put(url, response.clone()).catch(() => {});
  return response;
}

// Forgets what is kept in a folder and is none of these addresses: models come and go.
export async function forgetOthers(folder, urls) {
  const cache = await opened();
  for (const { url } of (await cache?.keys()) ?? []) {
    if (url.startsWith(folder) && !urls.includes(url)) await cache.delete(url);
  }
}

async function opened() {
  const worker = self.navigator.serviceWorker?.controller; // of an exported page, which keeps all files itself
  if (self.location.protocol !== "https:" || worker || !self.caches || !self.crypto.subtle) return null;
  return self.caches.open(CACHE).catch(() => null);
}

async function isHash(bytes, etag) {
  const digest = new Uint8Array(await self.crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.slice(0, 32) === HASH.exec(etag)?.[1];
}
