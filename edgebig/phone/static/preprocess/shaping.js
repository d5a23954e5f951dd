/** The ink of one digit -> 28x28, as MNIST was made. The twin of edgebig/ondevice/shaping.py. */

import { quantile, resample, slide } from "./sampling.js";
import { bytes, ints } from "./scratch.js";
import { allocate, kernels } from "./simd.js";

const SIDE = 28;
const STROKE = 2.3; // the stroke width to reach, in pixels of the 20x20 box; MNIST's median is 2.4
const MAX_STROKE = 4.0;
const FINE = 4; // a digit is drawn this much larger than the 20x20 box while its strokes are evened
const MARGIN = 2;

/** The ink of a group at working size -> Uint8Array(784), ink is 255. */
export function toInput(scene, group) {
  const { x0, y0, own } = group.within(MARGIN, scene, "shaping.mask");
  const { width, height } = own;
  const near = { width, height, data: bytes("shaping.near", width * height) };
  near.data.set(own.data);
  slide(near, 3, true);
  const ink = { width, height, data: bytes("shaping.ink", width * height) };
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, from = (y0 + y) * scene.width + x0; x < width; x++, at++, from++) {
      ink.data[at] = near.data[at] ? scene.ink[from] >> 2 : 0;
    }
  }
  const longest = Math.max(group.width, group.height);
  const [rows, columns] = [height, width].map((n) =>
    Math.max(1, Math.floor((2 * 20 * FINE * n + longest) / (2 * longest))),
  );
  const fine = resample(ink, rows, columns, "shaping.fine");
  return centred(even(bold(fine, levelOf(fine, resample(own, rows, columns, "shaping.own")))));
}

/** The ink that a fifth of the group's own pixels exceeds. */
function levelOf(fine, own) {
  const counts = ints("shaping.counts", 256);
  counts.fill(0);
  let any = false;
  for (let at = 0; at < own.data.length; at++) {
    if (own.data[at] <= 127) continue;
    counts[fine.data[at]] += 1;
    any = true;
  }
  return any ? Math.max(1, quantile(counts, 4, 5)) : 255;
}

/** A quarter of the level is none, three quarters are full. In place. */
function bold(fine, level) {
  const { data } = fine;
  const table = bytes("shaping.bold", 256);
  for (let ink = 0; ink < 256; ink++) table[ink] = Math.min(Math.max(Math.floor((510 * ink) / level) - 127, 0), 255);
  for (let at = 0; at < data.length; at++) data[at] = table[data[at]];
  return fine;
}

/** Strokes of the fine drawing brought near MNIST's width, by a round brush that adds or takes an edge. */
function even(drawing) {
  const width = strokeWidth(drawing);
  const wish = Math.min(Math.max(width, STROKE * FINE), MAX_STROKE * FINE);
  const side = 20 * FINE;
  // The box grows with the brush, and is scaled to 20 again.
  const radius = ((wish - width) * side) / (2 * (side - wish));
  const halves = Math.floor(2 * Math.abs(radius) + 0.5);
  const reach = (halves + 1) >> 1;
  let before = drawing;
  let drawn = framed(drawing, reach, "shaping.drawn");
  for (let step = 0; step < reach; step++) {
    before = drawn;
    drawn = brushed(before, step % 2 === 0, radius > 0, `shaping.brushed${step % 2}`);
  }
  if (halves % 2 === 1) {
    for (let at = 0; at < drawn.data.length; at++) drawn.data[at] = (before.data[at] + drawn.data[at] + 1) >> 1;
  }
  return drawn;
}

/** A picture with so many pixels of nothing around it. */
function framed(picture, margin, name) {
  const width = picture.width + 2 * margin;
  const height = picture.height + 2 * margin;
  const data = bytes(name, width * height);
  data.fill(0);
  for (let y = 0; y < picture.height; y++) {
    const row = picture.data.subarray(y * picture.width, (y + 1) * picture.width);
    data.set(row, (y + margin) * width + margin);
  }
  return { width, height, data };
}

/** The largest (smallest) of each pixel and its four neighbours (cross), or of all eight: in turn, an octagon. */
function brushed(picture, cross, wider, name) {
  const { width, height } = picture;
  const { width: wide, data: p } = framed(picture, 1, "shaping.framed");
  const data = bytes(name, width * height);
  const fast = kernels(0, p, data);
  if (fast !== null) {
    fast.brush(p.byteOffset, width, height, cross, wider, data.byteOffset);
    return { width, height, data };
  }
  const pick = wider ? Math.max : Math.min;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, i = (y + 1) * wide + 1; x < width; x++, i++, at++) {
      let value = pick(p[i], p[i - 1], p[i + 1], p[i - wide], p[i + wide]);
      if (!cross) value = pick(value, p[i - wide - 1], p[i - wide + 1], p[i + wide - 1], p[i + wide + 1]);
      data[at] = value;
    }
  }
  return { width, height, data };
}

/**
 * A picture, ink is 255 -> the mean stroke width in pixels: twice the ink by the length of its edge, which is measured
 * as M. W. Crofton did, by what lines in four directions cross.
 */
export function strokeWidth(drawing) {
  const around = framed(drawing, 1, "shaping.framed");
  const sums = ints("shaping.edges", 3, allocate);
  const fast = kernels(0, around.data, sums);
  if (fast === null) addEdges(around, sums);
  else fast.edges(around.data.byteOffset, around.width, around.height, sums.byteOffset);
  const [sum, straight, slanted] = sums;
  const edge = (straight + slanted * 0.7071067811865476) * 0.39269908169872414;
  return edge ? (2 * sum) / edge : 0;
}

/** The sum of all ink, and of what it changes by from pixel to pixel, straight and slanted. */
function addEdges({ width, height, data: p }, sums) {
  let sum = 0;
  let straight = 0;
  let slanted = 0;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const value = p[at];
      sum += value;
      if (x > 0) straight += Math.abs(value - p[at - 1]);
      if (y === 0) continue;
      straight += Math.abs(value - p[at - width]);
      if (x > 0) slanted += Math.abs(value - p[at - width - 1]);
      if (x < width - 1) slanted += Math.abs(value - p[at - width + 1]);
    }
  }
  sums.set([sum, straight, slanted]);
}

/** As MNIST was made: the longer side is 20, anti-aliased, and the centre of mass is at pixel 14, 14. */
function centred(drawing) {
  const image = new Uint8Array(SIDE * SIDE);
  const tight = tightened(drawing);
  if (tight === null) return image;
  const longest = Math.max(tight.width, tight.height);
  const [rows, columns] = [tight.height, tight.width].map((n) =>
    Math.max(1, Math.floor((40 * n + longest) / (2 * longest))),
  );
  const small = resample(tight, rows, columns, "shaping.small");
  let mass = 0;
  const moment = [0, 0];
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at++) {
      mass += small.data[at];
      moment[0] += y * small.data[at];
      moment[1] += x * small.data[at];
    }
  }
  const [top, left] = [rows, columns].map((n, axis) => {
    const before = mass ? Math.floor((2 * (14 * mass - moment[axis]) + mass) / (2 * mass)) : 0;
    return Math.min(Math.max(before, 0), SIDE - n);
  });
  for (let y = 0; y < rows; y++) {
    image.set(small.data.subarray(y * columns, (y + 1) * columns), (top + y) * SIDE + left);
  }
  return image;
}

/** The part of a picture that holds all that is more than half ink, or null where nothing is. */
function tightened({ width, height, data }) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (data[at] <= 127) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (top > y) top = y;
      bottom = y;
    }
  }
  if (right < 0) return null;
  const [columns, rows] = [right + 1 - left, bottom + 1 - top];
  const cut = bytes("shaping.tight", columns * rows);
  for (let y = 0; y < rows; y++) {
    const start = (top + y) * width + left;
    cut.set(data.subarray(start, start + columns), y * columns);
  }
  return { width: columns, height: rows, data: cut };
}
