/** A mask -> its connected parts, measured. The twin of edgebig/ondevice/parts.py. */

import { bytes, doubles, ints } from "./scratch.js";
import { allocate, kernels } from "./simd.js";

/**
 * Connected strokes, in scratch arrays: what `connected` gave before is gone when it is called again.
 *
 * Of each of the `count` parts: its box (left, top, right, bottom; ends excluded), its area in pixels, the length of
 * its edge, and its strength, the mean of its ink weighted by itself. Of each of the `runs`, pixels side by side in one
 * row: the row, its first x, the x after its last, and the part that it is of.
 */
class Parts {
  constructor(runs) {
    this.count = 0;
    this.runs = runs;
    this.chain = null;
    for (const name of ["row", "from", "to"]) this[name] = ints(`parts.${name}`, runs, allocate);
    this.part = ints("parts.part", runs);
    for (const name of ["left", "top", "right", "bottom", "area"]) this[name] = ints(`parts.${name}`, runs);
    for (const name of ["edge", "strength"]) this[name] = doubles(`parts.${name}`, runs);
  }

  box(part) {
    return [this.left[part], this.top[part], this.right[part], this.bottom[part]];
  }

  /** Uint8Array of 0 and 1, new: which pixels of the box are of these parts. */
  mask(members, [x0, y0, x1, y1]) {
    const width = x1 - x0;
    const mask = new Uint8Array(width * (y1 - y0));
    const { first, next } = this.chained();
    for (const part of members) {
      for (let run = first[part]; run >= 0; run = next[run]) {
        const start = (this.row[run] - y0) * width - x0;
        mask.fill(1, start + this.from[run], start + this.to[run]);
      }
    }
    return mask;
  }

  /** The runs of each part: its first, and of each run the next one of the same part, or -1. */
  chained() {
    if (this.chain === null) {
      const first = ints("parts.first", this.count).fill(-1);
      const next = ints("parts.next", this.runs);
      for (let run = this.runs - 1; run >= 0; run--) {
        next[run] = first[this.part[run]];
        first[this.part[run]] = run;
      }
      this.chain = { first, next };
    }
    return this.chain;
  }
}

/** Uint16Array ink, Uint8Array mask of 0 and 1 -> the mask's 8-connected parts, in order of their first pixels. */
export function connected(ink, mask, width, height) {
  const runs = runsOf(mask, width, height);
  const parts = new Parts(runs);
  join(parts, ints("runs.root", runs));
  measure(parts, ink, mask, width, height);
  return parts;
}

/** Writes the rows and ends of the mask's runs where `Parts` has them; their number. */
function runsOf(mask, width, height) {
  const most = height * ((width + 1) >> 1);
  const [row, from, to] = ["row", "from", "to"].map((name) => ints(`parts.${name}`, most, allocate));
  const fast = kernels(0, mask, row, from, to);
  if (fast !== null) {
    return fast.runs(mask.byteOffset, width, height, row.byteOffset, from.byteOffset, to.byteOffset);
  }
  let runs = 0;
  for (let y = 0, at = 0; y < height; y++) {
    const start = at;
    const end = at + width;
    while (at < end) {
      while (at < end && mask[at] === 0) at += 1;
      if (at === end) break;
      row[runs] = y;
      from[runs] = at - start;
      while (at < end && mask[at] !== 0) at += 1;
      to[runs++] = at - start;
    }
  }
  return runs;
}

/** Runs that touch get one part: roots hook to smaller ones, so that parts come in order of their first runs. */
function join(parts, root) {
  const { runs, row, from, to } = parts;
  for (let run = 0, above = 0; run < runs; run++) {
    root[run] = run;
    while (row[above] < row[run] - 1) above += 1;
    // Runs above that end at this start or later, up to the one that begins behind its end: 8-connected.
    while (row[above] === row[run] - 1 && to[above] < from[run]) above += 1;
    for (let other = above; other < run && row[other] === row[run] - 1 && from[other] <= to[run]; other++) {
      hook(root, run, other);
    }
  }
  for (let run = 0; run < runs; run++) {
    parts.part[run] = root[run] === run ? parts.count++ : parts.part[rootOf(root, run)];
  }
}

function hook(root, a, b) {
  a = rootOf(root, a);
  b = rootOf(root, b);
  if (a < b) root[b] = a;
  else root[a] = b;
}

function rootOf(root, run) {
  while (root[run] !== run) {
    root[run] = root[root[run]];
    run = root[run];
  }
  return run;
}

function measure(parts, ink, mask, width, height) {
  const { count, runs, row, from, to, part, left, top, right, bottom, area, edge, strength } = parts;
  const sums = doubles("parts.sums", count);
  left.fill(width, 0, count);
  top.fill(-1, 0, count);
  for (const values of [right, bottom, area, edge, strength, sums]) values.fill(0, 0, count);
  for (let run = 0; run < runs; run++) {
    const own = part[run];
    const y = row[run];
    if (top[own] < 0) top[own] = y;
    bottom[own] = y + 1;
    if (from[run] < left[own]) left[own] = from[run];
    if (to[run] > right[own]) right[own] = to[run];
    area[own] += to[run] - from[run];
    edge[own] += crossings(mask, width, height, y, from[run], to[run]);
    let sum = 0;
    let squares = 0;
    for (let at = y * width + from[run], end = y * width + to[run]; at < end; at++) {
      sum += ink[at];
      squares += ink[at] * ink[at];
    }
    sums[own] += sum;
    strength[own] += squares;
  }
  for (let own = 0; own < count; own++) {
    strength[own] /= Math.max(sums[own], 1e-9);
    edge[own] *= Math.PI / 4; // rows and columns enter and leave a part so often, and edges slant
  }
}

/** How often its row enters and leaves a run, and the columns enter and leave the part there. */
function crossings(mask, width, height, y, from, to) {
  let ends = 2;
  const above = (y - 1) * width;
  const below = (y + 1) * width;
  if (y === 0) ends += to - from;
  else for (let x = from; x < to; x++) ends += 1 - mask[above + x];
  if (y === height - 1) ends += to - from;
  else for (let x = from; x < to; x++) ends += 1 - mask[below + x];
  return ends;
}

/** Those of the parts that `keep` marks, numbered anew, in the same arrays. */
export function select(parts, keep) {
  const renumbered = ints("parts.new", parts.count);
  let count = 0;
  for (let part = 0; part < parts.count; part++) {
    renumbered[part] = keep[part] ? count : -1;
    if (!keep[part]) continue;
    for (const name of ["left", "top", "right", "bottom", "area", "edge", "strength"]) {
      parts[name][count] = parts[name][part];
    }
    count += 1;
  }
  let runs = 0;
  for (let run = 0; run < parts.runs; run++) {
    const part = renumbered[parts.part[run]];
    if (part < 0) continue;
    for (const name of ["row", "from", "to"]) parts[name][runs] = parts[name][run];
    parts.part[runs++] = part;
  }
  parts.count = count;
  parts.runs = runs;
  parts.chain = null;
  return parts;
}

/** Uint8Array, of each part: may it be a stroke, or is it a speck, a blot, a rule or the page's edge? */
export function plausible(parts, width, height) {
  const keep = bytes("parts.plausible", parts.count);
  const cropped = bytes("parts.cropped", parts.count);
  const longest = Math.max(width, height);
  let any = false;
  for (let part = 0; part < parts.count; part++) {
    const w = parts.right[part] - parts.left[part];
    const h = parts.bottom[part] - parts.top[part];
    const large = Math.max(w, h) >= Math.max(5, 0.015 * longest);
    const solid = 10 * parts.area[part] > 8 * w * h && 2 * w > h;
    const inside =
      parts.left[part] > 0 && parts.top[part] > 0 && parts.right[part] < width && parts.bottom[part] < height;
    const stroke = large && !solid;
    keep[part] = stroke && inside ? 1 : 0;
    cropped[part] = stroke && !isAlong(parts, part, width, height) && w < 0.98 * width && h < 0.98 * height ? 1 : 0;
    if (keep[part]) any = true;
  }
  return any ? keep : cropped; // cropped close
}

/** Whether it is thin and lies along the picture's edge: a line that was cut off. */
function isAlong({ left, top, right, bottom }, part, width, height) {
  const w = right[part] - left[part];
  const h = bottom[part] - top[part];
  const aside = left[part] === 0 || right[part] === width;
  return (aside && 6 * w < h) || ((top[part] === 0 || bottom[part] === height) && 6 * h < w);
}

/** The value at which half of the weight is reached, of those that `keep` marks. `values`, `weights`: of an index. */
export function weightedMedian(count, keep, values, weights) {
  const order = [];
  for (let i = 0; i < count; i++) if (keep === null || keep[i]) order.push(i);
  const value = order.map(values);
  const rank = order.map((_, place) => place).sort((a, b) => value[a] - value[b] || a - b);
  let total = 0;
  for (const place of rank) total += weights(order[place]);
  let upTo = 0;
  for (const place of rank) {
    upTo += weights(order[place]);
    if (upTo >= total / 2) return value[place];
  }
  throw new RangeError("a median of nothing");
}
