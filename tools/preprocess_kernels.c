// What costs most of a frame in edgebig/phone/static/preprocess/, for WebAssembly with SIMD: the same whole numbers.
//
// tools/make_kernels.py compiles this and writes kernels_wasm.js; simd.js loads it. Each function is the twin of the
// one in JavaScript that calls it, which does the same by itself where there is no WebAssembly. No library, no
// allocation: every pointer is the caller's, and so is `temp`, whose size stands with each. Arrays do not overlap.
#include <stdint.h>
#include <wasm_simd128.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef int32_t i32;
#define EXPORT(name) __attribute__((export_name(name)))
#define UP16(n) (((n) + 15) & ~15)

// The means of factor x factor blocks, as Pillow has them. temp: a whole number a column.
EXPORT("reduce")
void reduce(const u8 *data, i32 width, i32 height, i32 factor, u8 *reduced, i32 *temp) {
  i32 whole = width / factor, columns = (width + factor - 1) / factor;
  for (i32 first = 0; first < height; first += factor) {
    i32 last = first + factor < height ? first + factor : height;
    for (i32 column = 0; column < columns; column++) temp[column] = 0;
    for (i32 y = first; y < last; y++) {
      const u8 *at = data + y * width, *end = at + width;
      if (factor == 2)
        for (i32 column = 0; column < whole; column++, at += 2) temp[column] += at[0] + at[1];
      else if (factor == 3)
        for (i32 column = 0; column < whole; column++, at += 3) temp[column] += at[0] + at[1] + at[2];
      else
        for (i32 column = 0; column < whole; column++)
          for (i32 k = 0; k < factor; k++) temp[column] += *at++;
      while (at < end) temp[whole] += *at++;
    }
    for (i32 column = 0; column < columns; column++) {
      uint32_t n = (last - first) * (column < whole ? factor : width - whole * factor);
      *reduced++ = ((uint32_t)temp[column] + n / 2) * ((1u << 24) / n) >> 24;
    }
  }
}

// A picture factor times as large, linear between the middles of pixels. mean: of each sum its rounded part.
// temp: a byte for each of the small picture's columns.
EXPORT("enlarge")
void enlarge(const u8 *data, i32 small_width, i32 small_height, i32 factor, const u8 *mean, u8 *enlarged, i32 width,
             i32 height, u8 *temp) {
  for (i32 y = 0; y < height; y++, enlarged += width) {
    i32 own = y / factor, off = 2 * (y - own * factor) + 1 - factor;
    i32 other = own + (off > 0) - (off < 0), part = off < 0 ? -off : off, rest = 2 * factor - part;
    other = other < 0 ? 0 : other >= small_height ? small_height - 1 : other;
    const u8 *a = data + own * small_width, *b = data + other * small_width;
    if (factor == 2)
      for (i32 x = 0; x < small_width; x++) temp[x] = (3 * a[x] + b[x] + 2) >> 2;
    else
      for (i32 x = 0; x < small_width; x++) temp[x] = mean[a[x] * rest + b[x] * part];
    if (factor == 2) {
      i32 pairs = width / 2; // of each but the first and last small pixel, both halves
      enlarged[0] = temp[0];
      for (i32 x = 0; x < pairs - 1; x++) {
        enlarged[2 * x + 1] = (3 * temp[x] + temp[x + 1] + 2) >> 2;
        enlarged[2 * x + 2] = (3 * temp[x + 1] + temp[x] + 2) >> 2;
      }
      for (i32 at = pairs > 0 ? 2 * pairs - 1 : 1; at < width; at++) {
        i32 x = at / 2, to = at % 2 ? (x + 1 < small_width ? x + 1 : x) : (x > 0 ? x - 1 : 0);
        enlarged[at] = (3 * temp[x] + temp[to] + 2) >> 2;
      }
      continue;
    }
    for (i32 at = 0, x = 0, phase = 0; at < width; at++) {
      i32 aside = 2 * phase + 1 - factor, to = x + (aside > 0) - (aside < 0), far = aside < 0 ? -aside : aside;
      to = to < 0 ? 0 : to >= small_width ? small_width - 1 : to;
      enlarged[at] = mean[temp[x] * (2 * factor - far) + temp[to] * far];
      if (++phase == factor) phase = 0, x++;
    }
  }
}

// The largest of `reach` values of each column around each, in place; with flip 255 the smallest. M. van Herk's, 16
// columns at once. temp: two lines of n + reach - 1 vectors.
static void slide(u8 *data, i32 stride, i32 n, i32 reach, i32 before, u8 flip, v128_t *temp) {
  i32 lines = n + reach - 1;
  v128_t *begins = temp, *ends = temp + lines, nothing = wasm_u8x16_splat(0), flips = wasm_u8x16_splat(flip);
  for (i32 x = 0; x < stride; x += 16) {
    for (i32 i = 0; i < before; i++) begins[i] = nothing;
    for (i32 i = before + n; i < lines; i++) begins[i] = nothing;
    for (i32 i = 0; i < n; i++) begins[before + i] = wasm_v128_load(data + x + i * stride) ^ flips;
    for (i32 block = 0; block < lines; block += reach) {
      i32 end = block + reach < lines ? block + reach : lines;
      v128_t most = nothing;
      for (i32 i = end - 1; i >= block; i--) ends[i] = most = wasm_u8x16_max(most, begins[i]);
      most = nothing;
      for (i32 i = block; i < end; i++) begins[i] = most = wasm_u8x16_max(most, begins[i]);
    }
    for (i32 i = 0; i < n; i++)
      wasm_v128_store(data + x + i * stride, wasm_u8x16_max(ends[i], begins[i + reach - 1]) ^ flips);
  }
}

static void transpose(const u8 *from, i32 stride, i32 width, i32 height, u8 *to, i32 to_stride) {
  for (i32 top = 0; top < height; top += 16)
    for (i32 x = 0; x < width; x++) {
      const u8 *at = from + top * stride + x;
      i32 bottom = top + 16 < height ? top + 16 : height;
      for (i32 y = top; y < bottom; y++, at += stride) to[x * to_stride + y] = *at;
    }
}

// The largest of `reach` values around each, `before` of them before it, along both axes; with flip 255 the smallest.
// In place. temp: as that of close.
EXPORT("slide")
void slide_both(u8 *data, i32 width, i32 height, i32 reach, i32 before, i32 flip, u8 *temp) {
  i32 stride = UP16(width), turned_stride = UP16(height);
  u8 *upright = temp, *turned = upright + height * stride;
  v128_t *lines = (v128_t *)(turned + width * turned_stride);
  for (i32 y = 0; y < height; y++) __builtin_memcpy(upright + y * stride, data + y * width, width);
  slide(upright, stride, height, reach, before, (u8)flip, lines);
  transpose(upright, stride, width, height, turned, turned_stride);
  slide(turned, turned_stride, width, reach, before, (u8)flip, lines);
  transpose(turned, turned_stride, height, width, data, width);
}

// What is left of the light when all that is narrower than `reach` is closed: the largest, then the smallest around
// each. Along one axis the order of the two axes does not matter, so that both turns are taken while it lies turned.
// temp: height x UP16(width) and width x UP16(height) bytes, then slide's.
EXPORT("close")
void close(const u8 *data, i32 width, i32 height, i32 reach, u8 *closed, u8 *temp) {
  i32 stride = UP16(width), turned_stride = UP16(height), low = reach / 2, high = (reach - 1) / 2;
  u8 *upright = temp, *turned = upright + height * stride;
  v128_t *lines = (v128_t *)(turned + width * turned_stride);
  for (i32 y = 0; y < height; y++) __builtin_memcpy(upright + y * stride, data + y * width, width);
  slide(upright, stride, height, reach, low, 0, lines);
  transpose(upright, stride, width, height, turned, turned_stride);
  slide(turned, turned_stride, width, reach, low, 0, lines);
  slide(turned, turned_stride, width, reach, high, 255, lines);
  transpose(turned, turned_stride, height, width, upright, stride);
  slide(upright, stride, height, reach, high, 255, lines);
  for (i32 y = 0; y < height; y++) __builtin_memcpy(closed + y * width, upright + y * stride, width);
}

// Four times the 3x3 binomial mean, rounded down; the edge's pixels go on. temp: width + 2 numbers of 16 bits.
EXPORT("soften")
void soften(const u8 *data, i32 width, i32 height, u16 *soft, u16 *temp) {
  for (i32 y = 0; y < height; y++, soft += width) {
    const u8 *own = data + y * width, *above = y > 0 ? own - width : own, *below = y < height - 1 ? own + width : own;
    for (i32 x = 0; x < width; x++) temp[x + 1] = above[x] + below[x] + 2 * own[x];
    temp[0] = temp[1];
    temp[width + 1] = temp[width];
    for (i32 x = 0; x < width; x++) soft[x] = (u16)(temp[x] + temp[x + 2] + 2 * temp[x + 1]) >> 2;
  }
}

EXPORT("fourfold")
void fourfold(const u8 *data, i32 n, u16 *light) {
  for (i32 at = 0; at < n; at++) light[at] = (u16)(data[at] << 2);
}

// The part of the paper's light that is taken. share: of each light 255 * 64 by it.
EXPORT("take")
void take(const u8 *paper, const u16 *light4, i32 n, const u16 *share, u16 *ink) {
  for (i32 at = 0; at < n; at++) {
    i32 taken = (paper[at] << 2) - light4[at];
    ink[at] = (u16)((taken > 0 ? taken : 0) * share[paper[at]] >> 6);
  }
}

EXPORT("lessen")
void lessen(u16 *ink, i32 n, i32 offset) {
  u16 off = (u16)offset;
  for (i32 at = 0; at < n; at++) ink[at] = ink[at] > off ? ink[at] - off : 0;
}

// 1 where the ink is more than `most`, else 0.
EXPORT("above")
void above(const u16 *ink, i32 n, i32 most, u8 *mask) {
  u16 limit = (u16)most;
  for (i32 at = 0; at < n; at++) mask[at] = ink[at] > limit;
}

// 0 where the ink is not more than `most`, else as it was.
EXPORT("retain")
void retain(const u16 *ink, i32 n, i32 most, u8 *mask) {
  u16 limit = (u16)most;
  for (i32 at = 0; at < n; at++) mask[at] &= ink[at] > limit;
}

static i32 mean_of(i32 around, i32 count) { return (i32)((double)around / count); }

// The sum of squares and of cubes of each pixel's difference to the mean around it. sums: of all pixels above and to
// the left of each corner. answer: both. Away from the sides the count is one for all, and its reciprocal does for the
// division: the half keeps a mean that is whole from being rounded below itself.
EXPORT("skew")
void skew(const u8 *data, i32 width, i32 height, const i32 *sums, i32 reach, double *answer) {
  int64_t squares = 0, cubes = 0;
  i32 from = reach < width ? reach : width, to = width - reach - 1 > from ? width - reach - 1 : from;
  for (i32 y = 0; y < height; y++, data += width) {
    i32 first = y > reach ? y - reach : 0, last = y + reach + 1 < height ? y + reach + 1 : height;
    const i32 *upper = sums + first * (width + 1), *lower = sums + last * (width + 1);
    for (i32 x = 0; x < width; x++) {
      if (x == from) x = to;
      if (x == width) break;
      i32 left = x > reach ? x - reach : 0, right = x + reach + 1 < width ? x + reach + 1 : width;
      i32 around = lower[right] - lower[left] - upper[right] + upper[left];
      i32 apart = data[x] - mean_of(around, (last - first) * (right - left)), square = apart * apart;
      squares += square;
      cubes += square * apart;
    }
    double share = 1.0 / ((last - first) * (2 * reach + 1));
    const i32 *right = lower + 2 * reach + 1, *upper_right = upper + 2 * reach + 1;
    for (i32 x = from; x < to; x++) {
      i32 around = right[x - reach] - lower[x - reach] - upper_right[x - reach] + upper[x - reach];
      i32 apart = data[x] - (i32)((around + 0.5) * share), square = apart * apart;
      squares += square;
      cubes += square * apart;
    }
  }
  answer[0] = (double)squares;
  answer[1] = (double)cubes;
}

// The runs of a mask, row by row: of each its row, its first x, and the x after its last. How many there are.
EXPORT("runs")
i32 runs(const u8 *mask, i32 width, i32 height, i32 *row, i32 *from, i32 *to) {
  i32 count = 0;
  for (i32 y = 0; y < height; y++, mask += width)
    for (i32 x = 0;;) {
      while (x + 16 <= width && !wasm_v128_any_true(wasm_v128_load(mask + x))) x += 16; // most of a page is empty
      while (x < width && !mask[x]) x++;
      if (x == width) break;
      row[count] = y;
      from[count] = x;
      while (x < width && mask[x]) x++;
      to[count++] = x;
    }
  return count;
}

// A picture at another size. down, across: for its rows and columns, where the weights of each begin and the last ones
// end, which pixel the first of them is of, and the weights, in 256ths. temp: a whole number a column of the picture.
EXPORT("resample")
void resample(const u8 *data, i32 width, i32 rows, const i32 *down, i32 columns, const i32 *across, u8 *result,
              i32 *temp) {
  const i32 *down_first = down + rows + 1, *down_weight = down_first + rows;
  const i32 *across_first = across + columns + 1, *across_weight = across_first + columns;
  for (i32 row = 0; row < rows; row++) {
    for (i32 x = 0; x < width; x++) temp[x] = 0;
    const u8 *at = data + down_first[row] * width;
    for (i32 k = down[row]; k < down[row + 1]; k++, at += width) {
      i32 weight = down_weight[k];
      for (i32 x = 0; x < width; x++) temp[x] += weight * at[x];
    }
    for (i32 column = 0; column < columns; column++) {
      i32 sum = 32768;
      const i32 *of = temp + across_first[column];
      for (i32 k = across[column]; k < across[column + 1]; k++) sum += across_weight[k] * *of++;
      *result++ = (u8)(sum >> 16);
    }
  }
}

// The largest (smallest) of each pixel and its four neighbours, or of all eight. `framed`: width + 2 to a row, one
// more row above and below.
EXPORT("brush")
void brush(const u8 *framed, i32 width, i32 height, i32 cross, i32 wider, u8 *brushed) {
  u8 flip = wider ? 0 : 255;
  i32 stride = width + 2;
  for (i32 y = 0; y < height; y++, brushed += width) {
    const u8 *own = framed + (y + 1) * stride + 1, *above = own - stride, *below = own + stride;
    for (i32 x = 0; x < width; x++) {
      u8 most = own[x] ^ flip, other;
#define LARGER(value) other = (value) ^ flip, most = other > most ? other : most
      LARGER(own[x - 1]), LARGER(own[x + 1]), LARGER(above[x]), LARGER(below[x]);
      if (!cross) LARGER(above[x - 1]), LARGER(above[x + 1]), LARGER(below[x - 1]), LARGER(below[x + 1]);
      brushed[x] = most ^ flip;
    }
  }
}

static i32 apart(const u8 *a, const u8 *b, i32 n) {
  i32 sum = 0;
  for (i32 at = 0; at < n; at++) sum += a[at] > b[at] ? a[at] - b[at] : b[at] - a[at];
  return sum;
}

// The sum of all ink, and of what it changes by from pixel to pixel, straight and slanted. `framed`: a picture with
// one pixel of nothing around it. answer: the three.
EXPORT("edges")
void edges(const u8 *framed, i32 width, i32 height, i32 *answer) {
  i32 sum = 0, straight = 0, slanted = 0;
  for (i32 y = 0; y < height; y++) {
    const u8 *own = framed + y * width, *above = own - width;
    for (i32 x = 0; x < width; x++) sum += own[x];
    straight += apart(own, own + 1, width - 1);
    if (y == 0) continue;
    straight += apart(own, above, width);
    slanted += apart(own + 1, above, width - 1) + apart(own, above + 1, width - 1);
  }
  answer[0] = sum;
  answer[1] = straight;
  answer[2] = slanted;
}
