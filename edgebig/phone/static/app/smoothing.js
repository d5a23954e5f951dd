// Digits that hold still: the twin of edgebig/ondevice/smoothing.py, where it is said what each number is for.
import { inLines } from "../preprocess/lines.js";

const FADE = 0.8;
const LEAD = 1.25;
const FOLLOW = 0.5;
const SAME_PLACE = 0.25;
const JUMP = 0.5;
const THINGS = 300;
const NONE = "";

export class Smoother {
  // hold: over how many frames a label must lead; of 1 every frame stands for itself.
  constructor(hold) {
    this.hold = hold;
    this.tracks = [];
    this.next = 0;
  }

  // {digits, rejected} of a frame -> [{label, confidence, box, line, track}] to show, in reading order.
  update({ digits, rejected }) {
    const things = [...digits, ...rejected.map((thing) => ({ ...thing, label: NONE }))]
      .sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3])
      .slice(0, THINGS);
    if (this.hold === 1) this.tracks = [];
    const pairs = matched(
      this.tracks.map((track) => track.seen),
      things.map((thing) => thing.box),
    );
    this.tracks.forEach((track, place) => {
      if (!pairs.has(place)) track.missed += 1;
    });
    for (const [place, thing] of pairs) this.see(this.tracks[place], things[thing]);
    const known = new Set(pairs.values());
    things.forEach((thing, index) => {
      if (known.has(index)) return;
      const track = {
        number: this.next++,
        box: thing.box,
        seen: thing.box,
        votes: new Map(),
        weight: 0,
        leading: NONE,
        led: 0,
        shown: NONE,
        missed: 0,
      };
      this.tracks.push(track);
      this.see(track, thing);
    });
    this.tracks = this.tracks.filter((track) => track.missed < (track.shown ? this.hold : 2));
    return inReadingOrder(this.tracks.filter((track) => track.shown));
  }

  see(track, { label, confidence, box }) {
    const moved = Math.max(...box.map((value, side) => Math.abs(value - track.box[side])));
    const follow = moved > JUMP * Math.max(box[2], box[3]) ? 1 : FOLLOW;
    track.box = track.box.map((old, side) => old + follow * (box[side] - old));
    track.seen = box;
    track.missed = 0;
    for (const [name, vote] of track.votes) track.votes.set(name, vote * FADE);
    track.votes.set(label, (track.votes.get(label) ?? 0) + confidence);
    track.weight = track.weight * FADE + 1;
    let leading = NONE;
    let most = -1;
    for (const [name, vote] of track.votes) if (vote > most) [leading, most] = [name, vote];
    track.led = leading === track.leading ? track.led + 1 : 1;
    track.leading = leading;
    const clearly = most >= LEAD * (track.votes.get(track.shown) ?? 0);
    if (track.led >= this.hold && (clearly || !track.shown)) track.shown = leading;
  }
}

// Which of `now` each of `before` is, by their numbers: the pairs that overlap most come first.
function matched(before, now) {
  const pairs = new Map();
  const taken = new Set();
  const likely = [];
  before.forEach((old, place) =>
    now.forEach((box, thing) => {
      const overlap = overlapOf(old, box);
      if (overlap >= SAME_PLACE) likely.push({ place, thing, overlap });
    }),
  );
  likely.sort((a, b) => b.overlap - a.overlap);
  for (const { place, thing } of likely) {
    if (pairs.has(place) || taken.has(thing)) continue;
    pairs.set(place, thing);
    taken.add(thing);
  }
  return pairs;
}

// Intersection over union; a thin box, a 1's, counts as half as wide as it is high.
function overlapOf(a, b) {
  const [a0, a1] = corners(a);
  const [b0, b1] = corners(b);
  const side = (axis) => Math.max(Math.min(a1[axis], b1[axis]) - Math.max(a0[axis], b0[axis]), 0);
  const area = (low, high) => (high[0] - low[0]) * (high[1] - low[1]);
  const common = side(0) * side(1);
  return common / Math.max(area(a0, a1) + area(b0, b1) - common, 1e-9);
}

function corners([x, y, width, height]) {
  const longest = Math.max(width, height);
  const [w, h] = [Math.max(width, longest / 2), Math.max(height, longest / 2)];
  const [mx, my] = [x + width / 2, y + height / 2];
  return [
    [mx - w / 2, my - h / 2],
    [mx + w / 2, my + h / 2],
  ];
}

// Line by line from the top, each from the left, as the preprocessing orders what it finds.
function inReadingOrder(tracks) {
  const groups = tracks.map((track) => {
    const [x, y, width, height] = track.box;
    return { track, box: [x, y, x + width, y + height] };
  });
  return inLines(groups).flatMap((line, number) =>
    line.map(({ track }) => ({
      label: track.shown,
      confidence: track.weight ? (track.votes.get(track.shown) ?? 0) / track.weight : 0,
      box: track.box.map(Math.round),
      line: number,
      track: track.number,
    })),
  );
}
