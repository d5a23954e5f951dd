// The bench's panel: for a host where one asked for it, else for this page alone.
import { Host } from "./host.js";
import { element } from "./dom.js";
import { measure } from "./local.js";

export class Bench {
  // parts: the elements of the panel by name; page: {link, facts, attention, models(), delegate()},
  // and alone(whether): nothing else may run on the page meanwhile.
  constructor(parts, page) {
    Object.assign(this, { parts, page, host: null, running: false, enough: false });
    parts.start.addEventListener("click", () => this.start());
    parts.stop.addEventListener("click", () => this.stop());
    this.describe(page.facts);
  }

  // "bench" where the host has work for this phone now, else "page".
  async join() {
    const { link, facts, attention } = this.page;
    const show = {
      tally: (tally) => this.show(tally),
      note: (words) => this.progress(words),
      connected: (there) => this.connected(there),
      end: (told) => this.ended(told),
      problem: (words) => this.problem(words),
    };
    const host = new Host(link, facts, attention, show);
    try {
      const { name, mode } = await host.join();
      this.host = host;
      this.parts.host.textContent = `To the host this phone is ${name}. What is measured here is sent to it.`;
      return mode;
    } catch (error) {
      this.problem(error.message);
      return "page";
    }
  }

  ready() {
    if (!this.running) this.parts.start.disabled = false;
    if (!this.host) this.parts.host.textContent = "Measured on this phone, and shown here only: nothing is sent.";
  }

  stop() {
    this.enough = true;
    this.host?.stop();
  }

  async start() {
    if (this.running) return;
    [this.running, this.enough] = [true, false];
    const { parts } = this;
    parts.start.disabled = true;
    parts.problem.hidden = true;
    parts.stop.hidden = false;
    this.page.alone(true);
    this.progress("Starting");
    try {
      await (this.host ? this.host.serve() : this.alone());
    } catch (error) {
      this.problem(error.message);
    } finally {
      this.running = false;
      parts.start.disabled = false;
      parts.stop.hidden = true;
      parts.progress.hidden = true;
      this.page.alone(false);
    }
  }

  async alone() {
    const { link, facts, attention, models, delegate } = this.page;
    const show = (tally) => this.show(tally);
    const options = { link, facts, attention, delegate: delegate(), show, stopped: () => this.enough };
    const tally = await measure(models(), options);
    this.parts.host.textContent = this.enough ? "Stopped." : `Done${pauses(tally)}. Shown here only.`;
  }

  progress(words, done = 0, of = 0) {
    const { progress, note, bar } = this.parts;
    progress.hidden = false;
    note.textContent = words;
    if (of > 0) Object.assign(bar, { max: of, value: done });
    else bar.removeAttribute("value");
  }

  show(tally) {
    this.progress(`${tally.note}${pauses(tally)}`, tally.done, tally.of);
    this.parts.rows.replaceChildren(...tally.rows().map(card));
    if (tally.error) this.problem(tally.error);
  }

  connected(there) {
    if (!there) this.progress("The host does not answer: trying again. What was measured is kept");
  }

  // The host knows what the examples are, this page does not.
  ended({ why, accuracy }) {
    const right = typeof accuracy === "number" ? `; ${(100 * accuracy).toFixed(2)} % of the examples read right` : "";
    this.parts.host.textContent = `The host says: ${why ?? "done"}${right}`;
  }

  problem(words) {
    this.parts.problem.hidden = false;
    this.parts.problem.textContent = words;
  }

  describe(facts) {
    const { wasm, gpu } = facts;
    const shown = [
      ["browser", facts.user_agent],
      ["cores", facts.cores],
      ["memory", facts.memory_gb && `${facts.memory_gb} GB or more`],
      ["clock", `${facts.timer_ns / 1000} us steps${facts.isolated ? "" : " (coarse: the page is not isolated)"}`],
      [
        "WebAssembly",
        [wasm.simd ? "relaxed SIMD" : "no relaxed SIMD", wasm.threads && "threads", wasm.jspi && "JSPI"]
          .filter(Boolean)
          .join(", "),
      ],
      ["WebGPU", gpu ? [gpu.vendor, gpu.architecture, gpu.description].filter(Boolean).join(" ") : "not here"],
      ["WebNN", facts.webnn ? "there" : "not here"],
      ["https or localhost", facts.secure ? "yes" : "no: no live camera"],
    ];
    const known = shown.filter(([, value]) => value !== undefined);
    this.parts.facts.replaceChildren(
      ...known.flatMap(([name, value]) => [element("dt", name), element("dd", `${value}`)]),
    );
  }
}

function pauses({ paused }) {
  return paused ? `, ${Math.round(paused)} s hidden` : "";
}

function card({ name, facts }) {
  const list = document.createElement("dl");
  list.append(...facts.flatMap(([what, value]) => [element("dt", what), element("dd", value)]));
  const whole = element("div", "");
  whole.className = "card";
  whole.append(element("h2", name), list);
  return whole;
}
