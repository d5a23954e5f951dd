// The reader of this page: one model on one accelerator, in a Worker of its own, which is made anew for another one.
import { Crew } from "./crew.js";
import { runtimeFor } from "./variant.js";

export class Reading {
  // link: where models are fetched; changed(state): "loading" | "ready" | "failed", with what to say of it.
  constructor(link, changed) {
    Object.assign(this, { link, changed, crew: null, model: null, state: "loading" });
    this.turn = 0;
  }

  // Loads the runtime before anybody knows which model: it is what a first visit waits for.
  warm(delegate) {
    const crew = new Crew("reader.js");
    const loaded = runtimeFor(delegate, 1).then((runtime) => crew.ask({ step: "load", runtime }));
    loaded.catch(() => {}); // Who opens a model is told.
    this.crew = crew;
    this.warmed = { delegate, crew, loaded };
  }

  // The Worker that was warmed for it, once; else a fresh one.
  async crewFor(delegate) {
    const { warmed } = this;
    this.warmed = null;
    if (warmed?.delegate === delegate) {
      const { fault } = await warmed.loaded;
      if (!fault) return warmed.crew;
    }
    this.crew?.end();
    this.crew = new Crew("reader.js");
    return this.crew;
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
        this.crewFor(delegate),
        runtimeFor(delegate, 1),
        this.link.bytes(model.file),
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
