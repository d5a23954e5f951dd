// The reader of this page: one model on one accelerator, in a Worker of its own, which is made anew for another one.
import { Crew } from "./crew.js";
import { loaderFor, runtimeFor } from "./variant.js";

export class Reading {
  // link: where models are fetched; changed(state): "loading" | "ready" | "failed", with what to say of it.
  constructor(link, changed) {
    Object.assign(this, { link, changed, crew: null, model: null, state: "loading" });
    this.turn = 0;
  }

  // Loads the runtime before anybody knows which model: it is what a first visit waits for.
  warm(delegate) {
    const warmed = { delegate, turn: null };
    const loaded = this.loaded(delegate, () => this.warmed === warmed || warmed.turn === this.turn);
    loaded.catch(() => {}); // Who opens a model is told.
    this.warmed = Object.assign(warmed, { loaded });
  }

  async loaded(delegate, isWanted) {
    const runtime = runtimeFor(delegate, 1);
    runtime.catch(() => {});
    const crew = await this.fresh(delegate, isWanted);
    const { fault } = await crew.ask({ step: "load", runtime: await runtime });
    return fault ? null : crew;
  }

  // A Worker, as soon as there is what it begins with, while the rest of the runtime still comes.
  async fresh(delegate, isWanted) {
    const loader = await loaderFor(delegate, 1);
    if (!isWanted()) throw new DOMException("another one was chosen", "AbortError");
    this.crew?.end();
    this.crew = new Crew("reader.js", loader);
    return this.crew;
  }

  // The Worker that was warmed for it, once; else a fresh one.
  async crewFor(delegate, turn) {
    const { warmed } = this;
    this.warmed = null;
    if (warmed?.delegate === delegate) {
      warmed.turn = turn;
      const crew = await warmed.loaded;
      if (crew) return crew;
    }
    return this.fresh(delegate, () => turn === this.turn);
  }

  // Nothing runs until a model is opened.
  rest() {
    this.warmed = null;
    this.crew?.end();
  }

  // Opens a row of models.json. The last call counts, where they come faster than models load.
  async open(model, delegate) {
    const turn = ++this.turn;
    this.tell("loading", `Loading ${model.name}`);
    try {
      const [crew, runtime, bytes] = await Promise.all([
        this.crewFor(delegate, turn),
        runtimeFor(delegate, 1),
        this.link.kept(model.file),
      ]);
      if (turn !== this.turn) return;
      const answer = await crew.ask({ step: "open", model, bytes, runtime });
      if (turn !== this.turn) return;
      if (answer.fault) throw new Error(`${answer.fault.problem}. ${answer.fault.hint}`);
      this.model = model;
      this.tell("ready", describe(answer.opened));
    } catch (error) {
      if (turn !== this.turn || error.name === "AbortError") return;
      this.tell("failed", error.message);
    }
  }

  tell(state, words) {
    this.state = state;
    this.changed(state, words);
  }

  get free() {
    return this.state === "ready" && !this.crew.busy;
  }

  // What reader.js answers; null where the reader is not free, or was changed meanwhile. picture: {bitmap} or {picture}.
  async read(picture, threshold) {
    if (!this.free) {
      picture.bitmap?.close();
      return null;
    }
    const transfer = picture.bitmap ? [picture.bitmap] : [picture.picture.rgba.buffer];
    try {
      const answer = await this.crew.ask({ step: "read", ...picture, threshold }, transfer);
      if (answer.fault) throw new Error(answer.fault.problem);
      return answer;
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    } finally {
      // After who asked has its answer: another panel may have something to read.
      setTimeout(() => this.idle?.(), 0);
    }
  }
}

const CALLED = { wasm: "WASM", webgpu: "WebGPU", webnn: "WebNN" };

function describe(opened) {
  const where = CALLED[opened.actual] ?? opened.actual;
  const fell = opened.actual !== opened.asked ? `, not on ${CALLED[opened.asked]}: the runtime fell back` : "";
  const partly = opened.asked !== "wasm" && opened.actual === opened.asked && !opened.fully ? ", in part only" : "";
  const gpu = opened.gpu ? ` (${[opened.gpu.vendor, opened.gpu.architecture].filter(Boolean).join(" ")})` : "";
  const variant = opened.actual === "wasm" ? ` (${opened.variant})` : "";
  const took = `loaded in ${Math.round(opened.loadNs / 1e6)} ms, compiled in ${Math.round(opened.compileNs / 1e6)} ms`;
  return `${where}${gpu}${variant}${fell}${partly}; ${took}`;
}
