/**
 * Pixels -> pixels at another size, or the largest and smallest of those around each; all in whole numbers.
 *
 * The twin of edgebig/ondevice/sampling.py, function by function, equal to the bit. A picture is {width, height, data},
 * its pixels row by row. `name` is the scratch array that the result lies in.
 */

import { bytes, ints, shorts } from "./scratch.js";
import { allocate, kernels, temporary } from "./simd.js";

/** The means of factor x factor blocks, as Pillow has them; those at the right and bottom edge may be smaller. */
export function reduce(picture, factor, name) {
  if (factor <= 1) return picture;
  const { width, height, data } = picture;
  const columns = Math.ceil(width / factor);
  const rows = Math.ceil(height / factor);
  const reduced = bytes(name, rows * columns);
  const result = { width: columns, height: rows, data: reduced };
  const fast = kernels(4 * columns, data, reduced);
  if (fast !== null) {
    fast.reduce(data.byteOffset, width, height, factor, reduced.byteOffset, temporary.address);
    return result;
  }
  const sums = ints("reduce.sums", columns);
  for (let row = 0; row < rows; row++) {
    const first = row * factor;
    const last = Math.min(first + factor, height);
    sums.fill(0);
    for (let y = first; y < last; y++) addBlocks(data, y * width, width, factor, sums);
    meansOf(sums, last - first, width, factor, reduced, row * columns);
  }
  return result;
}

/** One row's pixels, added up by `factor` of them. */
function addBlocks(data, start, width, factor, sums) {
  const whole = Math.floor(width / factor);
  let at = start;
  if (factor === 2) {
    for (let column = 0; column < whole; column++, at += 2) sums[column] += data[at] + data[at + 1];
  } else if (factor === 3) {
    for (let column = 0; column < whole; column++, at += 3) sums[column] += data[at] + data[at + 1] + data[at + 2];
  } else {
    for (let column = 0; column < whole; column++) {
      let sum = 0;
      for (const end = at + factor; at < end; at++) sum += data[at];
      sums[column] += sum;
    }
  }
  for (const end = start + width; at < end; at++) sums[whole] += data[at];
}

/** ((s + n // 2) * (2**24 // n)) >> 24 of each sum of n pixels; it stays below 2**32. */
function meansOf(sums, lines, width, factor, reduced, start) {
  const whole = Math.floor(width / factor);
  for (let column = 0; column < sums.length; column++) {
    const n = lines * (column < whole ? factor : width - whole * factor);
    reduced[start + column] = Math.imul(sums[column] + (n >> 1), Math.floor(2 ** 24 / n)) >>> 24;
  }
}

/**
 * A picture factor times as large, linear between the middles of pixels, rounded on each axis; cut to width x height.
 * `name`: the scratch array of the result.
 */
export function enlarge(picture, factor, width, height, name) {
  const enlarged = bytes(name, width * height);
  const mean = dividedBy(2 * factor, "enlarge.mean");
  const fast = kernels(picture.width, picture.data, mean, enlarged);
  if (fast !== null) {
    const from = [picture.data.byteOffset, picture.width, picture.height, factor, mean.byteOffset];
    fast.enlarge(...from, enlarged.byteOffset, width, height, temporary.address);
    return enlarged;
  }
  const row = bytes("enlarge.row", picture.width);
  for (let y = 0; y < height; y++) {
    const own = Math.floor(y / factor);
    const off = 2 * (y - own * factor) + 1 - factor; // from the pixel's middle, in parts of 2 * factor
    const other = Math.min(Math.max(own + Math.sign(off), 0), picture.height - 1);
    mix(picture, own, other, Math.abs(off), factor, mean, row);
    stretch(row, factor, mean, enlarged, y * width, width);
  }
  return enlarged;
}

/** Uint8Array: of each sum its (sum + of // 2) // of, for sums up to 255 * of. */
function dividedBy(of, name) {
  const table = bytes(name, 255 * of + 1);
  for (let sum = 0; sum < table.length; sum++) table[sum] = Math.floor((sum + (of >> 1)) / of);
  return table;
}

function mix(picture, own, other, part, factor, mean, row) {
  const { width, data } = picture;
  const rest = 2 * factor - part;
  for (let x = 0, a = own * width, b = other * width; x < width; x++, a++, b++) {
    row[x] = mean[data[a] * rest + data[b] * part];
  }
}

function stretch(row, factor, mean, enlarged, start, width) {
  const last = row.length - 1;
  for (let phase = 0; phase < factor; phase++) {
    const off = 2 * phase + 1 - factor;
    const part = Math.abs(off);
    const rest = 2 * factor - part;
    const step = Math.sign(off);
    const to = start + width;
    for (let x = 0, at = start + phase; at < to; x++, at += factor) {
      const other = x + step;
      enlarged[at] = mean[row[x] * rest + row[other < 0 ? 0 : other > last ? last : other] * part];
    }
  }
}

/**
 * A picture at rows x columns: means over areas where an axis shrinks, linear where it grows.
 * Weights are whole 256ths and sums stay below 2**24. `name`: the scratch array of the result.
 */
export function resample(picture, rows, columns, name) {
  const { width, height, data } = picture;
  const down = weights(height, rows, "resample.down");
  const across = weights(width, columns, "resample.across");
  const result = bytes(name, rows * columns);
  const fast = kernels(4 * width, data, down.packed, across.packed, result);
  if (fast !== null) {
    const by = [rows, down.packed.byteOffset, columns, across.packed.byteOffset];
    fast.resample(data.byteOffset, width, ...by, result.byteOffset, temporary.address);
    return { width: columns, height: rows, data: result };
  }
  const line = ints("resample.line", width);
  for (let row = 0; row < rows; row++) {
    line.fill(0);
    for (let k = down.start[row], y = down.first[row]; k < down.start[row + 1]; k++, y++) {
      const weight = down.weight[k];
      for (let x = 0, at = y * width; x < width; x++, at++) line[x] += weight * data[at];
    }
    for (let column = 0; column < columns; column++) {
      let sum = 32768;
      const end = across.start[column + 1];
      for (let k = across.start[column], x = across.first[column]; k < end; k++, x++) sum += across.weight[k] * line[x];
      result[row * columns + column] = sum >> 16;
    }
  }
  return { width: columns, height: rows, data: result };
}

/**
 * How much of each of n pixels is in each of m, in 256ths. Only those that are not 0: of target pixel i they are
 * weight[start[i]] to weight[start[i + 1] - 1], of the pixels from first[i] on. `packed`: all three, for the kernel.
 */
function weights(n, m, name) {
  const packed = ints(name, n + 4 * m + 1, allocate);
  const start = packed.subarray(0, m + 1);
  const first = packed.subarray(m + 1, 2 * m + 1);
  const weight = packed.subarray(2 * m + 1);
  let count = 0;
  for (let i = 0; i < m; i++) {
    start[i] = count;
    count = m <= n ? shares(n, m, i, first, weight, count) : between(n, m, i, first, weight, count);
  }
  start[m] = count;
  return { packed, start, first, weight };
}

function shares(n, m, i, first, weight, count) {
  let j = Math.floor((i * n) / m);
  first[i] = j;
  for (let before = 0; before < 256; ) {
    j += 1; // how much of target pixel i lies before the edge j, rounded
    const upTo = Math.min(Math.floor((512 * (j * m - i * n) + n) / (2 * n)), 256);
    weight[count++] = upTo - before;
    before = upTo;
  }
  return count;
}

function between(n, m, i, first, weight, count) {
  const place = Math.min(Math.max((2 * i + 1) * n - m, 0), 2 * m * (n - 1)); // in 2 * m-ths of a pixel
  const low = Math.floor(place / (2 * m));
  const part = Math.floor((256 * (place - 2 * m * low) + m) / (2 * m));
  first[i] = low;
  weight[count++] = 256 - part;
  if (part > 0) weight[count++] = part;
  return count;
}

/** The largest (smallest) of `reach` values around each, along both axes in turn; nothing outside counts. In place. */
export function slide(picture, reach, largest) {
  const { width, height, data } = picture;
  const before = largest ? reach >> 1 : (reach - 1) >> 1;
  const flip = largest ? 0 : 255; // the smallest is the largest of what is left to 255
  const fast = kernels(turning(width, height, reach), data);
  if (fast !== null) {
    fast.slide(data.byteOffset, width, height, reach, before, flip, temporary.address);
    return;
  }
  for (let x = 0; x < width; x++) slideLine(data, x, width, height, reach, before, flip);
  for (let y = 0; y < height; y++) slideLine(data, y * width, 1, width, reach, before, flip);
}

/** The bytes that a kernel needs to slide along both axes of a picture. */
export function turning(width, height, reach) {
  return height * (width + 15) + width * (height + 15) + 32 * (Math.max(width, height) + reach);
}

/**
 * M. van Herk, Pattern Recognition Letters 13 (1992) 517: every window is the end of one block of `reach` values and
 * the beginning of the next, so that it costs the same however large it is.
 *
 * The larger of a and b is b + d with d = a - b where that is not negative. Without a branch: noise would have the
 * processor guess wrong at every second pixel, which costs more than all the rest.
 */
function slideLine(data, start, stride, n, reach, before, flip) {
  const long = n + reach - 1;
  const ends = bytes("slide.ends", long);
  const begins = bytes("slide.begins", long);
  begins.fill(0, 0, before);
  begins.fill(0, before + n, long);
  for (let i = before, at = start, end = before + n; i < end; i++, at += stride) begins[i] = data[at] ^ flip;
  for (let block = 0; block < long; block += reach) {
    const last = Math.min(block + reach, long) - 1;
    let most = 0;
    for (let i = last; i >= block; i--) {
      const d = begins[i] - most;
      most += d & ~(d >> 31);
      ends[i] = most;
    }
    most = 0;
    for (let i = block; i <= last; i++) {
      const d = begins[i] - most;
      most += d & ~(d >> 31);
      begins[i] = most;
    }
  }
  for (let i = 0, j = reach - 1, at = start; i < n; i++, j++, at += stride) {
    const b = begins[j];
    const d = ends[i] - b;
    data[at] = (b + (d & ~(d >> 31))) ^ flip;
  }
}

/** Uint16Array: four times the 3x3 binomial mean of each pixel, rounded down; the edge's pixels go on. */
export function soften(picture, name) {
  const { width, height, data } = picture;
  const soft = shorts(name, width * height);
  const fast = kernels(2 * (width + 2), data, soft);
  if (fast !== null) {
    fast.soften(data.byteOffset, width, height, soft.byteOffset, temporary.address);
    return soft;
  }
  const down = shorts("soften.down", width + 2);
  for (let y = 0; y < height; y++) {
    const own = y * width;
    const above = y > 0 ? own - width : own;
    const below = y < height - 1 ? own + width : own;
    for (let x = 0; x < width; x++) down[x + 1] = data[above + x] + data[below + x] + 2 * data[own + x];
    down[0] = down[1];
    down[width + 1] = down[width];
    let left = down[0];
    let middle = down[1];
    for (let x = 0; x < width; x++) {
      const right = down[x + 2];
      soft[own + x] = (left + right + 2 * middle) >> 2;
      left = middle;
      middle = right;
    }
  }
  return soft;
}

/**
 * Whole numbers from 0 on, how many there are of each -> the one at place (N - 1) * part // of, in order of size.
 * Of none it is 0.
 */
export function quantile(counts, part, of) {
  return atPlace(counts, Math.floor(((counted(counts) - 1) * part) / of));
}

/** The same -> the one in the middle, or the mean of both, rounded down: np.median there. Of none it is 0. */
export function median(counts) {
  const n = counted(counts);
  return (atPlace(counts, (n - 1) >> 1) + atPlace(counts, n >> 1)) >> 1;
}

function counted(counts) {
  let n = 0;
  for (let value = 0; value < counts.length; value++) n += counts[value];
  return n;
}

function atPlace(counts, place) {
  let upTo = 0;
  for (let value = 0; value < counts.length; value++) {
    upTo += counts[value];
    if (upTo > place) return value;
  }
  return 0;
}
