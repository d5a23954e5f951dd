/** Grey pixels -> the light of the paper, and the part of it that ink takes. The twin of edgebig/ondevice/ink.py. */

import { connected, plausible, weightedMedian } from "./parts.js";
import { enlarge, quantile, reduce, slide, soften, turning } from "./sampling.js";
import { bytes, doubles, ints, shorts } from "./scratch.js";
import { allocate, kernels, temporary } from "./simd.js";

export const FULL = 1020; // ink that takes all of the light: four times 255
export const MIN_INK = 133; // a stroke takes at least 13 % of the paper's light
const DARK = 80; // on paper darker than this, ink is held against this: there noise is a large part
const PAPER_SIDE = 400; // the paper is sought in a picture that is at most this long, in pixels
const POLARITY_SIDE = 240;
const SOFTENED = 100; // pixels: in a picture with a shorter side strokes may be too thin to be softened
const GRAIN = 32; // neighbours that differ by more than such a part of the paper's light are noise
const LIGHT = 1.0; // what is written on is beyond 1.6, either way; paper without ink is near 0, and is mostly light

/** A picture at working size -> are its strokes lighter than what is around them? By the differences' skewness. */
export function isLightOnDark(work) {
  const small = reduce(work, Math.ceil(Math.max(work.width, work.height) / POLARITY_SIDE), "polarity.small");
  const shortest = Math.min(small.width, small.height);
  const sums = summed(small);
  let total = 0;
  for (const windows of [16, 5, 2]) total += skewness(small, sums, Math.max(1, Math.floor(shortest / windows / 2)));
  return total > LIGHT;
}

/** The sum of all pixels above and to the left of each corner of pixels, (height + 1) x (width + 1). */
function summed({ width, height, data }) {
  const sums = ints("polarity.sums", (width + 1) * (height + 1), allocate);
  sums.fill(0, 0, width + 1);
  for (let y = 0, at = 0, to = width + 1; y < height; y++) {
    let line = 0;
    sums[to++] = 0;
    for (let x = 0; x < width; x++, at++, to++) {
      line += data[at];
      sums[to] = sums[to - width - 1] + line;
    }
  }
  return sums;
}

/** Of each pixel's difference to the mean of the square that reaches so far to every side, as far as it lies inside. */
function skewness(small, sums, reach) {
  const { data } = small;
  const powers = doubles("polarity.powers", 2, allocate);
  const fast = kernels(0, data, sums, powers);
  if (fast === null) addPowers(small, sums, reach, powers);
  else fast.skew(data.byteOffset, small.width, small.height, sums.byteOffset, reach, powers.byteOffset);
  const spread = powers[0] / data.length + 1;
  return powers[1] / data.length / (spread * Math.sqrt(spread));
}

/** The sums of the differences' squares and cubes. */
function addPowers({ width, height, data }, sums, reach, powers) {
  let squares = 0;
  let cubes = 0;
  for (let y = 0, at = 0; y < height; y++) {
    const first = Math.max(y - reach, 0);
    const last = Math.min(y + reach + 1, height);
    const upper = first * (width + 1);
    const lower = last * (width + 1);
    for (let x = 0; x < width; x++, at++) {
      const left = x > reach ? x - reach : 0;
      const right = x + reach + 1 < width ? x + reach + 1 : width;
      const around = sums[lower + right] - sums[lower + left] - sums[upper + right] + sums[upper + left];
      const apart = data[at] - Math.floor(around / ((last - first) * (right - left)));
      squares += apart * apart;
      cubes += apart * apart * apart;
    }
  }
  powers[0] = squares;
  powers[1] = cubes;
}

/**
 * A picture at working size, dark ink on light paper -> {width, height, paper: Uint8Array, its light without ink;
 * ink: Uint16Array, the part taken, 0 to FULL; noise: the standard deviation of `ink` where there is none}.
 *
 * The first look takes strokes to be as wide as they can be, and finds how wide they are; the second then follows
 * the edges of shadows and the grain of the paper more closely.
 */
export function sceneOf(work) {
  const { width, height } = work;
  const shrink = Math.ceil(Math.max(width, height) / PAPER_SIDE);
  let small = reduce(work, shrink, "paper.small");
  let reach = Math.max(3, Math.floor((7 * Math.min(small.width, small.height) + 10) / 20));
  for (let look = 0; look < 2; look++) {
    if (Math.min(small.width, small.height) >= SOFTENED && isGrainy(small)) small = softened(small);
    const strokes = strokeWidth(small, reach);
    if (strokes === null) {
      reach = Math.min(reach, 9); // what is there is too thin to be seen so small
      break;
    }
    reach = Math.min(reach, Math.max(5, Math.floor(4 * strokes + 0.5) + 3));
  }
  const paper = enlarge(closed(small, reach), shrink, width, height, "scene.paper");
  const spare = Math.min(width, height) >= SOFTENED;
  const light4 = spare ? soften(work, "scene.light") : fourfold(work, "scene.light");
  return against(paper, light4, width, height, "scene.ink");
}

/** Does each pixel have noise of its own, as in poor light? */
function isGrainy({ width, height, data }) {
  const light = ints("grain.light", 256).fill(0);
  const apart = ints("grain.apart", 256).fill(0);
  for (let y = 0; y < height; y += 3) {
    const start = y * width;
    light[data[start]] += 1;
    for (let at = start + 1, end = start + width; at < end; at++) {
      light[data[at]] += 1;
      apart[Math.abs(data[at] - data[at - 1])] += 1;
    }
  }
  return GRAIN * quantile(apart, 1, 2) > quantile(light, 1, 2);
}

/** The picture's 3x3 binomial means. */
function softened(small) {
  const soft = soften(small, "paper.soft");
  const data = bytes("paper.softened", soft.length);
  for (let at = 0; at < data.length; at++) data[at] = soft[at] >> 2;
  return { width: small.width, height: small.height, data };
}

/** The width of strokes against the paper that this reach gives, weighted by their ink; null where there are none. */
function strokeWidth(small, reach) {
  const { width, height } = small;
  const first = against(closed(small, reach).data, fourfold(small, "paper.light"), width, height, "paper.ink");
  const mask = above(first.ink, threshold(first), "paper.mask");
  const parts = connected(first.ink, mask, width, height);
  const keep = plausible(parts, width, height);
  addCrossed(keep, parts, width, height);
  if (!keep.includes(1)) return null;
  return weightedMedian(
    parts.count,
    keep,
    (part) => (2 * parts.area[part]) / parts.edge[part],
    (part) => parts.strength[part] * parts.edge[part],
  );
}

/**
 * Marks in `keep` what is mostly empty, as strokes are that a printed line crosses, even where it ends at the edge. What
 * holds a corner of the picture is the table around a sheet, or a shadow.
 */
function addCrossed(keep, parts, width, height) {
  const { count, runs, left, top, right, bottom, area, part, row, from, to } = parts;
  const inCorner = bytes("paper.inCorner", count).fill(0);
  for (let run = 0; run < runs; run++) {
    const ends = row[run] === 0 || row[run] === height - 1;
    if (ends && (from[run] === 0 || to[run] === width)) inCorner[part[run]] = 1;
  }
  const large = Math.max(5, 0.015 * Math.max(width, height));
  for (let own = 0; own < count; own++) {
    const w = right[own] - left[own];
    const h = bottom[own] - top[own];
    if (Math.max(w, h) >= large && 4 * area[own] < w * h && !inCorner[own]) keep[own] = 1;
  }
}

/** Uint8Array of 0 and 1: where the ink is stronger than this. */
export function above(ink, limit, name) {
  const mask = bytes(name, ink.length);
  const most = Math.floor(limit);
  const fast = kernels(0, ink, mask);
  if (fast !== null) {
    fast.above(ink.byteOffset, ink.length, Math.min(most, FULL), mask.byteOffset);
    return mask;
  }
  for (let at = 0; at < ink.length; at++) mask[at] = (most - ink[at]) >>> 31;
  return mask;
}

/** Takes out of a mask where the ink is not stronger than this. */
export function retain(ink, limit, mask) {
  const most = Math.floor(limit);
  const fast = kernels(0, ink, mask);
  if (fast !== null) fast.retain(ink.byteOffset, ink.length, Math.min(most, FULL), mask.byteOffset);
  else for (let at = 0; at < ink.length; at++) mask[at] &= (most - ink[at]) >>> 31;
}

/** What is left of the light when all that is narrower than `reach` is closed. */
function closed(small, reach) {
  const { width, height } = small;
  const data = bytes("paper.closed", small.data.length);
  const picture = { width, height, data };
  const fast = kernels(turning(width, height, reach), small.data, data);
  if (fast !== null) {
    fast.close(small.data.byteOffset, width, height, reach, data.byteOffset, temporary.address);
    return picture;
  }
  data.set(small.data);
  slide(picture, reach, true);
  slide(picture, reach, false);
  return picture;
}

function fourfold({ data }, name) {
  const light = shorts(name, data.length);
  const fast = kernels(0, data, light);
  if (fast !== null) {
    fast.fourfold(data.byteOffset, data.length, light.byteOffset);
    return light;
  }
  for (let at = 0; at < data.length; at++) light[at] = data[at] << 2;
  return light;
}

// Without a division for each pixel; 4 * paper * SHARE stays below 2**16.
const SHARE = Uint16Array.from({ length: 256 }, (_, paper) => Math.floor((255 * 64) / Math.max(paper, DARK)));

/** `light4`: four times the picture's light. */
function against(paper, light4, width, height, name) {
  const ink = taken(paper, light4, name);
  const counts = sampled(ink, width, height);
  const offset = quantile(counts, 1, 2); // of many grey values the closing takes the lightest
  const apart = ints("ink.apart", FULL + 1);
  apart.fill(0);
  for (let value = 0; value <= FULL; value++) apart[Math.abs(value - offset)] += counts[value];
  const noise = 1.4826 * quantile(apart, 1, 2);
  lessen(ink, offset);
  return { width, height, paper, ink, noise };
}

/** The part of the paper's light that is taken, 0 to FULL. */
function taken(paper, light4, name) {
  const ink = shorts(name, light4.length);
  const share = shorts("ink.share", SHARE.length);
  const fast = kernels(0, paper, light4, share, ink);
  if (fast !== null) {
    share.set(SHARE);
    fast.take(paper.byteOffset, light4.byteOffset, ink.length, share.byteOffset, ink.byteOffset);
    return ink;
  }
  for (let at = 0; at < ink.length; at++) {
    const light = paper[at];
    const less = (light << 2) - light4[at];
    ink[at] = ((less & ~(less >> 31)) * SHARE[light]) >> 6; // no branch: noise cannot be guessed
  }
  return ink;
}

function lessen(ink, offset) {
  if (offset === 0) return;
  const fast = kernels(0, ink);
  if (fast !== null) {
    fast.lessen(ink.byteOffset, ink.length, offset);
    return;
  }
  for (let at = 0; at < ink.length; at++) {
    const over = ink[at] - offset;
    ink[at] = over & ~(over >> 31);
  }
}

/** How many pixels have each ink, of every third in every third row where there are many. */
function sampled(ink, width, height) {
  const counts = ints("ink.counts", FULL + 1);
  counts.fill(0);
  const step = ink.length > 9000 ? 3 : 1;
  for (let y = 0; y < height; y += step) {
    for (let at = y * width, end = at + width; at < end; at += step) counts[ink[at]] += 1;
  }
  return counts;
}

/** The ink above which a pixel may be of a stroke: out of the noise's reach, if weaker than a whole stroke. */
export function threshold(scene) {
  return Math.max(0.6 * MIN_INK, 4 * scene.noise);
}
