// From pixels to a model's input and from its raw outputs to scores: the twin of edgebig/ondevice/infer.py.

const LIMITS = { uint8: [0, 255] };

// 256 values of the input's dtype: what each grey level (ink is 255) becomes; infer.input_table, bit for bit.
// tensor: {dtype, scale, zero_point}; preprocessing: {low, high, ink_is_high}.
export function inputTable(tensor, preprocessing) {
  const { low, high } = preprocessing;
  const real = Float32Array.from({ length: 256 }, (_, level) => {
    const ink = preprocessing.ink_is_high ? level : 255 - level;
    return low + ((high - low) * ink) / 255;
  });
  if (tensor.dtype === "float32") return real;
  const [least, most] = LIMITS[tensor.dtype];
  if (!tensor.scale) {
    if (!real.every((value) => value >= least && value <= most && Number.isInteger(value))) {
      throw new RangeError(`pixels as ${low}..${high} do not fit an input of ${tensor.dtype} without a scale`);
    }
    return Uint8Array.from(real);
  }
  const scale = Math.fround(tensor.scale);
  return Uint8Array.from(real, (value) => {
    const steps = Math.fround(value / scale);
    // Halves go away from zero, as the reference QUANTIZE operator has it.
    const quantized = Math.sign(steps) * Math.floor(Math.abs(steps) + 0.5) + (tensor.zero_point ?? 0);
    return Math.min(Math.max(quantized, least), most);
  });
}

// pixels: Uint8Array of the input's size -> its values.
export function look(table, pixels, values) {
  for (let index = 0; index < pixels.length; index++) values[index] = table[pixels[index]];
  return values;
}

// The first of the largest, as numpy's argmax.
export function argmax(row) {
  let best = 0;
  for (let index = 1; index < row.length; index++) if (row[index] > row[best]) best = index;
  return best;
}

// Real values of raw outputs; tensor: {scale, zero_point}, a scale of 0 or null where it is not quantized.
export function scores(raw, tensor) {
  if (!tensor.scale) return Float32Array.from(raw);
  return Float32Array.from(raw, (value) => (value - (tensor.zero_point ?? 0)) * tensor.scale);
}
