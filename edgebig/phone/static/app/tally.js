// What the events of a job come to, for this page to show. The host makes its own statistics of the raw samples.
import { quantile } from "./clock.js";

// A p99 of fewer samples is one bad moment.
const SAMPLES_FOR_P99 = 1000;
const ENDS = 10;

export class Tally {
  // labels: what the pictures are, where this page knows it, else null.
  constructor(job, labels = null) {
    Object.assign(this, { job, labels, done: 0, paused: 0, note: "starting", error: null });
    const none = () => ({ read: 0, right: 0, ns: [], frames: [], accelerator: null, firstNs: null, soak: [] });
    this.models = job.models.map(({ sha256, name }) => ({ sha256, name, ...none() }));
    const pictures = job.want.includes("predictions") || job.want.includes("outputs");
    const read = pictures ? job.examples * job.models.filter(({ preprocessing }) => preprocessing !== null).length : 0;
    const turns = (job.processes - (job.resume_from ?? 0)) * job.rounds * job.models.length;
    const soaked = Math.floor(job.soak_s ?? 0) * job.models.length;
    this.of = read + (job.want.includes("latency") ? turns + soaked : 0);
  }

  add(event) {
    const model = this.models.find(({ sha256 }) => sha256 === event.model);
    if (event.event === "loaded") model.accelerator = event.accelerator;
    if (event.event === "warmup") model.firstNs ??= event.first_ns;
    if (event.event === "condition" && event.when === "paused") this.paused += event.hidden_s;
    if (event.event === "error") this.error = `${event.problem}. ${event.hint}`;
    if (event.event === "outputs") this.outputs(model, event);
    if (event.event === "sample") {
      model.ns.push(...event.ns);
      model.frames.push(...event.frame_ns.map((parts) => parts.reduce((sum, part) => sum + part, 0)));
      this.done += 1;
      this.note = `latency: process ${event.process + 1} of ${this.job.processes}`;
    }
    if (event.event === "soak") {
      model.soak.push(event.p50_ns);
      this.done += 1;
      this.note = `soak: ${Math.round(event.at_s)} of ${this.job.soak_s} s`;
    }
  }

  outputs(model, { start, labels }) {
    model.read += labels.length;
    if (this.labels) model.right += labels.filter((label, index) => label === this.labels[start + index]).length;
    this.done += labels.length;
    this.note = "reading the examples";
  }

  // For each model its name and [what, value] to show; what is not known yet is left out.
  rows() {
    return this.models.map((model) => ({ name: model.name, facts: this.facts(model) }));
  }

  facts({ read, right, ns, frames, accelerator, firstNs, soak }) {
    const facts = [];
    if (accelerator) {
      const { actual, asked, variant, threads, fully } = accelerator;
      const fell =
        actual === asked ? (asked === "wasm" || fully ? "" : ", in part") : `, though ${asked} was asked for`;
      facts.push(["runs on", `${actual}${fell} (${variant}, ${threads} ${threads === 1 ? "thread" : "threads"})`]);
      facts.push(["fetch, load", `${duration(accelerator.fetch_ns)}, ${duration(accelerator.load_ns)}`]);
      facts.push(["compile", duration(accelerator.compile_ns)]);
    }
    if (firstNs !== null) facts.push(["first inference", duration(firstNs)]);
    if (read && this.labels) facts.push(["right", `${right} of ${read} (${((100 * right) / read).toFixed(1)} %)`]);
    else if (read) facts.push(["examples read", `${read}`]);
    if (ns.length) {
      facts.push(["inference p50, p90", `${duration(quantile(ns, 0.5))}, ${duration(quantile(ns, 0.9))}`]);
      if (ns.length >= SAMPLES_FOR_P99) facts.push(["inference p99", duration(quantile(ns, 0.99))]);
      facts.push(["samples", `${ns.length}`]);
    }
    // What heat does to it: the first ten seconds, and the last ten.
    if (soak.length >= 2 * ENDS) {
      const [first, last] = [soak.slice(0, ENDS), soak.slice(-ENDS)].map((part) => quantile(part, 0.5));
      facts.push(["soak p50, first, now", `${duration(first)}, ${duration(last)}`]);
    }
    if (frames.length) facts.push(["whole frame p50", duration(quantile(frames, 0.5))]);
    return facts;
  }
}

export function duration(ns) {
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} us`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  return `${(ns / 1e9).toFixed(2)} s`;
}
