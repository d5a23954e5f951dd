// Paper to write on: strokes by finger, pen or mouse, or digits by their keys; read while they are written.
import { drawBoxes, textOf } from "./overlay.js";
import { timesOf } from "./camera.js";
import { take } from "./picture.js";

const WIDTH = 640;
const HEIGHT = 320;
const PEN = 13;
const INK = "#15181c";
const COLUMNS = 6;

// How a digit key writes: points in a box of 1 x 1.
// prettier-ignore
const GLYPHS = {
  0: [[[0.5, 0], [0.2, 0.12], [0.05, 0.5], [0.2, 0.88], [0.5, 1], [0.8, 0.88], [0.95, 0.5], [0.8, 0.12], [0.5, 0]]],
  1: [[[0.3, 0.2], [0.55, 0], [0.55, 1]]],
  2: [[[0.1, 0.25], [0.3, 0.03], [0.65, 0], [0.88, 0.2], [0.8, 0.45], [0.1, 1], [0.95, 1]]],
  3: [[[0.12, 0.1], [0.5, 0], [0.85, 0.15], [0.8, 0.38], [0.4, 0.48], [0.85, 0.6], [0.9, 0.85], [0.5, 1], [0.08, 0.9]]],
  4: [[[0.6, 0], [0.08, 0.62], [0.95, 0.62]], [[0.7, 0.3], [0.7, 1]]],
  5: [[[0.9, 0], [0.2, 0], [0.15, 0.45], [0.6, 0.4], [0.9, 0.62], [0.8, 0.92], [0.4, 1], [0.08, 0.9]]],
  6: [[[0.75, 0], [0.3, 0.25], [0.08, 0.65], [0.25, 0.95], [0.6, 1], [0.88, 0.8], [0.75, 0.55], [0.4, 0.5], [0.12, 0.7]]],
  7: [[[0.05, 0], [0.95, 0], [0.4, 1]]],
  8: [[[0.5, 0.45], [0.15, 0.25], [0.3, 0.02], [0.7, 0.02], [0.85, 0.25], [0.5, 0.45], [0.1, 0.72], [0.3, 1], [0.7, 1], [0.9, 0.72], [0.5, 0.45]]],
  9: [[[0.88, 0.25], [0.6, 0.5], [0.2, 0.42], [0.12, 0.15], [0.45, 0], [0.8, 0.08], [0.88, 0.3], [0.75, 1]]],
};

export class Paper {
  constructor(parts, reading, speech, threshold) {
    Object.assign(this, {
      parts,
      reading,
      speech,
      threshold,
      strokes: [],
      pointer: null,
      dirty: false,
      working: false,
    });
    Object.assign(parts.paper, { width: WIDTH, height: HEIGHT });
    this.context = parts.paper.getContext("2d", { willReadFrequently: true });
    const { paper } = parts;
    paper.addEventListener("pointerdown", (event) => this.begin(event));
    paper.addEventListener("pointermove", (event) => this.follow(event));
    for (const name of ["pointerup", "pointercancel"]) paper.addEventListener(name, (event) => this.end(event));
    paper.addEventListener("keydown", (event) => this.key(event));
    parts.undo.addEventListener("click", () => this.undo());
    parts.clear.addEventListener("click", () => this.clear());
    this.redraw();
  }

  ready() {
    this.changed();
  }

  // How many digits keys wrote.
  get glyphs() {
    return this.strokes.filter(({ glyph }) => glyph).length;
  }

  begin(event) {
    if (this.pointer !== null || !event.isPrimary || event.button > 0) return;
    event.preventDefault();
    this.parts.paper.focus({ preventScroll: true });
    this.parts.paper.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.strokes.push([this.point(event)]);
    this.redraw();
  }

  follow(event) {
    if (event.pointerId !== this.pointer) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) this.strokes.at(-1).push(this.point(move));
    this.redraw();
  }

  end(event) {
    if (event.pointerId === this.pointer) this.pointer = null;
  }

  point(event) {
    const { left, top, width, height } = this.parts.paper.getBoundingClientRect();
    return [((event.clientX - left) / width) * WIDTH, ((event.clientY - top) / height) * HEIGHT];
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in GLYPHS) this.write(event.key);
    else if (event.key === "Backspace") this.undo();
    else if (event.key === "Delete" || event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  }

  write(digit) {
    if (this.glyphs === COLUMNS) this.clear();
    const left = 34 + (this.glyphs * (WIDTH - 40)) / COLUMNS;
    const strokes = GLYPHS[digit].map((stroke) => stroke.map(([x, y]) => [left + 56 * x, 105 + 110 * y]));
    strokes.forEach((stroke, index) =>
      this.strokes.push(Object.assign(stroke, { glyph: index === 0, part: index > 0 })),
    );
    this.redraw();
  }

  undo() {
    // All strokes of a digit that a key wrote go together.
    while (this.strokes.pop()?.part);
    this.redraw();
  }

  clear() {
    this.strokes = [];
    this.redraw();
  }

  redraw() {
    const { context } = this;
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, WIDTH, HEIGHT);
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: INK });
    for (const [first, ...rest] of this.strokes) {
      context.beginPath();
      context.moveTo(...first);
      if (rest.length === 0) context.lineTo(first[0] + 0.1, first[1]);
      for (const point of rest) context.lineTo(...point);
      context.stroke();
    }
    this.parts.undo.disabled = this.parts.clear.disabled = this.strokes.length === 0;
    this.changed();
  }

  changed() {
    this.dirty = true;
    this.pump();
  }

  // Reads what is on the paper as often as the reader can.
  async pump() {
    if (!this.dirty || this.working || !this.reading.free) return;
    [this.dirty, this.working] = [false, true];
    try {
      if (this.strokes.length === 0) {
        this.show({ width: WIDTH, height: HEIGHT, digits: [], rejected: [] });
        return;
      }
      const picture = await take(this.parts.paper, WIDTH, HEIGHT);
      const found = await this.reading.read(picture, this.threshold());
      if (found) this.show(found);
      else this.dirty = true;
    } catch (error) {
      this.parts.times.textContent = `It could not be read: ${error.message}`;
    } finally {
      this.working = false;
      this.pump();
    }
  }

  show(found) {
    drawBoxes(this.parts.boxes, found, found.digits, found.rejected);
    const text = textOf(found.digits);
    this.parts.answer.textContent = text || "\u00a0";
    this.parts.times.textContent = found.times ? timesOf(found) : "";
    if (this.strokes.length) this.speech.say(text || "No digit");
  }
}
