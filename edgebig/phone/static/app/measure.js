// Latency in one fresh Worker: the twin of edgebig/ondevice/measure.py, on a clock that may be coarse.
import { argmax, look } from "./levels.js";
import { nowNs, quantile } from "./clock.js";

// A sample lasts at least so many steps of the clock: one step is then at most 5 % of it.
const STEPS_IN_SAMPLE = 20;
const LEAST_SAMPLE_NS = 100_000;
const WINDOW = 16;
const SETTLED_WITHIN = 0.02;
const WARMUP_LEAST_NS = 50e6;
const LARGEST_BATCH = 1 << 16;

// A model under measurement, with its pictures for the whole frame.
export class Subject {
  // table: 256 values; images: {data: Uint8Array, count}; both null where it is measured on noise alone.
  constructor(sha256, engine, table, images, resolutionNs) {
    Object.assign(this, { sha256, engine, table, images });
    this.sampleNs = Math.max(STEPS_IN_SAMPLE * resolutionNs, LEAST_SAMPLE_NS);
    this.batch = 1;
    this.nextImage = 0;
    const values = table ? this.frame(0) : noise(engine);
    this.input = engine.tensor(values);
  }

  frame(index) {
    const { size, array } = this.engine;
    const pixels = this.images.data.subarray(index * size, (index + 1) * size);
    return look(this.table, pixels, new array(size));
  }

  async first() {
    const started = nowNs();
    (await this.engine.invoke(this.input)).delete();
    this.firstNs = nowNs() - started;
  }
}

// Values for an input of which nothing is known, always the same: float in [0, 1), uint8 over its range.
export function noise(engine) {
  let state = 1;
  return Float32Array.prototype.map.call(new engine.array(engine.size), () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return engine.array === Float32Array ? state / 2 ** 32 : state >>> 24;
  });
}

async function timed(subject) {
  const { engine, input, batch } = subject;
  const started = nowNs();
  for (let turn = 0; turn < batch; turn++) (await engine.invoke(input)).delete();
  return nowNs() - started;
}

// Doubles the batch until a sample is long enough for the clock.
async function findBatch(subject) {
  for (;;) {
    const took = await timed(subject);
    if (took >= subject.sampleNs || subject.batch >= LARGEST_BATCH) return;
    const wanted = took > 0 ? Math.ceil((1.2 * subject.batch * subject.sampleNs) / took) : Infinity;
    subject.batch = Math.min(2 * subject.batch, Math.max(wanted, subject.batch + 1), LARGEST_BATCH);
  }
}

// Invokes until the medians of two windows in a row differ by less than 2 %; at least 50 ms, at most limitNs.
// {count, settled}; the batch is set anew by the last window, as WebAssembly gets faster once it is optimized.
export async function settle(subject, limitNs) {
  const started = nowNs();
  let [count, before, settled] = [0, 0, false];
  for (;;) {
    await findBatch(subject);
    const window = [];
    for (let index = 0; index < WINDOW; index++) window.push((await timed(subject)) / subject.batch);
    count += WINDOW * subject.batch;
    const median = quantile(window, 0.5);
    settled = before > 0 && Math.abs(median - before) <= SETTLED_WITHIN * before;
    const spent = nowNs() - started;
    if (spent >= limitNs || (settled && spent >= WARMUP_LEAST_NS)) {
      subject.batch = Math.max(1, Math.min(Math.ceil(subject.sampleNs / Math.max(median, 1)), LARGEST_BATCH));
      return { count, settled };
    }
    before = median;
  }
}

export async function warmup(subject, limitNs) {
  const { count, settled } = await settle(subject, limitNs);
  return {
    event: "warmup",
    model: subject.sha256,
    invokes: count,
    settled,
    batch: subject.batch,
    init_ns: subject.engine.compileNs,
    first_ns: subject.firstNs,
  };
}

// One turn of a model in a round: `count` times of an invoke, each the mean over a batch, and as many whole frames.
export async function sample(subject, round, count) {
  // The other model's turn left its own weights in the caches: one batch brings this one's back.
  await timed(subject);
  const ns = [];
  // The clock may stand still over a short sample: no time is less than 1 ns.
  for (let index = 0; index < count; index++) ns.push(Math.max(1, Math.round((await timed(subject)) / subject.batch)));
  const frameNs = subject.table ? await frames(subject, count) : [];
  return { event: "sample", model: subject.sha256, round, batch: subject.batch, ns, frame_ns: frameNs };
}

// Runs for `spanMs`: {invokes, p50_ns, p90_ns} of its samples.
export async function soak(subject, spanMs) {
  const ns = [];
  const ends = performance.now() + spanMs;
  do ns.push((await timed(subject)) / subject.batch);
  while (performance.now() < ends);
  const [p50, p90] = [0.5, 0.9].map((q) => Math.max(1, Math.round(quantile(ns, q))));
  return { event: "soak", model: subject.sha256, invokes: ns.length * subject.batch, p50_ns: p50, p90_ns: p90 };
}

// `count` times [pre-processing, inference, post-processing] of a frame, each the mean over a batch of pictures:
// pixels into the input's dtype and into the runtime; invoke; the answer out of it and its largest score.
async function frames(subject, count) {
  const { engine, batch, images } = subject;
  const samples = [];
  for (let index = 0; index < count; index++) {
    const inputs = [];
    const outputs = [];
    const t0 = nowNs();
    for (let turn = 0; turn < batch; turn++) {
      inputs.push(engine.tensor(subject.frame(subject.nextImage)));
      subject.nextImage = (subject.nextImage + 1) % images.count;
    }
    const t1 = nowNs();
    for (const input of inputs) outputs.push(await engine.invoke(input));
    const t2 = nowNs();
    for (const output of outputs) argmax(output.toTypedArray());
    const t3 = nowNs();
    for (const tensor of [...inputs, ...outputs]) tensor.delete();
    samples.push([t1 - t0, t2 - t1, t3 - t2].map((ns) => Math.round(ns / batch)));
  }
  return samples;
}
