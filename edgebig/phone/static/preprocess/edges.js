/** Groups of strokes without what is the edge of a sheet or of a shadow. The twins of `on_paper` and `with_edges` in
 * edgebig/ondevice/strokes.py. */

import { slide } from "./sampling.js";
import { bytes } from "./scratch.js";

const STRONG = 255; // ink that takes a quarter of the light
const NEAR = 4; // pixels to every side of a stroke, in which the edge of a sheet is not to lie

/**
 * Without what lies along the edge of the sheet, where one side is much darker: a shadow takes less light. What is near
 * that edge and does not touch it is on the paper. In the deepest shadow ink must be dark to count.
 */
export function onPaper(groups, scene) {
  return groups.filter((group) => {
    let [darkest, lightest] = lights(group, scene);
    if (5 * darkest >= 2 * lightest) return true;
    [darkest, lightest] = lightsNear(group, scene);
    if (5 * darkest >= 2 * lightest) return true;
    const { pixels, sum } = ownInk(group, scene);
    return 4 * darkest >= lightest && sum > STRONG * pixels;
  });
}

/** The darkest and the lightest of the paper in and around a group's box. */
function lights(group, { paper, width, height }) {
  const [x0, y0, x1, y1] = group.box;
  const margin = Math.max(4, Math.floor(Math.min(group.width, group.height) / 4));
  let [least, most] = [255, 0];
  for (let y = Math.max(y0 - margin, 0), bottom = Math.min(y1 + margin, height); y < bottom; y++) {
    for (let x = Math.max(x0 - margin, 0), right = Math.min(x1 + margin, width); x < right; x++) {
      const light = paper[y * width + x];
      if (light < least) least = light;
      if (light > most) most = light;
    }
  }
  return [least, most];
}

/** Of that under its strokes and next to them: a sheet may end beside a digit, but not in it. */
function lightsNear(group, scene) {
  const { x0, y0, own } = group.within(NEAR, scene, "edges.own");
  const { width, height } = own;
  slide(own, 2 * NEAR + 1, true);
  let [least, most] = [255, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, from = (y0 + y) * scene.width + x0; x < width; x++, at++, from++) {
      if (own.data[at] === 0) continue;
      if (scene.paper[from] < least) least = scene.paper[from];
      if (scene.paper[from] > most) most = scene.paper[from];
    }
  }
  return [least, most];
}

/** How many pixels are the group's own, and the sum of their ink. */
function ownInk({ box, mask, width, height }, scene) {
  let [pixels, sum] = [0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, from = (box[1] + y) * scene.width + box[0]; x < width; x++, at++, from++) {
      pixels += mask[at];
      sum += mask[at] * scene.ink[from];
    }
  }
  return { pixels, sum };
}

/**
 * Without what fades away slowly, as the corner of a soft shadow does, even more than strokes out of focus. Around a
 * stroke there is less than three quarters of the ink from which on pixels were taken as strokes.
 */
export function withEdges(groups, parts, scene) {
  const least = leastInk(parts, scene);
  return groups.filter((group) => isSharp(group, scene, least));
}

function leastInk({ runs, row, from, to }, { ink, width }) {
  let least = Infinity;
  for (let run = 0; run < runs; run++) {
    for (let at = row[run] * width + from[run], end = row[run] * width + to[run]; at < end; at++) {
      if (ink[at] < least) least = ink[at];
    }
  }
  return least;
}

function isSharp(group, scene, least) {
  const reach = Math.max(3, Math.floor(Math.max(group.width, group.height) / 40));
  const { x0, y0, own } = group.within(reach, scene, "edges.own");
  const { width, height } = own;
  const near = bytes("edges.near", own.data.length);
  near.set(own.data);
  slide({ width, height, data: near }, 2 * reach + 1, true);
  let [pixels, sum] = [0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, from = (y0 + y) * scene.width + x0; x < width; x++, at++, from++) {
      if (near[at] === own.data[at] || scene.ink[from] >= least) continue;
      pixels += 1;
      sum += scene.ink[from];
    }
  }
  return 4 * sum < 3 * least * pixels || pixels === 0;
}
