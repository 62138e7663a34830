// Pixel packs: files with the true values of frames, decoded by workers, kept as long as memory allows.

const MEGABYTE = 1e6;
const LITTLE_MEMORY = navigator.deviceMemory && navigator.deviceMemory <= 2;
const VALUES_BUDGET = (LITTLE_MEMORY ? 16 : 24) * MEGABYTE;
// Packs of about 2 MB that stay in memory.
const PACKS_KEPT = 3;
// Memory of values that are no longer needed, which a worker fills again: a browser is slow to free it by itself.
const SPARES_KEPT = 6;
// Memory that carries blocks to workers: it is a multiple of this, and kept if it is no more than that.
const BUFFER_STEP = 1 << 16;
const BUFFER_KEPT = 1 << 20;
// Scripts that are loaded in one frame.
const PACKS_IN_FRAME = 4;
// Packs that are loaded at the same time: a disc reads one after another anyway.
const PACKS_AT_ONCE = 2;
// Whether packs are loaded as pages, not as scripts: Firefox keeps the text of scripts long after their page is gone.
const PACKS_ARE_PAGES = 'mozInnerScreenX' in window;
// Milliseconds from one look at a page that has not begun to the next, and looks until it is taken for one of an error.
const LOOK_PAUSE = 1000;
const SILENT_LOOKS = 2;

// What a worker does; it gets the text of a block, or its bytes, and answers with its values. See pixel_packs for the format.
function decoder(inflate) {
  // CRC-32 of four bytes at once: one table for each of them.
  const table = new Int32Array(1024);
  for (let index = 0; index < 256; index++) {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? value >>> 1 ^ 0xedb88320 : value >>> 1;
    table[index] = value;
  }
  for (let index = 256; index < 1024; index++) table[index] = table[index - 256] >>> 8 ^ table[table[index - 256] & 255];
  const checksum = (bytes, start) => {
    let value = ~start, index = 0;
    if (bytes.byteOffset % 4 === 0) {
      const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
      for (let place = 0; place < words.length; place++) {
        value ^= words[place];
        value = table[768 | value & 255] ^ table[512 | value >>> 8 & 255] ^ table[256 | value >>> 16 & 255] ^ table[value >>> 24];
      }
      index = bytes.length & ~3;
    }
    for (; index < bytes.length; index++) value = value >>> 8 ^ table[(value ^ bytes[index]) & 255];
    return ~value;
  };
  // The inflated bytes of a block; the buffer is used again for the next one.
  let buffer = new Uint8Array(1 << 20);
  function inflated(bytes, length) {
    if (buffer.length < length) buffer = new Uint8Array(length);
    const planes = buffer.subarray(0, length);
    inflate(bytes, planes);
    return planes;
  }
  // Turns differences into numbers; `high` are the upper bytes, if there are any.
  function unpredict(numbers, high, low, columns, rows) {
    let index = 0;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, index++) {
        const coded = high ? high[index] << 8 | low[index] : low[index];
        const difference = coded >>> 1 ^ -(coded & 1);
        let predicted;
        if (row === 0) predicted = column ? numbers[index - 1] : 0;
        else if (column === 0) predicted = numbers[index - columns];
        else {
          const left = numbers[index - 1], above = numbers[index - columns], corner = numbers[index - columns - 1];
          const most = left > above ? left : above, least = left > above ? above : left;
          predicted = corner >= most ? least : corner <= least ? most : left + above - corner;
        }
        numbers[index] = predicted + difference;
      }
    }
    return numbers;
  }
  const join = planes => {
    const count = planes.length / 4, bytes = new Uint8Array(planes.length);
    for (let index = 0; index < count; index++) for (let plane = 0; plane < 4; plane++) bytes[4 * index + 3 - plane] = planes[plane * count + index];
    return bytes;
  };
  // Memory for values: that of values that are no longer needed, if it has the right size.
  const memory = (spare, length) => spare && spare.byteLength === length ? spare : new ArrayBuffer(length);
  function decode(block, spare) {
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    if (block.length < 25 || block[0] !== 0x42) throw new Error('no block');
    const kind = block[1], size = block[2], step = block[3];
    const columns = view.getUint32(4, true), rows = view.getUint32(8, true), smallest = view.getFloat64(12, true);
    const count = columns * rows, planes = inflated(block.subarray(24), kind === 2 ? 3 * count : size * count);
    let values, bytes;
    if (kind === 4) {
      bytes = planes;
    } else if (kind === 3) {
      bytes = join(planes);
      values = new Float32Array(bytes.buffer);
    } else if (kind === 2) {
      bytes = new Uint8Array(3 * count);
      const plane = number => unpredict(bytes.subarray(number * count, (number + 1) * count), null, planes.subarray(([1, 0, 2])[number] * count), columns, rows);
      const [red, green, blue] = [0, 1, 2].map(plane);
      for (let index = 0; index < count; index++) { red[index] += green[index]; blue[index] += green[index]; }
      values = bytes;
    } else if (size === 4) {
      bytes = join(planes);
      values = new Uint32Array(bytes.buffer);
      for (let index = 0; index < count; index++) {
        const difference = values[index] >>> 1 ^ -(values[index] & 1);
        values[index] = (index % columns ? values[index - 1] : 0) + difference;
      }
    } else if (size === 2) {
      values = unpredict(new Uint16Array(memory(spare, 2 * count)), planes.subarray(0, count), planes.subarray(count), columns, rows);
      bytes = new Uint8Array(values.buffer);
    } else {
      bytes = values = unpredict(new Uint8Array(count), null, planes, columns, rows);
    }
    if (checksum(bytes, checksum(block.subarray(0, 20), 0)) !== view.getInt32(20, true)) throw new Error('checksum');
    if (kind === 4) return { json: JSON.parse(new TextDecoder().decode(bytes)) };
    let highest = 0;
    if (kind === 1) for (let index = 0; index < count; index++) if (values[index] > highest) highest = values[index];
    return { columns, rows, step, smallest, values, highest, colour: kind === 2, floating: kind === 3 };
  }
  onmessage = event => {
    const { id, block, length, spare } = event.data, answer = { id, block };
    try {
      answer.result = decode(new Uint8Array(block, 0, length), spare);
    } catch (fault) {
      answer.fault = String(fault && fault.message || fault);
    }
    const values = answer.result && answer.result.values;
    postMessage(answer, values ? [block, values.buffer] : [block]);
  };
}

const workers = [];
const answers = new Map();
let lastCall = 0;

// Gives up the memory of an array buffer, which a browser would keep until it collects garbage.
function freeMemory(buffer) { if (buffer.transfer) buffer.transfer(0); }

function startWorkers() {
  try {
    const source = URL.createObjectURL(new Blob([`(${decoder})((${makeInflater})())`], { type: 'text/javascript' }));
    const count = Math.min(4, Math.max(2, (navigator.hardwareConcurrency || 2) - 1));
    for (let number = 0; number < count; number++) {
      const worker = new Worker(source);
      worker.onmessage = ({ data }) => {
        const done = answers.get(data.id);
        answers.delete(data.id);
        if (data.block.byteLength <= BUFFER_KEPT) blockBuffers.push(data.block);
        done(data);
      };
      workers.push(worker);
    }
  } catch (refused) {
    workers.length = 0;
  }
}

// Array buffers of values that are no longer needed.
const spares = [];

// Gives up the values of a block: a worker fills their memory again.
function recycle(block) {
  if (block.values instanceof Uint16Array && spares.length < SPARES_KEPT) spares.push(block.values.buffer);
}

// Array buffers that carry blocks to the workers, which send them back: memory of messages is freed late.
const blockBuffers = [];

// The values of a block of a pack.
function decodeBlock(source) {
  return new Promise(done => {
    const id = ++lastCall, spare = spares.pop(), bytes = bytesOf(source, blockBuffers.pop()), block = bytes.buffer;
    answers.set(id, done);
    workers[id % workers.length].postMessage({ id, block, length: bytes.length, spare }, spare ? [block, spare] : [block]);
  });
}

// The bytes of a block, in this memory if it is large enough.
function bytesOf(block, memory) {
  const source = block instanceof ArrayBuffer ? null : block.toString(), length = source ? 2 * source.length : block.byteLength;
  const bytes = new Uint8Array(memory && memory.byteLength >= length ? memory : new ArrayBuffer(Math.ceil(length / BUFFER_STEP) * BUFFER_STEP));
  if (source) return bytes.subarray(0, decodeComment(source, bytes));
  bytes.set(new Uint8Array(block));
  return bytes.subarray(0, length);
}

// Puts the bytes of the comment that a function consists of into memory; see pixel_packs. Returns their number.
function decodeComment(source, bytes) {
  const start = source.indexOf('/*') + 2, end = source.lastIndexOf('*/');
  let length = 0;
  for (let index = start + 1; index < end; index++) {
    let code = source.charCodeAt(index);
    if (code === 42) {
      const follower = source.charCodeAt(++index);
      code = follower < 0x100 ? follower - 0x80 : follower - 0x100 + 0xd800;
    }
    bytes[length++] = code & 255;
    bytes[length++] = code >> 8;
  }
  return source[start] === '1' ? length - 1 : length;
}

// --- packs

const packs = new Map();      // name -> its blocks, the least recently used first: functions, or array buffers
const packLoads = new Map();  // name -> promise
const missingPacks = new Set();

const packName = (series, pack) => `VIEWER/S${sevenDigits(series.folder)}/P${sevenDigits(pack)}.HTM`;

// Scripts are loaded in a frame of their own, which is given up after some of them: a browser keeps the text of scripts as long as their page.
let packFrame = null;  // {node, loads, pending}

function packFrameNode() {
  return element('iframe', { hidden: true, tabindex: '-1', 'aria-hidden': 'true', title: 'Pack' });
}

function frameForPack() {
  if (!packFrame || packFrame.loads >= PACKS_IN_FRAME) {
    const node = packFrameNode();
    document.body.append(node);
    node.contentWindow.BURNISH_PACK = (numbers, blocks) => packBlocks.set(numbers, blocks);
    packFrame = { node, loads: 0, pending: 0 };
  }
  packFrame.loads++;
  packFrame.pending++;
  return packFrame;
}

function leaveFrame(frame) {
  frame.pending--;
  if (frame.pending || frame.loads < PACKS_IN_FRAME) return;
  frame.node.remove();
}

// Blocks of packs that have arrived, by the numbers of series and pack.
const packBlocks = new Map();

// Loads a pack as a script.
function runPack(address) {
  return new Promise(done => {
    const frame = frameForPack(), script = frame.node.contentDocument.createElement('script');
    const finish = () => {
      script.remove();
      leaveFrame(frame);
      done();
    };
    Object.assign(script, { charset: 'utf-16le', onload: finish, onerror: finish, src: address });
    frame.node.contentDocument.head.append(script);
  });
}

// Loads a pack as a page, which says that it has begun, sends its blocks (PACK.JS), and says that it has ended. However
// slowly it arrives, it is over only then, or if it is not there: of this Firefox says nothing, but the frame has left its
// empty page then, and what it shows instead does not say that it has begun.
function showPack(address, numbers) {
  return new Promise(done => {
    const node = packFrameNode();
    let hasBegun = false, silentLooks = 0;
    const receive = ({ data }) => {
      if (data.begun === numbers) hasBegun = true;
      if (data.pack === numbers) packBlocks.set(numbers, data.blocks);
      if (data.pack === numbers || data.ended === numbers) finish();
    };
    const look = () => {
      const hasLeft = !node.contentDocument;
      if (hasLeft && !hasBegun && ++silentLooks === SILENT_LOOKS) finish();
    };
    const looking = setInterval(look, LOOK_PAUSE);
    const finish = () => {
      clearInterval(looking);
      window.removeEventListener('message', receive);
      node.remove();
      done();
    };
    window.addEventListener('message', receive);
    node.src = address;
    document.body.append(node);
  });
}

async function readPack(series, pack, name) {
  const numbers = `${sevenDigits(series.folder)} ${sevenDigits(pack)}`, address = new URL('../' + name, location.href).href;
  if (PACKS_ARE_PAGES) await showPack(address, numbers);
  // a page that did not send its blocks is read once more, as a script
  if (!packBlocks.has(numbers)) await runPack(address);
  const blocks = packBlocks.get(numbers) || null;
  packBlocks.delete(numbers);
  packLoads.delete(name);
  if (blocks) packs.set(name, blocks);
  for (const other of packs.keys()) {
    if (packs.size <= PACKS_KEPT || other === name) break;
    if (PACKS_ARE_PAGES) packs.get(other).forEach(freeMemory);
    packs.delete(other);
  }
  return blocks;
}

// A pack; null if it cannot be read.
function loadPack(series, pack) {
  const name = packName(series, pack);
  const known = packs.get(name);
  if (known) {
    packs.delete(name);
    packs.set(name, known);
    return Promise.resolve(known);
  }
  if (!packLoads.has(name)) packLoads.set(name, readPack(series, pack, name));
  return packLoads.get(name);
}

// The decoded block of a series: {values, ...} or {json}; {fault} if it cannot be read.
async function readBlock(series, block) {
  const { pack, index } = series.placeOfBlock(block);
  const name = packName(series, pack);
  let loaded = null;
  for (let attempt = 0; attempt < 2 && !loaded && !missingPacks.has(name); attempt++) loaded = await loadPack(series, pack);
  if (!loaded) missingPacks.add(name);
  if (!loaded || loaded.length !== series.packs[pack - 1]) return { fault: 'pack' };
  const answer = await decodeBlock(loaded[index]);
  return answer.fault ? { fault: answer.fault } : answer.result;
}

const extras = new Map();

// An extra block of an instance; null until it is there, or if it cannot be read. `ready` is called when it is there.
function readExtra(instance, extra, ready) {
  const key = instance.series.folder + ':' + extraBlock(instance, extra);
  if (extras.has(key)) return extras.get(key);
  if (!workers.length) return null;
  extras.set(key, null);
  readBlock(instance.series, extraBlock(instance, extra)).then(result => {
    extras.set(key, result.fault ? null : result);
    if (result.fault) instance.extraFault = true;
    ready();
  });
  return null;
}

// --- the values of frames

// Values of 12 bits, two of them in three bytes: a volume of CT needs a quarter less memory.
const PACKED_LIMIT = 1 << 12;

function packValues(values) {
  const bytes = new Uint8Array(Math.ceil(values.length / 2) * 3);
  for (let index = 0, place = 0; index < values.length; index += 2, place += 3) {
    const first = values[index], second = values[index + 1];
    bytes[place] = first;
    bytes[place + 1] = first >> 8 | second << 4;
    bytes[place + 2] = second >> 4;
  }
  return bytes;
}

// One of the values that were packed.
function packedValue(bytes, index) {
  const place = (index >> 1) * 3;
  return index & 1 ? bytes[place + 1] >> 4 | bytes[place + 2] << 4 : bytes[place] | (bytes[place + 1] & 15) << 8;
}

// A block as a volume keeps it, with `packed` in place of its values if these have no more than 12 bits.
function packBlock(block) {
  if (!(block.values instanceof Uint16Array) || block.highest >= PACKED_LIMIT) return block;
  return { ...block, values: null, packed: packValues(block.values) };
}

function unpackBlock(block) {
  const count = block.columns * block.rows, spare = spares.pop();
  const values = new Uint16Array(spare && spare.byteLength === 2 * count ? spare : count);
  for (let index = 0; index < values.length; index++) values[index] = packedValue(block.packed, index);
  return { ...block, values, packed: null };
}

const pixels = {
  held: new Map(),      // frame -> decoded block, the least recently used first
  bytes: 0,
  faults: new Map(),    // frame -> what is wrong
  kept: new Map(),      // frame -> decoded block that a volume needs
  loading: new Set(),
  listeners: new Set(),

  // The block of a frame stays until it is released, as the volume has it that is returned.
  keep(frame, block) {
    const kept = packBlock(block);
    this.kept.set(frame, kept);
    if (this.held.delete(frame)) this.bytes -= block.values.byteLength;
    if (kept.packed) recycle(block);
    return kept;
  },

  release(frame) { this.kept.delete(frame); },

  has(frame) { return this.held.has(frame) || this.kept.has(frame); },

  get(frame) {
    if (frame.computed) return frame.computed();
    const block = this.held.get(frame), kept = this.kept.get(frame);
    if (!block && kept) return kept.packed ? this.hold(frame, unpackBlock(kept)) : kept;
    if (!block) return null;
    this.held.delete(frame);
    this.held.set(frame, block);
    return block;
  },

  canLoad(frame) { return workers.length > 0 && frame.block >= 0 && !this.faults.has(frame); },

  async load(frame) {
    const held = this.get(frame);
    if (held) return held;
    if (!this.canLoad(frame)) return null;
    this.loading.add(frame);
    const block = await readBlock(frame.instance.series, frame.block);
    this.loading.delete(frame);
    if (block.fault || block.columns !== frame.columns || block.rows !== frame.rows) {
      this.faults.set(frame, block.fault || 'size');
      this.listeners.forEach(listener => listener(frame));
      return null;
    }
    if (!this.held.has(frame)) this.hold(frame, block);
    this.listeners.forEach(listener => listener(frame));
    return block;
  },

  // Holds a block of a frame as long as there is memory for it.
  hold(frame, block) {
    this.held.set(frame, block);
    this.bytes += block.values.byteLength;
    for (const [other, old] of this.held) {
      if (this.bytes <= VALUES_BUDGET || this.held.size <= 8) break;
      if (other === frame) continue;
      this.held.delete(other);
      this.bytes -= old.values.byteLength;
      recycle(old);
    }
    return block;
  },

  // Loads what the viewports show, then what is near to it, until memory for values is used up.
  pump() {
    while (this.loading.size < workers.length * 2) {
      const frame = this.nextFrame();
      if (!frame) return;
      this.load(frame).then(() => this.pump());
    }
  },

  nextFrame() {
    const places = viewports.filter(viewport => viewport.stack && viewport.stack.length);
    let planned = 0;
    // as long as a volume is being read, only what is shown comes before it
    const reads = places.some(viewport => viewport.stack.volume && !viewport.stack.volume.complete);
    const longest = reads ? 1 : Math.max(0, ...places.map(viewport => viewport.stack.volume ? 1 : viewport.stack.length));
    for (let distance = 0; distance < longest; distance++) {
      for (const viewport of places) {
        for (const index of distance ? [viewport.index + distance, viewport.index - distance] : [viewport.index]) {
          const frame = index >= 0 && index < viewport.stack.length ? viewport.stack.frame(index) : null;
          if (!frame || frame.computed || frame.block < 0) continue;
          planned += frame.columns * frame.rows * (frame.photometric === 'RGB' ? 3 : (frame.bits || 16) > 8 ? 2 : 1);
          if (planned > VALUES_BUDGET * 0.9 && distance > 0) return null;
          if (!this.has(frame) && !this.loading.has(frame) && this.canLoad(frame) && this.packMayLoad(frame)) return frame;
        }
      }
    }
    return null;
  },

  // Frames of the same pack wait for one pack; only a few are loaded at once.
  packMayLoad(frame) {
    const series = frame.instance.series, name = packName(series, series.placeOfBlock(frame.block).pack);
    return packs.has(name) || packLoads.has(name) || packLoads.size < PACKS_AT_ONCE;
  },
};
