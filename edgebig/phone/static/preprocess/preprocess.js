/**
 * An upright grey picture -> the digits in it, each as MNIST was made. The twin of edgebig/ondevice/preprocess.py,
 * equal to the bit: tests/phone/test_preprocess_js.py holds both to the same answers.
 */

import { onPaper, withEdges } from "./edges.js";
import { isLightOnDark, sceneOf } from "./ink.js";
import { inLines } from "./lines.js";
import { reduce } from "./sampling.js";
import { bytes, forget } from "./scratch.js";
import { toInput } from "./shaping.js";
import { reserve } from "./simd.js";
import { join, strokesOf } from "./strokes.js";
import { cut } from "./touching.js";

const WORK_SIDE = 1280; // digits are sought in a picture that is at most this long, in pixels

/**
 * {width, height, data: Uint8Array}, an upright picture -> its digits, line by line from the top, each line from the
 * left: {box: [x, y, width, height] in its pixels, line: from 0 at the top, image: Uint8Array(784), ink is 255}.
 *
 * Dark ink on light paper or light on dark. A picture that is already as MNIST's comes out as it is. No ink: [].
 * `look` is shown what each step made: its name and {width, height, data}, good until it returns.
 * Throws a TypeError where data is no Uint8Array of width x height, at least one pixel.
 */
export function findDigits({ width, height, data }, look = null) {
  check(width, height, data);
  const picture = { width, height, data };
  const already = asMnist(picture);
  if (already !== null) return [already];
  const shrink = Math.ceil(Math.max(width, height) / WORK_SIDE);
  const work = workOf(picture, shrink);
  const scene = sceneOf(isLightOnDark(work) ? inverted(work, "work.inverted") : work);
  const parts = strokesOf(scene);
  if (look !== null) show(look, scene, parts);
  if (parts.count === 0) return [];
  const groups = cut(withEdges(onPaper(join(parts), scene), parts, scene), scene);
  return inLines(groups).flatMap((inLine, line) =>
    inLine.map((group) => ({ box: boxOf(group.box, shrink, picture), line, image: toInput(scene, group) })),
  );
}

/** The picture at working size, where the kernels see it. */
function workOf(picture, shrink) {
  const [width, height] = [Math.ceil(picture.width / shrink), Math.ceil(picture.height / shrink)];
  if (reserve(width * height)) forget();
  if (shrink > 1) return reduce(picture, shrink, "work");
  const data = bytes("work", width * height);
  data.set(picture.data);
  return { width, height, data };
}

function check(width, height, data) {
  const right = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!right || !(data instanceof Uint8Array) || data.length !== width * height) {
    throw new TypeError(`a Uint8Array of width x height is needed, this is ${data?.length} of ${width} x ${height}`);
  }
}

function inverted({ width, height, data }, name) {
  const inverse = bytes(name, data.length);
  for (let at = 0; at < data.length; at++) inverse[at] = 255 - data[at];
  return { width, height, data: inverse };
}

function show(look, { width, height, paper, ink }, parts) {
  look("paper", { width, height, data: paper });
  look("ink", { width, height, data: Uint8Array.from(ink, (value) => value >> 2) });
  const all = Array.from({ length: parts.count }, (_, part) => part);
  const strokes = parts.mask(all, [0, 0, width, height]);
  look("strokes", { width, height, data: strokes.map((own) => 255 * own) });
}

/** A picture that was made as MNIST's: 28x28, ink 20 pixels long, its centre of mass in the middle; else null. */
function asMnist({ width, height, data }) {
  if (width !== 28 || height !== 28) return null;
  const middle = twiceMedian(data);
  const image = middle > 254 ? inverted({ width, height, data }, "mnist.inverted").data : data;
  let [x0, y0, x1, y1] = [28, 28, -1, -1];
  let [most, mass, across, down] = [0, 0, 0, 0];
  for (let at = 0; at < 784; at++) {
    const [x, y] = [at % 28, Math.floor(at / 28)];
    most = Math.max(most, image[at]);
    mass += image[at];
    across += x * image[at];
    down += y * image[at];
    if (image[at] > 48) [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
  }
  if (twiceMedian(image) > 16 || most < 192) return null;
  const longest = Math.max(x1 - x0, y1 - y0) + 1;
  const off = Math.max(Math.abs(across / mass - 14), Math.abs(down / mass - 14));
  if (longest < 18 || longest > 21 || off > 1.5) return null;
  return { box: [x0, y0, x1 - x0 + 1, y1 - y0 + 1], line: 0, image: image.slice() };
}

/** The sum of the two in the middle of 784. */
function twiceMedian(data) {
  const order = data.slice().sort();
  return order[391] + order[392];
}

function boxOf([x0, y0, x1, y1], shrink, { width, height }) {
  const [x, y] = [x0 * shrink, y0 * shrink];
  return [x, y, Math.min(x1 * shrink, width) - x, Math.min(y1 * shrink, height) - y];
}
