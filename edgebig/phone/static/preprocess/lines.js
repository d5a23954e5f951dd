/** Groups of strokes -> the lines that they stand in. The twin of `in_lines` in edgebig/ondevice/strokes.py. */

/** In reading order: lines from the top, each from the left. The slope of the lines is taken out first. */
export function inLines(groups) {
  const slope = slopeOf(groups);
  const place = ({ box }) => box[1] + box[3] - slope * (box[0] + box[2]);
  const lines = [];
  for (const group of sorted(groups, place)) {
    const fit = lines.map((line) => Math.max(...line.map((other) => shared(group.box, other.box, slope))));
    const best = fit.length ? Math.max(...fit) : 0;
    if (best > 0.3) lines[fit.indexOf(best)].push(group);
    else lines.push([group]);
  }
  return lines.map((line) => sorted(line, ({ box }) => box[0] + box[2]));
}

/** The median of the slopes between neighbours, within bounds. */
function slopeOf(groups) {
  const slopes = [];
  for (const a of groups) {
    let next = null;
    for (const b of groups) {
      if (!(b.box[0] > a.box[0]) || !(shared(a.box, b.box, 0) > 0.2)) continue;
      if (next === null || b.box[0] < next.box[0]) next = b;
    }
    if (next === null) continue;
    const dx = (next.box[0] + next.box[2] - a.box[0] - a.box[2]) / 2;
    if (dx > 0) slopes.push((next.box[1] + next.box[3] - a.box[1] - a.box[3]) / 2 / dx);
  }
  return slopes.length > 2 ? Math.min(Math.max(median(slopes), -0.3), 0.3) : 0;
}

function median(values) {
  const order = Float64Array.from(values).sort();
  const middle = order.length >> 1;
  return order.length % 2 === 1 ? order[middle] : (order[middle - 1] + order[middle]) / 2;
}

/** By `place`, and where that is equal by their boxes. */
function sorted(groups, place) {
  const byBox = (a, b) => {
    const differs = a.findIndex((value, at) => value !== b[at]);
    return differs < 0 ? 0 : a[differs] - b[differs];
  };
  return [...groups].sort((a, b) => place(a) - place(b) || byBox(a.box, b.box));
}

/** The part of the lower box's height that both share, once b is moved along the line to a. */
function shared(a, b, slope) {
  const drop = (slope * (b[0] + b[2] - a[0] - a[2])) / 2;
  return (Math.min(a[3], b[3] - drop) - Math.max(a[1], b[1] - drop)) / Math.min(a[3] - a[1], b[3] - b[1]);
}
