// Values of a frame as grey or colour: Modality LUT, window or VOI LUT, palette (PS3.3 C.11.1, C.11.2, C.7.6.3).

// The value of a decoded number after the Modality LUT.
function modalityValue(frame, block, number, tables) {
  const stored = number * block.step + block.smallest;
  if (frame.modality_lut && tables.modality) {
    const values = tables.modality.values, index = Math.round(stored) - frame.modality_lut[1];
    return values[Math.max(0, Math.min(values.length - 1, index))] * tables.modality.step + tables.modality.smallest;
  }
  return stored * (frame.slope || 1) + (frame.intercept || 0);
}

// A window as a function from a value to 0..255. A VOI LUT stretches when its window is changed: `lut` maps 0..1.
function windowFunction(window, lut) {
  const { centre, width } = window;
  if (window.lut && lut) {
    const { first, values, step, smallest, scale } = lut, last = values.length - 1;
    const middle = first + last / 2, ratio = window.lutWidth / width;
    return value => {
      const index = Math.round((value - centre) * ratio + middle - first);
      return (values[index < 0 ? 0 : index > last ? last : index] * step + smallest) * scale;
    };
  }
  if (window.shape === 'SIGMOID') return value => 255 / (1 + Math.exp(-4 * (value - centre) / width));
  if (window.shape === 'LINEAR_EXACT') return value => ((value - centre) / width + 0.5) * 255;
  const range = Math.max(width - 1, 1e-9);
  return value => ((value - (centre - 0.5)) / range + 0.5) * 255;
}

// The window or VOI LUT, then the Presentation LUT of a presentation state (PS3.3 C.11.6).
function displayFunction(window, tables) {
  const apply = windowFunction(window, tables.voi), lut = tables.presentation;
  if (!lut) return apply;
  const last = lut.values.length - 1;
  return value => {
    const share = Math.max(0, Math.min(1, apply(value) / 255));
    return (lut.values[Math.round(share * last)] * lut.step + lut.smallest) * lut.scale;
  };
}

const clampByte = value => value <= 0 ? 0 : value >= 255 ? 255 : Math.round(value);
const opaque = (red, green, blue) => (0xff000000 | blue << 16 | green << 8 | red) >>> 0;

class Painter {
  constructor() {
    this.canvas = document.createElement('canvas');
    this.context = this.canvas.getContext('2d');
    this.key = null;
    this.tableKey = null;
    this.table = new Uint32Array(0);
  }

  // Draws a frame as it is displayed; every `skip`-th pixel of rows and columns. The canvas of this painter has the result.
  paint(frame, block, window, inverted, tables, skip) {
    const key = [window.centre, window.width, window.shape, window.lut, inverted, skip].join();
    if (this.frame === frame && this.block === block && this.key === key && this.tables === tables.count) return this.canvas;
    Object.assign(this, { frame, block, key, tables: tables.count });
    const columns = Math.ceil(block.columns / skip), rows = Math.ceil(block.rows / skip);
    if (!this.image || this.image.width !== columns || this.image.height !== rows) {
      this.canvas.width = columns;
      this.canvas.height = rows;
      this.image = this.context.createImageData(columns, rows);
      this.target = new Uint32Array(this.image.data.buffer);
    }
    if (block.colour) this.paintColour(block, window, inverted, skip);
    else if (block.floating || block.values instanceof Uint32Array) this.paintValues(frame, block, window, inverted, tables, skip);
    else this.paintTable(frame, block, window, inverted, tables, skip);
    this.context.putImageData(this.image, 0, 0);
    return this.canvas;
  }

  paintTable(frame, block, window, inverted, tables, skip) {
    const table = this.tableOf(frame, block, window, inverted, tables), { values, columns, rows } = block, target = this.target;
    if (skip === 1) {
      for (let index = 0; index < target.length; index++) target[index] = table[values[index]];
      return;
    }
    let index = 0;
    for (let row = 0; row < rows; row += skip) for (let column = 0; column < columns; column += skip) target[index++] = table[values[row * columns + column]];
  }

  // The colours of all numbers up to the highest of the block.
  tableOf(frame, block, window, inverted, tables) {
    const inverse = inverted !== (frame.photometric === 'MONOCHROME1');
    const key = [this.key, inverse, block.smallest, block.step, frame.slope, frame.intercept, tables.count, frame.photometric].join();
    const size = block.highest + 1, source = frame.lut_instance || frame.instance;
    if (this.tableKey === key && this.table.length >= size && (this.tableSource === source || !(frame.modality_lut || frame.palette || window.lut || frame.presentation_lut))) return this.table;
    this.tableSource = source;
    this.tableKey = key;
    const table = this.table = new Uint32Array(size);
    const apply = displayFunction(window, tables);
    if (frame.photometric === 'PALETTE' && tables.palette) {
      const palette = tables.palette.values, count = palette.length / 3, { step, smallest } = tables.palette;
      for (let number = 0; number < size; number++) {
        const stored = number * block.step + block.smallest - frame.palette[1];
        const index = Math.max(0, Math.min(count - 1, stored));
        const part = channel => { const level = clampByte(apply(palette[channel * count + index] * step + smallest)); return inverted ? 255 - level : level; };
        table[number] = opaque(part(0), part(1), part(2));
      }
      return table;
    }
    for (let number = 0; number < size; number++) {
      const level = clampByte(apply(modalityValue(frame, block, number, tables))), grey = inverse ? 255 - level : level;
      table[number] = opaque(grey, grey, grey);
    }
    return table;
  }

  paintValues(frame, block, window, inverted, tables, skip) {
    const apply = displayFunction(window, tables), inverse = inverted !== (frame.photometric === 'MONOCHROME1');
    let index = 0;
    for (let row = 0; row < block.rows; row += skip) {
      for (let column = 0; column < block.columns; column += skip) {
        const level = clampByte(apply(modalityValue(frame, block, block.values[row * block.columns + column], tables)));
        const grey = inverse ? 255 - level : level;
        this.target[index++] = opaque(grey, grey, grey);
      }
    }
  }

  paintColour(block, window, inverted, skip) {
    const levels = new Uint8Array(256), apply = windowFunction(window), { values, columns, rows } = block, count = columns * rows;
    for (let value = 0; value < 256; value++) levels[value] = inverted ? 255 - clampByte(apply(value)) : clampByte(apply(value));
    let target = 0;
    for (let row = 0; row < rows; row += skip) {
      for (let column = 0; column < columns; column += skip) {
        const index = row * columns + column;
        this.target[target++] = opaque(levels[values[index]], levels[values[count + index]], levels[values[2 * count + index]]);
      }
    }
  }
}

// Tables of a frame that come with packs; `count` tells how many are there. `presentation` may replace the VOI LUT.
function tablesOf(frame, window, ready) {
  const tables = { count: 0 };
  const read = (instance, extra) => {
    const block = readExtra(instance, extra, ready);
    if (block) tables.count++;
    return block;
  };
  if (frame.modality_lut) tables.modality = read(frame.lut_instance || frame.instance, frame.modality_lut[0]);
  if (frame.palette) tables.palette = read(frame.instance, frame.palette[0]);
  if (window.lut) {
    const [extra, first, bits] = window.lut, block = read(window.lutInstance || frame.instance, extra);
    if (block) tables.voi = { first, values: block.values, step: block.step, smallest: block.smallest, scale: 255 / (2 ** bits - 1) };
  }
  if (frame.presentation_lut) {
    const [extra, bits] = frame.presentation_lut, block = read(frame.lut_instance, extra);
    if (block) tables.presentation = { values: block.values, step: block.step, smallest: block.smallest, scale: 255 / (2 ** bits - 1) };
  }
  tables.complete = (!frame.presentation_lut || tables.presentation) && (!frame.modality_lut || tables.modality) && (!frame.palette || tables.palette) && (!window.lut || tables.voi);
  return tables;
}

// --- windows

// Well-known windows of modalities whose values mean the same everywhere: key of the text, centre, width.
const PRESETS = {
  CT: [
    ['preset_abdomen', 50, 400], ['preset_lung', -600, 1500], ['preset_bone', 480, 2500], ['preset_brain', 40, 80],
    ['preset_mediastinum', 50, 350], ['preset_liver', 70, 160], ['preset_spine', 50, 250], ['preset_angiography', 300, 600],
  ],
};

// The highest Standardized Uptake Values (SUV) of windows for PET.
const HIGHEST_UPTAKES = [5, 10, 20];
// Windows of other images are narrower or wider than the stored one.
const CONTRASTS = [['preset_more_contrast', 0.6], ['preset_less_contrast', 1.7]];

const isColour = frame => frame.photometric === 'RGB' || frame.photometric === 'PALETTE';
const colourWindow = () => ({ centre: 127.5, width: 255, shape: 'LINEAR_EXACT', label: text('preset_standard') });

// The windows that can be chosen for a frame, the one that it is first shown with at the beginning.
function windowsOf(frame) {
  if (isColour(frame)) return [colourWindow()];
  const windows = (frame.windows || []).map(([centre, width, name], index) => ({
    centre, width, shape: frame.function || 'LINEAR', label: name || (index ? text('preset_number', { number: index + 1 }) : text('preset_standard')),
  }));
  for (const lut of frame.voi_luts || []) windows.push(lutWindow(frame, lut, frame.instance));
  if (!windows.length) {
    const [centre, width] = frame.default_window || [127.5, 255];
    windows.push({ centre, width, shape: 'LINEAR_EXACT', label: text('preset_standard') });
  }
  // values without a unit are not HU
  const presets = (frame.unit || 'HU') === 'HU' && frame.instance.series ? PRESETS[frame.instance.series.modality] || [] : [];
  for (const [key, centre, width] of presets) windows.push({ centre, width, shape: 'LINEAR', label: text(key) });
  if (frame.suv) {
    for (const uptake of HIGHEST_UPTAKES) {
      const width = uptake / frame.suv;
      windows.push({ centre: width / 2, width, shape: 'LINEAR_EXACT', label: `SUV 0 – ${uptake}` });
    }
  }
  if (!presets.length) {
    windows.push({ automatic: true, label: text('preset_automatic') });
    for (const [key, factor] of CONTRASTS) windows.push(Object.assign({}, windows[0], { label: text(key), factor }));
  }
  windows.push({ whole: true, label: text('preset_all') });
  return windows;
}

function lutWindow(frame, lut, instance) {
  // Width and centre stand for the values that the table maps; the length is known when the table is there.
  return { lut, lutInstance: instance, label: lut[3] || text('preset_lut') };
}

// Values of a window that depend on a table or on the pixels: {centre, width}; null as long as these are not there.
function completeWindow(window, frame, block, tables) {
  if (window.whole || window.automatic) {
    if (!block) return null;
    const [low, high] = window.whole ? extremesOf(block.values) : commonEndsOf(block.values);
    const ends = [modalityValue(frame, block, low, tables), modalityValue(frame, block, high, tables)].sort((a, b) => a - b);
    return { centre: (ends[0] + ends[1]) / 2, width: Math.max(ends[1] - ends[0], 1e-6), shape: 'LINEAR_EXACT', label: window.label };
  }
  let complete = window;
  if (window.lut && window.centre === undefined) {
    if (!tables.voi) return null;
    const last = tables.voi.values.length - 1;
    complete = Object.assign({}, window, { centre: tables.voi.first + last / 2, width: last, lutWidth: last });
  }
  return complete.factor ? Object.assign({}, complete, { width: complete.width * complete.factor, factor: 0 }) : complete;
}

function extremesOf(numbers) {
  let low = Infinity, high = -Infinity;
  for (const number of numbers) { if (number < low) low = number; if (number > high) high = number; }
  return [low, high];
}

// The numbers below and above which one of a hundred lies, of a sample.
function commonEndsOf(numbers) {
  const step = Math.max(1, Math.floor(numbers.length / 50021)), sample = [];
  for (let index = 0; index < numbers.length; index += step) if (Number.isFinite(numbers[index])) sample.push(numbers[index]);
  if (!sample.length) return [0, 1];
  sample.sort((a, b) => a - b);
  const ends = [Math.floor(0.01 * (sample.length - 1)), Math.ceil(0.99 * (sample.length - 1))].map(place => sample[place]);
  return ends[0] < ends[1] ? ends : extremesOf(numbers);
}
