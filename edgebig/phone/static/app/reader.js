// Pictures -> digits, in a Worker: the same steps as edgebig/ondevice/predict.py. Messages: {step: "load"} for the
// runtime, {step: "open"} with a model, {step: "read"} with a picture; each is answered, with {fault} where it cannot be done.
import { findDigits, greyOf } from "../preprocess/index.js";
import { Engine, loadRuntime } from "./engine.js";
import { Fault, answerWith } from "./fault.js";
import { argmax, inputTable, look, scores } from "./levels.js";

const DIGIT = [1, 28, 28, 1];
const state = { runtime: null, engine: null, model: null, table: null, context: null, grey: undefined, warmed: false };

export async function receive(message) {
  const step = STEPS[message.step];
  if (step) await answerWith(() => step(message));
  message.bitmap?.close(); // Where it could not be read, nobody has.
}

// A Worker runs on one accelerator for good.
async function load({ runtime }) {
  state.runtime ??= await loadRuntime(runtime);
  return {};
}

// model: a row of models.json; bytes: its file.
async function open({ model, bytes, runtime }) {
  await load({ runtime });
  const engine = await Engine.open(model.name, bytes, state.runtime);
  checkFit(engine, model);
  state.engine?.close();
  const table = inputTable(model.input, model.preprocessing);
  Object.assign(state, { engine, model, table });
  // The first inference pays for what the compiler put off: not the first digit of the user's.
  await engine.classify(new engine.array(engine.size));
  // So does the first frame; it is no part of what the user waits for now.
  if (!state.warmed)
    setTimeout(() => findDigits({ width: 640, height: 480, data: new Uint8Array(640 * 480).fill(255) }), 0);
  state.warmed = true;
  const { fetchNs, loadNs } = state.runtime;
  return { opened: { ...engine.accelerator, loadNs: fetchNs + loadNs, compileNs: engine.compileNs } };
}

function checkFit(engine, model) {
  const [, , , channels] = engine.shape;
  const whole = model.preprocessing.framing === "whole";
  if (whole ? ![1, 3].includes(channels) : engine.shape.join() !== DIGIT.join()) {
    const found = `${model.name}: its input is ${engine.shape.join("x")}`;
    throw new Fault("shape", `${found}, and no picture is made into that`, "use a model that takes 28x28x1");
  }
  if (engine.output.shape.at(-1) !== model.classes.length) {
    const found = `${engine.output.shape.at(-1)} outputs, and ${model.classes.length} classes are named`;
    throw new Fault("bad-model", `${model.name}: ${found}`, "the card is of another model; make them again");
  }
}

// The picture is `bitmap`, or {width, height, rgba} where the browser draws none in a Worker. threshold: 0..1.
// {width, height, digits: [{label, confidence, box, line}], rejected, times: {pre, inference, post} in ms}
async function read({ bitmap, picture, threshold }) {
  const started = performance.now();
  const { width, height, rgba } = picture ?? pixels(bitmap);
  const whole = state.model.preprocessing.framing === "whole";
  const found = whole ? [wholeOf(rgba, width, height)] : digitsOf(rgba, width, height);
  const { engine, model, table } = state;
  const inputs = found.map(({ image }) => engine.tensor(look(table, image, new engine.array(engine.size))));
  const prepared = performance.now();
  const outputs = [];
  for (const input of inputs) outputs.push(await engine.invoke(input));
  const inferred = performance.now();
  const things = outputs.map((output, index) => thing(scores(output.toTypedArray(), model.output), found[index]));
  for (const tensor of [...inputs, ...outputs]) tensor.delete();
  const digits = things.filter((one) => one.confidence >= threshold);
  const rejected = things.filter((one) => one.confidence < threshold);
  const ended = performance.now();
  const times = { pre: prepared - started, inference: inferred - prepared, post: ended - inferred };
  return { width, height, digits, rejected, times };
}

function digitsOf(rgba, width, height) {
  state.grey = greyOf(rgba, width, height, state.grey);
  return findDigits({ width, height, data: state.grey });
}

function thing(row, { box, line }) {
  const best = argmax(row);
  return { label: state.model.classes[best], confidence: row[best], box: [...box], line };
}

function pixels(bitmap) {
  const { width, height } = bitmap;
  if (state.context?.canvas.width !== width || state.context?.canvas.height !== height) {
    state.context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, alpha: false });
  }
  state.context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, rgba: state.context.getImageData(0, 0, width, height).data };
}

// The middle of the picture, as large as it can be cut, averaged down to the model's input.
function wholeOf(rgba, width, height) {
  const [, rows, columns, channels] = state.engine.shape;
  const scale = Math.min(width / columns, height / rows);
  const [x0, y0] = [(width - columns * scale) / 2, (height - rows * scale) / 2];
  const image = new Uint8Array(rows * columns * channels);
  const edge = (start, index, limit) => Math.min(Math.round(start + index * scale), limit);
  for (let row = 0, at = 0; row < rows; row++) {
    const top = edge(y0, row, height - 1);
    const bottom = Math.max(edge(y0, row + 1, height), top + 1);
    for (let column = 0; column < columns; column++) {
      const left = edge(x0, column, width - 1);
      const right = Math.max(edge(x0, column + 1, width), left + 1);
      const sums = [0, 0, 0];
      for (let y = top; y < bottom; y++) {
        for (let x = left; x < right; x++) for (let c = 0; c < 3; c++) sums[c] += rgba[4 * (y * width + x) + c];
      }
      const mean = sums.map((sum) => Math.round(sum / ((bottom - top) * (right - left))));
      if (channels === 3) for (const value of mean) image[at++] = value;
      else image[at++] = (mean[0] * 19595 + mean[1] * 38470 + mean[2] * 7471 + 0x8000) >> 16;
    }
  }
  return { box: [x0, y0, columns * scale, rows * scale].map(Math.round), line: 0, image };
}

const STEPS = { load, open, read };
