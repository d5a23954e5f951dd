// Boxes and digits over a picture, and the digits as text by lines.

const SHOWN = "#ffd400";
const SHADE = "#000000";

// size: {width, height} of the picture that was read; things: [{label, box, confidence}] in its pixels.
export function drawBoxes(canvas, size, things, rejected = []) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  // As object-fit: contain lays the picture.
  const scale = Math.min(width / size.width, height / size.height);
  context.setTransform(1, 0, 0, 1, (width - size.width * scale) / 2, (height - size.height * scale) / 2);
  const place = ({ box }) => box.map((value) => value * scale);
  context.setLineDash([4 * ratio, 4 * ratio]);
  for (const thing of rejected) outline(context, place(thing), ratio, "#ffffff");
  context.setLineDash([]);
  for (const thing of things) {
    const box = place(thing);
    outline(context, box, 2 * ratio, SHOWN);
    label(context, box, thing.label, ratio);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
}

// Yellow within black can be seen on paper and on a dark table.
function outline(context, [x, y, width, height], thick, colour) {
  for (const [line, style] of [
    [2 * thick, SHADE],
    [thick, colour],
  ]) {
    context.lineWidth = line;
    context.strokeStyle = style;
    context.strokeRect(x, y, width, height);
  }
}

function label(context, [x, y, width, height], text, ratio) {
  const size = Math.min(Math.max(height * 0.45, 18 * ratio), 40 * ratio);
  context.font = `700 ${size}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  const wide = context.measureText(text).width + 0.4 * size;
  const top = y > size * 1.1 ? y - size * 1.1 : y + height;
  context.fillStyle = SHADE;
  context.fillRect(x - ratio, top, wide, size * 1.1);
  context.fillStyle = SHOWN;
  context.fillText(text, x + 0.2 * size, top + size * 1.08);
}

// Digits in reading order -> their labels, a line for each of theirs; words are kept apart.
export function textOf(things) {
  const lines = new Map();
  for (const { label: text, line } of things) lines.set(line, [...(lines.get(line) ?? []), text]);
  const between = things.some(({ label: text }) => text.length > 1) ? ", " : "";
  return [...lines.values()].map((labels) => labels.join(between)).join("\n");
}

export function milliseconds(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}
