// One process of a job, in a Worker that was made for it alone. It is told step by step what to do, so that the page
// can stop between two steps: {open}, {predict}, {measure}, {soak}; each answer is {events} or {fault}.
import { Engine, heapBytes, loadRuntime } from "./engine.js";
import { Fault, answerWith } from "./fault.js";
import { argmax, look } from "./levels.js";
import { Subject, sample, soak, warmup } from "./measure.js";
import { resolutionNs } from "./clock.js";

const state = { subjects: [], engines: [], images: null, tables: {}, want: [] };

export async function receive(message) {
  const step = STEPS[message.step];
  if (step) await answerWith(async () => ({ events: await step(message) }));
}

// models: [{sha256, name, bytes: Uint8Array, table: values or null}]; images: {data, count, size} or null; timed: whether
// latency will be measured here.
async function open({ models, images, want, timed, precision, ...asked }) {
  const runtime = await loadRuntime(asked.runtime);
  Object.assign(state, { images, want });
  // The first model of a process pays for the runtime's own start; `init` and `first` are to be the model's.
  if (timed) await warmRuntime(models[0], runtime, precision);
  const baseline = heapBytes();
  const events = [];
  for (const { sha256, name, bytes, table } of models) {
    const engine = await Engine.open(name, bytes, runtime, precision);
    if (table && images.size !== engine.size) {
      const found = `the model takes ${engine.shape}, the pictures are of ${images.size} values each`;
      throw new Fault("shape", `${name}: ${found}`, "use the data that the model was trained for");
    }
    const values = table && engine.array.from(table);
    state.engines.push({ sha256, engine, table: values });
    events.push(loaded(sha256, engine, runtime));
    if (!timed) events.push({ event: "memory", model: sha256, ...(await memory(engine, baseline)) });
  }
  return events;
}

async function warmRuntime({ name, bytes }, runtime, precision) {
  const engine = await Engine.open(name, bytes, runtime, precision);
  await engine.classify(new engine.array(engine.size));
  engine.close();
}

function loaded(sha256, engine, runtime) {
  const { accelerator } = engine;
  const onCpu = accelerator.actual === "wasm";
  const whole = accelerator.fully || (onCpu && accelerator.asked === "wasm");
  const { gpu } = runtime;
  return {
    event: "loaded",
    model: sha256,
    input: { scale: 0, zero_point: 0, ...engine.input },
    output: { scale: 0, zero_point: 0, ...engine.output },
    // LiteRT.js tells no numbers of nodes.
    delegated: { delegate: accelerator.actual, nodes: whole ? 1 : 0, of: 1, partitions: 1, left: [] },
    adapter: gpu && {
      name: gpu.description || gpu.architecture || gpu.vendor || "GPU",
      kind: gpu.software ? "software" : "other",
    },
    accelerator: { ...accelerator, fetch_ns: runtime.fetchNs, load_ns: runtime.loadNs, compile_ns: engine.compileNs },
  };
}

async function memory(engine, baseline) {
  await engine.classify(new engine.array(engine.size));
  return { baseline_kb: Math.round(baseline / 1024), peak_kb: Math.round(heapBytes() / 1024), mapped: false };
}

// Pictures start..end through a model: labels, and the raw outputs where they are wanted.
async function predict({ model, start, end }) {
  const { engine, table } = state.engines[model];
  const { data, count, size } = state.images;
  const values = new engine.array(size);
  const labels = [];
  const rows = [];
  for (let index = start; index < end; index++) {
    const raw = await engine.classify(look(table, data.subarray(index * size, (index + 1) * size), values));
    labels.push(argmax(raw));
    rows.push(new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength));
  }
  const event = { event: "outputs", model: state.engines[model].sha256, start, of: count, labels };
  if (state.want.includes("outputs")) Object.assign(event, { raw: base64(rows), dtype: engine.output.dtype });
  return [event];
}

function base64(rows) {
  let text = "";
  for (const row of rows) text += String.fromCharCode(...row);
  return btoa(text);
}

async function settleAll({ warmupS }) {
  const resolution = resolutionNs();
  state.subjects = state.engines.map((one) => new Subject(one.sha256, one.engine, one.table, state.images, resolution));
  for (const subject of state.subjects) await subject.first();
  const events = [];
  for (const subject of state.subjects) events.push(await warmup(subject, warmupS * 1e9));
  return events;
}

async function run({ model, spanMs }) {
  return [await soak(state.subjects[model], spanMs)];
}

async function measure({ model, round, samples }) {
  return [await sample(state.subjects[model], round, samples)];
}

const STEPS = { open, predict, settle: settleAll, measure, soak: run };
