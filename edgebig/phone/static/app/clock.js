// Time in whole nanoseconds, and how coarse the browser made its clock (5 us isolated, 100 us or 1 ms without).

export function nowNs() {
  return Math.round(performance.now() * 1e6);
}

const STEPS = 12;
const AT_MOST_MS = 100;

// The smallest step that the clock takes, in ns; a step of a clock that gives every ns is the loop's own.
export function resolutionNs() {
  let least = Infinity;
  const end = performance.now() + AT_MOST_MS;
  for (let step = 0; step < STEPS && performance.now() < end; step++) {
    const before = performance.now();
    let after = before;
    while (after === before && after < end) after = performance.now();
    least = Math.min(least, after - before);
  }
  return Math.round(least * 1e6);
}

// The value below which a share q of the samples lies, between two of them where it must be; NaN of none.
export function quantile(samples, q) {
  if (samples.length === 0) return NaN;
  const sorted = Float64Array.from(samples).sort();
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}
