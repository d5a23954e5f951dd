/** Digits that touch are cut apart where a path crosses least ink. The twin of edgebig/ondevice/touching.py. */

import { quantile, resample } from "./sampling.js";
import { bytes, ints } from "./scratch.js";
import { Group } from "./strokes.js";

const ROWS = 40; // the cut is sought in a drawing that is so high
const WIDE = 1.0; // wider than this part of its height, a group may be two digits
const CROSSED = 0.9; // a cut crosses one stroke, in stroke widths
const VERY_WIDE = 1.3; // a group so wide is seldom one digit: a cut may cross more there
const CROSSED_WIDE = 1.8;
const TALL = 0.68; // each half is at least so high, as a part of the whole
const FAR = 1 << 29;

/** Each group as it is, or in two or more, from the left. */
export function cut(groups, scene) {
  return groups.flatMap((group) => pieces(group, scene, 4));
}

function pieces(group, scene, most) {
  const found = most > 1 && group.width > WIDE * group.height ? halves(group, scene) : null;
  return found === null ? [group] : found.flatMap((half) => pieces(half, scene, most - 1));
}

function halves(group, scene) {
  const ink = ownInk(group, scene);
  if (ink === null) return null;
  const columns = Math.max(3, Math.floor((2 * ROWS * group.width + group.height) / (2 * group.height)));
  const small = resample(ink, ROWS, columns, "touching.small");
  const { path, cost } = cheapest(small);
  const most = group.width < VERY_WIDE * group.height ? CROSSED : CROSSED_WIDE;
  const level = levelOf(small);
  if (cost > most * strokeWidth(small) * level) return null;
  if (crossings(small, path, level >> 2) > 1) return null; // as of a wide 0: two who touch do so once
  const left = new Uint8Array(group.mask.length);
  const right = new Uint8Array(group.mask.length);
  for (let y = 0, at = 0; y < group.height; y++) {
    const column = path[Math.floor((y * ROWS) / group.height)];
    const seam = Math.floor(((2 * column + 1) * group.width) / (2 * columns));
    for (let x = 0; x < group.width; x++, at++) (x < seam ? left : right)[at] = group.mask[at];
  }
  const [a, b] = [tight(left, group), tight(right, group)];
  if (a === null || b === null || Math.min(a.height, b.height) < TALL * group.height) return null;
  return [a, b];
}

/** The group's own ink as a picture, or null where there is none. */
function ownInk(group, scene) {
  const { width, height, box, mask } = group;
  const data = bytes("touching.ink", width * height);
  let any = false;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, from = (box[1] + y) * scene.width + box[0]; x < width; x++, at++, from++) {
      data[at] = mask[at] ? Math.min(scene.ink[from] >> 2, 255) : 0;
      if (data[at]) any = true;
    }
  }
  return any ? { width, height, data } : null;
}

/** The ink that a fifth of the pixels with ink exceeds. */
function levelOf(small) {
  const counts = ints("touching.counts", 256);
  counts.fill(0);
  for (let at = 0; at < small.data.length; at++) if (small.data[at] > 0) counts[small.data[at]] += 1;
  return Math.max(1, quantile(counts, 4, 5));
}

/** How many strokes a path goes through. */
function crossings(small, path, level) {
  let runs = 0;
  let inside = false;
  for (let y = 0; y < ROWS; y++) {
    const crossed = small.data[y * small.width + path[y]] > level;
    if (crossed && !inside) runs += 1;
    inside = crossed;
  }
  return runs;
}

/** The mean stroke width: twice the area by the edge's length. */
function strokeWidth({ width, height, data }) {
  let largest = 0;
  for (let at = 0; at < data.length; at++) if (data[at] > largest) largest = data[at];
  const bold = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] > largest >> 1;
  let area = 0;
  let crossings = 0;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      const own = bold(x, y);
      if (own) area += 1;
      if (own !== bold(x - 1, y)) crossings += 1;
      if (own !== bold(x, y - 1)) crossings += 1;
    }
  }
  return (2 * area) / Math.max(crossings * (Math.PI / 4), 1);
}

/**
 * For each row the column of the cheapest path down, a column aside at most in each row; and its cost. It stays between
 * a fifth and four fifths of the width. Of equal paths it is the one straight up, then to the left.
 */
function cheapest({ width, height, data }) {
  const wide = width + 2;
  const low = Math.floor(width / 5);
  const high = width - low;
  const total = ints("touching.total", height * wide);
  total.fill(FAR);
  for (let y = 0; y < height; y++) {
    for (let x = low; x < high; x++) {
      const above = (y - 1) * wide + x;
      const best = y === 0 ? 0 : Math.min(total[above], total[above + 1], total[above + 2]);
      total[y * wide + x + 1] = best + data[y * width + x];
    }
  }
  const bottom = (height - 1) * wide;
  let x = 0;
  for (let at = 1; at < wide; at++) if (total[bottom + at] < total[bottom + x]) x = at;
  const cost = total[bottom + x];
  const path = ints("touching.path", height);
  for (let y = height - 1; y >= 0; y--) {
    path[y] = x - 1;
    if (y === 0) break;
    const above = (y - 1) * wide;
    let best = x;
    if (total[above + x - 1] < total[above + best]) best = x - 1;
    if (total[above + x + 1] < total[above + best]) best = x + 1;
    x = best;
  }
  return { path, cost };
}

/** The group of a part of another's pixels, or null where there are none. */
function tight(mask, { width, height, box }) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!mask[at]) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  if (right === 0) return null;
  const own = new Uint8Array((right - left) * (bottom - top));
  for (let y = top; y < bottom; y++) {
    own.set(mask.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  }
  return new Group([box[0] + left, box[1] + top, box[0] + right, box[1] + bottom], own);
}
