/** Ink -> strokes -> the strokes of each digit, in reading order. The twin of edgebig/ondevice/strokes.py. */

import { MIN_INK, above, retain, threshold } from "./ink.js";
import { connected, plausible, select, weightedMedian } from "./parts.js";
import { inPieces, mayBeThere, takeOut } from "./rules.js";
import { bytes } from "./scratch.js";

const MAX_PARTS = 300; // in one picture; the largest count
const MAX_PAIRS = 2000; // of parts that may be of one digit; the nearest count
const ROUNDS = 8; // what has grown by joining may join with more
const EDGE = 200; // pixels of a part's outline, to measure gaps by
// How far strokes of one digit may be apart, as a part of the usual height.
const ANY = 9.0; // when one lies in the other's box
const FRAGMENT = 0.2; // when one is a fragment, or above the other
const BESIDE = 0.08;
const LOW = 0.4; // a stroke that is lower is a bar or a dot, no digit
const STACKED = 1.3; // two strokes above each other that are together no higher are halves of one digit
const FLAT = 0.3; // what is lower is a bar that nothing was near enough to be joined to

/** Ink that is strong enough, in connected parts, without specks, page edges and rules. */
export function strokesOf(scene) {
  const { ink, width, height, noise } = scene;
  const weak = threshold(scene);
  const mask = above(ink, weak, "strokes.mask");
  let parts = connected(ink, mask, width, height);
  const faint = inPieces(parts);
  if (faint || mayBeThere(parts, width, height)) {
    takeOut(faint ? above(ink, 0.6 * weak, "strokes.faint") : mask, width, height, mask);
    parts = connected(ink, mask, width, height);
  }
  const strong = Math.max(MIN_INK, 6 * noise);
  const keep = plausible(parts, width, height);
  for (let part = 0; part < parts.count; part++) if (!(parts.strength[part] > strong)) keep[part] = 0;
  if (!keep.includes(1)) return select(parts, keep);
  const { strength, area } = parts;
  const level = weightedMedian(parts.count, keep, (part) => strength[part], (part) => area[part]);
  retain(ink, Math.max(weak, 0.4 * level), mask);
  parts = connected(ink, mask, width, height);
  const stay = plausible(parts, width, height);
  for (let part = 0; part < parts.count; part++) if (!(parts.strength[part] > 0.5 * level)) stay[part] = 0;
  return select(parts, stay);
}

/** Strokes of one digit: its box [x0, y0, x1, y1], ends excluded, and which of the box's pixels are its own, 0 or 1. */
export class Group {
  constructor(box, mask) {
    this.box = box;
    this.mask = mask;
    this.width = box[2] - box[0];
    this.height = box[3] - box[1];
  }

  /**
   * Its box, larger by the margin where the picture has room: the corner x0, y0, and `own`, a picture that is 255 where
   * its own pixels are. `name`: the scratch array that this lies in.
   */
  within(margin, picture, name) {
    const [x0, y0] = [Math.max(this.box[0] - margin, 0), Math.max(this.box[1] - margin, 0)];
    const width = Math.min(this.box[2] + margin, picture.width) - x0;
    const height = Math.min(this.box[3] + margin, picture.height) - y0;
    const data = bytes(name, width * height);
    data.fill(0);
    for (let y = 0, at = 0; y < this.height; y++) {
      let to = (this.box[1] - y0 + y) * width + this.box[0] - x0;
      for (let x = 0; x < this.width; x++, at++, to++) data[to] = this.mask[at] ? 255 : 0;
    }
    return { x0, y0, own: { width, height, data } };
  }
}

/**
 * Broken strokes belong to the digit that they overlap or nearly touch; other fragments are specks. The nearest pairs
 * of strokes are joined first, and of at most so many pairs.
 */
export function join(parts) {
  const heightOf = (part) => parts.bottom[part] - parts.top[part];
  const tall = weightedMedian(parts.count, null, heightOf, heightOf);
  const largest = largestOf(parts).filter(
    (part) => Math.max(parts.right[part] - parts.left[part], heightOf(part)) > 0.08 * tall,
  );
  const boxes = new Map(largest.map((part) => [part, parts.box(part)]));
  const members = new Map(largest.map((part) => [part, [part]]));
  const of = new Map(largest.map((part) => [part, part]));
  const gaps = new Gaps(parts);
  let pairs = nearPairs(parts, largest, FRAGMENT * tall);
  for (let round = 0; round < ROUNDS; round++) {
    const apart = [];
    for (const pair of pairs) {
      const [a, b] = pair.map((part) => of.get(part));
      if (a === b) continue;
      const most = mostApart(boxes.get(a), boxes.get(b), tall);
      if (most < 0 || (most < ANY && gaps.between(...pair) > most * tall * (most * tall))) {
        apart.push(pair);
        continue;
      }
      boxes.set(a, around(boxes.get(a), boxes.get(b)));
      boxes.delete(b);
      for (const part of members.get(b)) of.set(part, a);
      members.get(a).push(...members.get(b));
      members.delete(b);
    }
    if (apart.length === pairs.length) break;
    pairs = apart;
  }
  const squared = (part) => heightOf(part) * heightOf(part);
  const highest = 2.5 * weightedMedian(parts.count, null, heightOf, squared); // a table has many specks
  return [...boxes]
    .filter(([, box]) => digitShaped(box, tall, highest))
    .map(([part, box]) => new Group(box, parts.mask(members.get(part), box)));
}

/** The parts with most pixels, in their own order. */
function largestOf(parts) {
  const order = Array.from({ length: parts.count }, (_, part) => part);
  if (order.length <= MAX_PARTS) return order;
  order.sort((a, b) => parts.area[b] - parts.area[a] || a - b);
  return order.slice(0, MAX_PARTS).sort((a, b) => a - b);
}

/** The pairs of parts whose boxes are at most so far apart on each axis, the nearest first. */
function nearPairs(parts, which, most) {
  const { left, top, right, bottom } = parts;
  const found = [];
  for (const [place, i] of which.entries()) {
    for (const j of which.slice(place + 1)) {
      const apart = Math.max(
        Math.max(left[i], left[j]) - Math.min(right[i], right[j]),
        Math.max(top[i], top[j]) - Math.min(bottom[i], bottom[j]),
      );
      if (apart <= most) found.push({ apart, pair: [i, j] });
    }
  }
  found.sort((a, b) => a.apart - b.apart); // stable: of equally near ones the first stays first
  return found.slice(0, MAX_PAIRS).map(({ pair }) => pair);
}

/** How far parts are apart, each measured when it is first asked for. */
class Gaps {
  constructor(parts) {
    this.parts = parts;
    this.edge = new Map();
    this.squared = new Map();
  }

  /** The squared distance of the nearest two of their outermost pixels. */
  between(i, j) {
    const pair = i * this.parts.count + j;
    let least = this.squared.get(pair);
    if (least === undefined) {
      least = leastSquared(this.edgeOf(i), this.edgeOf(j));
      this.squared.set(pair, least);
    }
    return least;
  }

  /** Its outermost pixels, as y, x, y, x, ...: at most EDGE, evenly chosen. */
  edgeOf(part) {
    let edge = this.edge.get(part);
    if (edge === undefined) {
      const box = this.parts.box(part);
      edge = evenly(outline(this.parts.mask([part], box), box));
      this.edge.set(part, edge);
    }
    return edge;
  }
}

function outline(mask, [x0, y0, x1, y1]) {
  const [width, height] = [x1 - x0, y1 - y0];
  const own = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const points = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!own(x, y) || (own(x, y - 1) && own(x, y + 1) && own(x - 1, y) && own(x + 1, y))) continue;
      points.push(y + y0, x + x0);
    }
  }
  return points;
}

function evenly(points) {
  const step = Math.ceil(points.length / 2 / EDGE);
  return Int32Array.from(points.filter((_, at) => (at >> 1) % step === 0));
}

function leastSquared(p, q) {
  let least = Infinity;
  for (let i = 0; i < p.length; i += 2) {
    for (let j = 0; j < q.length; j += 2) {
      const down = p[i] - q[j];
      const across = p[i + 1] - q[j + 1];
      const squared = down * down + across * across;
      if (squared < least) least = squared;
    }
  }
  return least;
}

function around(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

/** How far apart strokes in these boxes may be to be of one digit, as a part of `tall`; below 0: they are of two. */
function mostApart(a, b, tall) {
  const [ax0, ay0, ax1, ay1] = a;
  const [bx0, by0, bx1, by1] = b;
  const inX = Math.min(ax1, bx1) - Math.max(ax0, bx0);
  const inY = Math.min(ay1, by1) - Math.max(ay0, by0);
  const narrow = Math.min(ax1 - ax0, bx1 - bx0);
  const low = Math.min(ay1 - ay0, by1 - by0);
  if (inX > 0.6 * narrow && inY > 0.6 * low) return ANY;
  const width = Math.max(ax1, bx1) - Math.min(ax0, bx0);
  const height = Math.max(ay1, by1) - Math.min(ay0, by0);
  if (height > 1.8 * tall || width > 1.2 * height) return -1;
  const small = Math.min(Math.max(ax1 - ax0, ay1 - ay0), Math.max(bx1 - bx0, by1 - by0)) < 0.5 * tall;
  const stacked = inX > 0.5 * narrow && height < STACKED * tall;
  return small || stacked || low < LOW * tall ? FRAGMENT : BESIDE;
}

function digitShaped([x0, y0, x1, y1], tall, highest) {
  const [w, h] = [x1 - x0, y1 - y0];
  return Math.max(w, h) > 0.4 * tall && h < highest && w < 4 * h && h > FLAT * tall;
}
