// The way to the host: requests with the token, server-sent events read by fetch (EventSource sends no header), and
// numbered events that are sent again after a drop.
import { fetchKept, forgetOthers } from "./kept.js";

const TOKEN_HEADER = "X-Edgebig-Token";
// The host sends a comment more often than this; a phone that slept finds its stream dead.
const SILENT_MS = 30_000;
const RETRY_MS = [500, 1000, 2000, 4000];
const SEND_AT_BYTES = 200_000;
const SEND_EVERY_MS = 700;
const MOST_EVENTS = 300;

export class Refused extends Error {
  constructor(status, { problem, hint, ...rest }) {
    super([problem ?? `the host answered ${status}`, hint].filter(Boolean).join(": "));
    Object.assign(this, { status, rest });
  }

  // Whether asking again is of no use.
  get final() {
    return this.status < 500 && this.status !== 429;
  }
}

export function tokenOf(hash) {
  return new URLSearchParams(hash.slice(1)).get("t");
}

export class Link {
  constructor(token, base = new URL("../", import.meta.url)) {
    this.token = token;
    this.base = base;
  }

  async fetch(path, options = {}) {
    const headers = { ...options.headers, ...this.headers };
    return this.granted(await fetch(new URL(path, this.base), { ...options, headers }));
  }

  get headers() {
    return this.token ? { [TOKEN_HEADER]: this.token } : {};
  }

  async granted(response) {
    if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
    return response;
  }

  async json(path, body) {
    if (body === undefined) return (await this.fetch(path)).json();
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    return (await this.fetch(path, options)).json();
  }

  async bytes(path) {
    return new Uint8Array(await (await this.fetch(path)).arrayBuffer());
  }

  // As bytes(path), of what is the same at each visit.
  async kept(path) {
    const response = await this.granted(await fetchKept(new URL(path, this.base).href, this.headers));
    return new Uint8Array(await response.arrayBuffer());
  }

  // Keeps of a folder only these paths.
  async keepOnly(folder, paths) {
    const address = (path) => new URL(path, this.base).href;
    await forgetOthers(address(folder), paths.map(address)).catch(() => {});
  }

  // The host's events from now on, over drops and sleep: {event, data}. has(): the number of the job at work, or 0.
  // Throws Refused where the host no longer wants this phone. told(true | false): whether the host answers. Ends with the
  // event "end", or when `left` is aborted.
  async *events(phone, has, told, left) {
    for (let failures = 0; !left.aborted;) {
      const abort = new AbortController();
      left.addEventListener("abort", () => abort.abort(), { once: true });
      const watch = new Watch(() => abort.abort());
      try {
        const response = await this.fetch(`api/job?phone=${encodeURIComponent(phone)}&has=${has()}`, {
          signal: abort.signal,
        });
        told(true);
        failures = 0;
        for await (const event of serverSentEvents(response.body, () => watch.heard())) {
          yield event;
          if (event.event === "end") return;
        }
      } catch (error) {
        if (error.final) throw error;
      } finally {
        watch.end();
        abort.abort();
      }
      if (left.aborted) return;
      told(false);
      await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    }
  }
}

// Ends a stream that has been silent too long, and looks at once when the page comes back to the front.
class Watch {
  constructor(silent) {
    this.last = performance.now();
    const look = () => performance.now() - this.last > SILENT_MS && silent();
    this.timer = setInterval(look, 2000);
    this.look = () => !document.hidden && look();
    document.addEventListener("visibilitychange", this.look);
  }

  heard() {
    this.last = performance.now();
  }

  end() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.look);
  }
}

// The events of a text/event-stream: {event, data: parsed JSON}.
export async function* serverSentEvents(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      text = (text + value).replaceAll("\r\n", "\n");
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const event = parsed(text.slice(0, end));
        text = text.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Events of one job on their way to the host, numbered from `next`; kept until the host has them.
export class Outbox {
  constructor(link, phone, job, next) {
    Object.assign(this, { link, phone, job, first: next });
    this.kept = [];
    this.sizes = [];
    this.sent = performance.now();
  }

  add(event) {
    this.kept.push(event);
    this.sizes.push(JSON.stringify(event).length);
  }

  get due() {
    const bytes = this.sizes.reduce((sum, size) => sum + size, 0);
    return bytes >= SEND_AT_BYTES || performance.now() - this.sent >= SEND_EVERY_MS;
  }

  // Sends once. True where the host has all; false where it cannot be reached now. Throws Refused.
  async send() {
    while (this.kept.length > 0) {
      const events = this.kept.slice(0, this.fitting());
      try {
        const path = `api/events?phone=${encodeURIComponent(this.phone)}`;
        const { next } = await this.link.json(path, { job: this.job, first: this.first, events });
        this.forget(next);
      } catch (error) {
        if (error.status === 409 && error.rest.job === this.job && error.rest.next !== this.first) {
          this.forget(error.rest.next);
          continue;
        }
        if (error.final) throw error;
        this.sent = performance.now();
        return false;
      }
    }
    this.sent = performance.now();
    return true;
  }

  fitting() {
    let [count, bytes] = [0, 0];
    while (
      count < Math.min(this.sizes.length, MOST_EVENTS) &&
      (count === 0 || bytes + this.sizes[count] < SEND_AT_BYTES)
    ) {
      bytes += this.sizes[count++];
    }
    return count;
  }

  // The host has every event below `next`.
  forget(next) {
    const count = Math.min(Math.max(next - this.first, 0), this.kept.length);
    if (next < this.first) throw new Error(`the host wants event ${next} again, which it had`);
    this.kept.splice(0, count);
    this.sizes.splice(0, count);
    this.first = next;
  }
}
