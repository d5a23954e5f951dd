/**
 * Ruled and squared paper: printed lines that cross the picture are taken out of the ink, the strokes on them stay.
 * The twin of edgebig/ondevice/rules.py.
 */

import { median } from "./sampling.js";
import { bytes, ints } from "./scratch.js";

const STEP = 4; // a line is followed in steps of so many pixels, and may rise or fall by one in each
const LENGTH = 0.6; // of the picture's side: a line of a pen is seldom so long and so straight
const PIECES = 8; // so many thin long parts may be pieces of rules too faint to be seen whole
const THIN = 120; // a line is at most this part of the picture's longer side thick, or 4 pixels

/** Whether a part that is mostly empty spans most of a picture. */
export function mayBeThere(parts, width, height) {
  for (let part = 0; part < parts.count; part++) {
    const w = parts.right[part] - parts.left[part];
    const h = parts.bottom[part] - parts.top[part];
    if ((4 * w > 3 * width || 4 * h > 3 * height) && 4 * parts.area[part] < w * h + 40 * (w + h)) return true;
  }
  return false;
}

/** Whether the parts may be pieces of faint rules. */
export function inPieces(parts) {
  let pieces = 0;
  for (let part = 0; part < parts.count; part++) {
    const w = parts.right[part] - parts.left[part];
    const h = parts.bottom[part] - parts.top[part];
    if (Math.max(w, h) >= 12 && Math.max(w, h) > 5 * Math.min(w, h)) pieces += 1;
  }
  return pieces >= PIECES;
}

/** Uint8Array of 0 and 1, ink -> takes the long thin lines of it that lie or stand nearly straight out of `mask`. */
export function takeOut(ink, width, height, mask) {
  const turned = transposed(ink, width, height, bytes("rules.turned", ink.length));
  const standing = lines(turned, height, width, "rules.standing");
  const lying = lines(ink, width, height, "rules.lying");
  const upright = transposed(standing, height, width, turned);
  for (let at = 0; at < mask.length; at++) if (lying[at] || upright[at]) mask[at] = 0;
}

function transposed(mask, width, height, turned) {
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, to = y; x < width; x++, at++, to += height) turned[to] = mask[at];
  }
  return turned;
}

/**
 * Uint8Array of 0 and 1: the pixels of thin lines from left to right. Where a line's column of ink is much thicker than
 * the line, a stroke crosses it, and the column stays.
 */
function lines(mask, width, height, name) {
  const found = bytes(name, mask.length);
  found.fill(0);
  if (width < STEP || height < 3) return found;
  const onLine = longOnes(mask, width, height);
  const thick = thickness(mask, width, height);
  const counts = ints("rules.counts", height + 1);
  counts.fill(0);
  for (let at = 0; at < mask.length; at++) if (onLine[at]) counts[thick[at]] += 1;
  const thickest = Math.max(4, Math.floor(Math.max(width, height) / THIN));
  let usual = median(counts);
  if (usual > thickest) {
    counts.fill(0); // the way of a line leads through thick strokes: that is not its own thickness
    for (let x = 0; x < width; x++) {
      let thinnest = height + 1;
      for (let at = x; at < mask.length; at += width) if (onLine[at] && thick[at] < thinnest) thinnest = thick[at];
      if (thinnest <= height) counts[thinnest] += 1;
    }
    usual = median(counts);
  }
  if (usual === 0 || usual > thickest) return found;
  const most = usual + Math.max(2, usual >> 1);
  // The whole column of the line's ink, above and below.
  for (let x = 0; x < width; x++) {
    for (let at = x; at < mask.length; at += width) {
      if (!onLine[at] || found[at] || thick[at] > most) continue;
      let top = at;
      while (top >= width && mask[top - width]) top -= width;
      for (let n = 0; n < thick[at]; n++) found[top + n * width] = 1;
    }
  }
  return found;
}

/** Uint8Array: the pixels that a line of LENGTH goes through. */
function longOnes(mask, width, height) {
  const steps = Math.floor(width / STEP);
  const blocks = bytes("rules.blocks", height * steps);
  for (let y = 0, to = 0; y < height; y++) {
    for (let step = 0, at = y * width; step < steps; step++, at += STEP, to++) {
      blocks[to] = 2 * (mask[at] + mask[at + 1] + mask[at + 2] + mask[at + 3]) >= STEP ? 1 : 0;
    }
  }
  const right = reached(blocks, steps, height, 1, "rules.right");
  const left = reached(blocks, steps, height, -1, "rules.left");
  const onLine = bytes("rules.onLine", mask.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const block = y * steps + Math.min(Math.floor(x / STEP), steps - 1);
      const long = right[block] + left[block] - 1 >= LENGTH * steps;
      onLine[at] = long && blocks[block] && mask[at] ? 1 : 0;
    }
  }
  return onLine;
}

/**
 * How many blocks in a row end here, each at most a pixel above or below the last one, coming from the left (`way` 1)
 * or the right (-1).
 */
function reached(blocks, steps, height, way, name) {
  const reach = ints(name, height * steps);
  for (let n = 0; n < steps; n++) {
    const step = way > 0 ? n : steps - 1 - n;
    for (let y = 0, at = step; y < height; y++, at += steps) {
      if (!blocks[at]) reach[at] = 0;
      else if (n === 0) reach[at] = 1;
      else {
        const before = at - way;
        const above = y > 0 ? reach[before - steps] : 0;
        const below = y < height - 1 ? reach[before + steps] : 0;
        reach[at] = Math.max(above, reach[before], below) + 1;
      }
    }
  }
  return reach;
}

/** Of each pixel, how many pixels of ink are in one column with it without a gap. */
function thickness(mask, width, height) {
  const thick = ints("rules.thick", mask.length);
  thick.fill(0);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (!mask[y * width + x]) continue;
      const top = y;
      while (y < height && mask[y * width + x]) y += 1;
      for (let own = top; own < y; own++) thick[own * width + x] = y - top;
    }
  }
  return thick;
}
