// Subtraction of masks (PS3.3 C.7.6.10): runs of XA, and presentation states that ask for it.

// The subtraction for a frame as [operation, ranges, frames, averaging, shift, offset]: of the presentation state, or of
// the image if its values are meant to be seen so or a person wants it. Null without one.
function maskOf(viewport, frame) {
  if (frame.block < 0 || isColour(frame)) return null;
  const state = viewport.presentation;
  const content = state && state.referenced.includes(frame.instance) && presentationContent(state);
  if (content) return maskAmong(content.masks, frame);
  const wanted = viewport.subtracts === undefined ? frame.subtracted : viewport.subtracts;
  return wanted ? maskAmong(frame.masks, frame) : null;
}

// Whether an image has a mask that the viewer cannot subtract. A presentation state has its own masks in place of it.
function isMaskUnread(viewport, frame) {
  return Boolean(frame.unread_masks) && !viewport.presentation;
}

function maskAmong(masks, frame) {
  const number = frame.frameNumber, all = frame.instance.framesOfInstance;
  for (const mask of masks || []) {
    const [operation, ranges, frames, averaging, , offset] = mask;
    if (ranges.length && !ranges.some(([first, last]) => number >= first && number <= last)) continue;
    const ofMask = (operation === 'TID' ? [number - offset] : frames).map(index => all[index - 1]);
    if (ofMask.every(Boolean)) return { mask, ofMask, contrast: all.slice(number - 1, number - 1 + averaging) };
  }
  return null;
}

// A frame with its mask subtracted, as {frame, block}; the block is null as long as a value is missing.
function subtractedFrame(viewport, original, { mask, ofMask, contrast }) {
  const known = viewport.subtraction, instance = viewport.presentation;
  if (known && known.original === original && known.mask === mask && known.instance === instance) return known;
  const rescaled = presentedFrame(viewport, original);
  const frame = Object.assign(Object.create(rescaled), { slope: 1, intercept: 0, modality_lut: undefined, unit: undefined });
  const ready = () => viewport.redraw(), needed = [...contrast, ...ofMask];
  const missing = needed.filter(part => !pixels.get(part));
  for (const part of missing) if (pixels.canLoad(part) && !pixels.loading.has(part)) pixels.load(part).then(ready);
  const tables = tablesOf(rescaled, {}, ready);
  if (missing.length || !tables.complete) return { frame, block: null };
  const mean = frames => meanOf(frames, rescaled, tables);
  const isSame = known && known.mask === mask && known.instance === instance && known.ofMask.every((part, index) => part === ofMask[index]);
  const values = mean(contrast), subtracted = isSame ? known.subtracted : shiftedValues(mean(ofMask), original, mask[4]);
  let low = Infinity, high = -Infinity;
  for (let index = 0; index < values.length; index++) values[index] -= subtracted[index];
  for (let index = 0; index < values.length; index += 7) { const value = values[index]; if (value < low) low = value; if (value > high) high = value; }
  // the widest range of the run so far, so that its frames can be compared
  const before = known && known.mask === mask && known.original.instance === original.instance ? known.ends : [0, 0];
  const ends = [Math.min(low, before[0]), Math.max(high, before[1])];
  Object.assign(frame, { windows: [[(ends[0] + ends[1]) / 2, Math.max(ends[1] - ends[0], 2), '']], voi_luts: undefined, function: 'LINEAR_EXACT' });
  const block = { columns: original.columns, rows: original.rows, step: 1, smallest: 0, highest: 0, values, floating: true, colour: false };
  viewport.subtraction = { original, mask, ofMask, instance, frame, block, ends, subtracted };
  return viewport.subtraction;
}

// The mean of the values of frames after the Modality LUT.
function meanOf(frames, rescaled, tables) {
  const first = pixels.get(frames[0]), sums = new Float32Array(first.columns * first.rows);
  for (const part of frames) {
    const block = pixels.get(part);
    if (block.floating || block.values instanceof Uint32Array) {
      for (let index = 0; index < sums.length; index++) sums[index] += modalityValue(rescaled, block, block.values[index], tables);
      continue;
    }
    const table = Float32Array.from({ length: block.highest + 1 }, (unused, number) => modalityValue(rescaled, block, number, tables));
    for (let index = 0; index < sums.length; index++) sums[index] += table[block.values[index]];
  }
  if (frames.length > 1) for (let index = 0; index < sums.length; index++) sums[index] /= frames.length;
  return sums;
}

// Values moved by parts of a pixel: positive rows downwards, positive columns to the left (PS3.3 C.7.6.10.1.2).
function shiftedValues(values, { rows, columns }, [down, left]) {
  if (!down && !left) return values;
  const moved = new Float32Array(values.length);
  const inside = (place, size) => Math.max(0, Math.min(size - 1, place));
  for (let row = 0; row < rows; row++) {
    const y = inside(row - down, rows), top = Math.floor(y), below = inside(top + 1, rows), dy = y - top;
    for (let column = 0; column < columns; column++) {
      const x = inside(column + left, columns), start = Math.floor(x), next = inside(start + 1, columns), dx = x - start;
      const upper = values[top * columns + start] * (1 - dx) + values[top * columns + next] * dx;
      const lower = values[below * columns + start] * (1 - dx) + values[below * columns + next] * dx;
      moved[row * columns + column] = upper * (1 - dy) + lower * dy;
    }
  }
  return moved;
}
