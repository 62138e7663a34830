// Multi-planar views: slices of a volume along its three axes, computed from the values in memory.

// Slabs of planes: thicknesses in mm, and how the values of planes become one.
const SLAB_THICKNESSES = [5, 10, 20];
const SLAB_MODES = ['maximum', 'minimum', 'average'];
const ONE_PLANE = { mode: 'one', thickness: 0 };

const slabText = ({ mode, thickness }) => text('slab_' + mode, { thickness });

const VOLUME_BYTES = (LITTLE_MEMORY ? 64 : 270) * MEGABYTE;

// Of several frames at each place, those that belong together with the current one: of the same group, or as far into their place.
function framesOfOneTime(frames, current) {
  const group = frames.filter(frame => frame.group === current.group);
  const slices = group.length >= 4 ? group : frames, places = new Map();
  for (const frame of slices) {
    const place = dot(planeOf(frame).origin, planeOf(slices[0]).normal).toFixed(3);
    if (!places.has(place)) places.set(place, []);
    places.get(place).push(frame);
  }
  const lists = [...places.values()], count = lists[0].length;
  if (count < 2 || lists.some(list => list.length !== count)) return slices;
  const order = Math.max(0, ...lists.map(list => list.indexOf(current)));
  return lists.map(list => list[order]);
}

// The frames of a stack that make a volume, in order; or {problem: key of the text that says why they do not}.
function volumeFrames(stack, current) {
  const frames = stack.frames.filter(frame => planeOf(frame));
  if (frames.length < 4 || frames.length < stack.frames.length / 2) return { problem: 'planes_no_geometry' };
  if (isColour(frames[0])) return { problem: 'planes_colour' };
  if (frames.some(frame => frame.block < 0) || !workers.length) return { problem: 'planes_no_values' };
  const first = planeOf(frames[0]), { rows, columns } = frames[0];
  const slices = framesOfOneTime(frames, planeOf(current) ? current : frames[0]);
  if (slices.length < 4) return { problem: 'planes_few' };
  const parallel = slices.every(frame => dot(planeOf(frame).normal, first.normal) > 0.999 && dot(planeOf(frame).row, first.row) > 0.999
    && frame.rows === rows && frame.columns === columns && Math.abs(planeOf(frame).dx - first.dx) < 1e-3);
  if (!parallel) return { problem: 'planes_not_parallel' };
  const placed = slices.map(frame => ({ frame, place: dot(planeOf(frame).origin, first.normal) })).sort((a, b) => a.place - b.place);
  const steps = placed.slice(1).map((item, index) => item.place - placed[index].place);
  const distance = (placed[placed.length - 1].place - placed[0].place) / steps.length;
  if (distance < 0.01 || steps.some(step => step < 0.01)) return { problem: 'planes_same_place' };
  if (steps.some(step => Math.abs(step - distance) > Math.max(0.15 * distance, 0.05))) return { problem: 'planes_uneven' };
  const shift = minus(planeOf(placed[placed.length - 1].frame).origin, planeOf(placed[0].frame).origin);
  const sideways = Math.hypot(dot(shift, first.row), dot(shift, first.column));
  if (sideways > 0.02 * Math.abs(dot(shift, first.normal)) + 1) return { problem: 'planes_tilted' };
  return { frames: placed.map(item => item.frame), distance };
}

class Volume {
  constructor(stack, frames, distance) {
    Object.assign(this, { stack, frames, distance });
    const first = frames[0], bits = first.bits || 16, bytes = frames.length * first.rows * first.columns * (bits > 12 ? 2 : bits > 8 ? 1.5 : 1);
    this.factor = Math.max(1, Math.ceil(Math.sqrt(bytes / VOLUME_BYTES)));
    this.rows = Math.floor(first.rows / this.factor);
    this.columns = Math.floor(first.columns / this.factor);
    this.slices = new Array(frames.length).fill(null);
    this.loaded = 0;
    this.version = 0;
    this.slab = ONE_PLANE;
    const plane = planeOf(first);
    this.plane = { ...plane, dx: plane.dx * this.factor, dy: plane.dy * this.factor };
    this.load();
  }

  close() {
    this.closed = true;
    this.slices.fill(null);
    this.frames.forEach(frame => pixels.release(frame));
    this.stack.ownVolume = null;
  }

  get complete() { return this.loaded === this.frames.length; }

  // Reads all slices in the order in which they lie on the disc.
  async load() {
    const order = this.frames.map((frame, index) => index).sort((a, b) => this.frames[a].block - this.frames[b].block);
    let next = 0;
    const work = async () => {
      while (next < order.length && !this.closed) {
        const index = order[next++], frame = this.frames[index];
        const block = await pixels.load(frame);
        if (this.closed) return;
        this.loaded++;
        if (!block) this.faulty = true;
        else if (this.factor > 1) this.slices[index] = this.reduced(block);
        else this.slices[index] = pixels.keep(frame, block);
        if (this.loaded % 24 === 0 || this.complete) this.changed();
      }
    };
    await Promise.all(workers.map(work).concat(work()));
    pixels.pump();
  }

  reduced(block) {
    const values = new block.values.constructor(this.rows * this.columns);
    let target = 0;
    for (let row = 0; row < this.rows; row++) for (let column = 0; column < this.columns; column++) values[target++] = block.values[row * this.factor * block.columns + column * this.factor];
    return packBlock({ ...block, values, rows: this.rows, columns: this.columns });
  }

  changed() {
    this.version++;
    for (const viewport of viewports) if (viewport.stack && viewport.stack.volume === this) viewport.redraw();
  }

  // The patient's direction of each axis: columns, rows, slices.
  axes() { return [this.plane.row, this.plane.column, this.plane.normal]; }

  // The number of the axis that runs most along a direction of the patient (0 to the left, 1 to the back, 2 to the head).
  axisAlong(direction) {
    const axes = this.axes();
    return [0, 1, 2].reduce((best, axis) => Math.abs(axes[axis][direction]) > Math.abs(axes[best][direction]) ? axis : best, 0);
  }
}

// The slices of a volume across one axis. To the right and downwards run the two other axes, turned as one is used to see them.
class ReslicedStack {
  constructor(volume, key, across, right, down) {
    this.volume = volume;
    this.series = volume.stack.series;
    this.title = `${text(key)} – ${volume.stack.title}`;
    this.key = key;
    const sizes = [volume.columns, volume.rows, volume.frames.length];
    const steps = [volume.plane.dx, volume.plane.dy, volume.distance];
    const axes = volume.axes();
    // an axis and its sense: 1 as stored, -1 turned
    const sense = (axis, direction, sign) => Math.sign(axes[axis][direction] || 1) === sign ? 1 : -1;
    this.across = across;
    this.right = { axis: right.axis, sense: sense(right.axis, right.direction, right.sign) };
    this.down = { axis: down.axis, sense: sense(down.axis, down.direction, down.sign) };
    this.count = sizes[across];
    Object.assign(this, { sizes, steps, axes });
    this.made = new Map();
  }

  get length() { return this.count; }
  get frames() { return Array.from({ length: this.count }, (unused, index) => this.frame(index)); }

  progressText() {
    const { volume } = this;
    if (!volume.complete) return text('planes_loading', { loaded: volume.loaded, all: volume.frames.length });
    return volume.faulty ? text('planes_gaps') : '';
  }

  // How many planes a slab has, and the text of it; none for a single plane.
  get slabPlanes() { return Math.max(1, Math.round(this.volume.slab.thickness / this.steps[this.across])); }
  get slabText() { return this.volume.slab === ONE_PLANE ? '' : slabText(this.volume.slab); }

  // A point of the volume, counted in slices, as a point of the patient.
  point(indexes) {
    return [0, 1, 2].reduce((point, axis) => along(point, this.axes[axis], indexes[axis] * this.steps[axis]), this.volume.plane.origin);
  }

  indexOfPoint(point) {
    const offset = minus(point, this.volume.plane.origin);
    const index = Math.round(dot(offset, this.axes[this.across]) / this.steps[this.across]);
    return Math.max(0, Math.min(this.count - 1, index));
  }

  frame(index) {
    let frame = this.made.get(index);
    if (frame) return frame;
    const { right, down, volume, sizes, steps } = this, corner = [0, 0, 0];
    corner[this.across] = index;
    if (right.sense < 0) corner[right.axis] = sizes[right.axis] - 1;
    if (down.sense < 0) corner[down.axis] = sizes[down.axis] - 1;
    // the window of the middle: at the ends, there may be nothing but air
    const first = volume.frames[0], middle = volume.frames[volume.frames.length >> 1];
    frame = makeFrame(first.instance, index + 1, -1, '', {
      rows: sizes[down.axis], columns: sizes[right.axis],
      spacing: [steps[down.axis], steps[right.axis]], spacing_kind: 'patient',
      orientation: [...this.axes[right.axis].map(part => part * right.sense), ...this.axes[down.axis].map(part => part * down.sense)],
      position: this.point(corner), plane: undefined, location: undefined, details: [], overlays: [], regions: undefined,
      thickness: steps[this.across], between: steps[this.across], windows: middle.windows, default_window: middle.default_window,
      slope: first.slope, intercept: first.intercept, frame: first.frame, laterality: undefined,
    });
    frame.computed = () => this.values(index, frame);
    this.made.set(index, frame);
    return frame;
  }

  // The values of a slice or slab, from those of the volume that are there; one slice is kept.
  values(index, frame) {
    const { volume } = this;
    if (this.kept && this.keptIndex === index && this.keptVersion === volume.version) return this.kept;
    const some = volume.slices.find(Boolean);
    if (!some) return null;
    const first = volume.frames[0];
    const rescales = volume.frames.some(slice => slice.slope !== first.slope || slice.intercept !== first.intercept);
    const { mode } = volume.slab, count = this.slabPlanes, isMean = mode === 'average' && count > 1;
    const floating = rescales || isMean || some.floating || some.values instanceof Uint32Array;
    const smallest = floating ? 0 : volume.slices.reduce((least, slice) => slice ? Math.min(least, slice.smallest) : least, Infinity);
    const { right, down, sizes } = this, columns = frame.columns, rows = frame.rows;
    const values = floating ? new Float32Array(columns * rows) : new Uint16Array(columns * rows);
    const place = [0, 0, 0], start = index - (count - 1 >> 1);
    let planes = 0;
    for (let plane = Math.max(0, start); plane < Math.min(this.count, start + count); plane++) {
      if (this.across === 2 && !volume.slices[plane]) continue;
      place[this.across] = plane;
      let target = 0;
      for (let row = 0; row < rows; row++) {
        place[down.axis] = down.sense > 0 ? row : sizes[down.axis] - 1 - row;
        for (let column = 0; column < columns; column++, target++) {
          place[right.axis] = right.sense > 0 ? column : sizes[right.axis] - 1 - column;
          const slice = volume.slices[place[2]];
          let value = 0;
          if (slice) {
            const at = place[1] * volume.columns + place[0], number = slice.packed ? packedValue(slice.packed, at) : slice.values[at];
            value = number * slice.step + slice.smallest - smallest;
            if (rescales) value = value * (volume.frames[place[2]].slope || 1) + (volume.frames[place[2]].intercept || 0);
          }
          if (isMean) values[target] += value;
          else if (!planes || (mode === 'minimum' ? value < values[target] : value > values[target])) values[target] = value;
        }
      }
      planes++;
    }
    let highest = 0;
    for (let target = 0; target < values.length; target++) {
      if (isMean && planes) values[target] /= planes;
      if (values[target] > highest) highest = values[target];
    }
    frame.thickness = count * this.steps[this.across];
    if (rescales) { frame.slope = 1; frame.intercept = 0; }
    this.kept = { columns, rows, step: 1, smallest, values, highest, floating, colour: false };
    this.keptIndex = index;
    this.keptVersion = volume.version;
    return this.kept;
  }
}

// Axial, coronal and sagittal views of the volume of a stack; or {problem}.
function multiPlanarStacks(stack, current) {
  const base = stack.volume ? stack.volume.stack : stack;
  const slices = volumeFrames(base, current);
  if (slices.problem) return slices;
  let volume = base.ownVolume;
  if (!volume || volume.frames[0] !== slices.frames[0]) {
    if (volume) volume.closed = true;
    volume = base.ownVolume = new Volume(base, slices.frames, slices.distance);
  }
  const left = volume.axisAlong(0), back = volume.axisAlong(1), head = volume.axisAlong(2);
  if (new Set([left, back, head]).size < 3) return { problem: 'planes_oblique' };
  const toLeft = { axis: left, direction: 0, sign: 1 }, toBack = { axis: back, direction: 1, sign: 1 }, toFeet = { axis: head, direction: 2, sign: -1 };
  return {
    axial: new ReslicedStack(volume, 'plane_axial', head, toLeft, toBack),
    coronal: new ReslicedStack(volume, 'plane_coronal', back, toLeft, toFeet),
    sagittal: new ReslicedStack(volume, 'plane_sagittal', left, toBack, toFeet),
  };
}
