// A viewport: one image of a stack with its marks and texts, as it is zoomed, turned and windowed.

const viewports = [];
// Milliseconds from one picture to the next while their values are on their way.
const PICTURE_PAUSE = 120;
const settings = { corners: true, overlays: true, lines: true, link: true };

class Viewport {
  constructor(number) {
    this.number = number;
    this.stack = null;
    this.index = 0;
    this.painter = new Painter();
    this.picture = element('img', { class: 'picture', alt: '', draggable: 'false' });
    this.canvas = element('canvas', { class: 'values', 'aria-hidden': 'true' });
    this.marks = element('canvas', { class: 'marks', 'aria-hidden': 'true' });
    this.corners = {};
    for (const name of ['top-left', 'top-right', 'bottom-left', 'bottom-right']) this.corners[name] = element('div', { class: 'corner ' + name, dir: 'ltr' });
    this.letters = {};
    for (const name of ['left', 'right', 'top', 'bottom']) this.letters[name] = element('div', { class: 'letters ' + name });
    this.message = element('div', { class: 'message', role: 'status' });
    this.slider = element('input', { type: 'range', class: 'position', min: 0, value: 0, hidden: true, oninput: () => this.show(+this.slider.value) });
    this.node = element('section', { class: 'viewport', tabindex: '0' },
      element('div', { class: 'screen', dir: 'ltr' }, this.picture, this.canvas, this.marks, ...Object.values(this.corners), ...Object.values(this.letters), this.message),
      this.slider);
    this.screen = this.node.firstChild;
    this.picture.onload = () => this.redraw();
    this.picture.onerror = () => { this.pictureFault = this.pictureShown; this.redraw(); };
    // an opaque canvas is put on the screen with less work
    this.context = this.canvas.getContext('2d', { alpha: false });
    this.markContext = this.marks.getContext('2d');
    this.resetView();
    new ResizeObserver(() => this.redraw()).observe(this.screen);
  }

  get frame() { return this.stack && this.stack.length ? this.stack.frame(this.index) : null; }

  resetView() {
    Object.assign(this, { zoom: 1, panX: 0, panY: 0, rotation: 0, flipped: false, inverted: false, window: null, chosen: 0, subtracts: undefined });
  }

  // Shows a stack from a frame on, the middle one if none is given.
  open(stack, index) {
    this.stack = stack;
    this.resetView();
    this.presentation = stack.presentation || null;
    this.cross = null;
    this.index = Math.max(0, Math.min(stack.length - 1, index === undefined ? stack.length >> 1 : index));
    this.slider.max = Math.max(0, stack.length - 1);
    this.slider.hidden = stack.length < 2;
    stopCine(this);
    this.applyPresentation();
    this.changed();
  }

  show(index) {
    if (!this.stack || !this.stack.length) return;
    const bounded = Math.max(0, Math.min(this.stack.length - 1, index));
    if (bounded === this.index) return;
    this.index = bounded;
    this.changed();
    followScroll(this);
  }

  // The image is another one.
  changed() {
    this.cursorValue();
    this.redraw();
    viewportChanged(this);
    pixels.pump();
    this.preparePictures();
  }

  // Pictures of the next frames are loaded before they are needed.
  preparePictures() {
    this.prepared = this.prepared || [];
    this.prepared.length = Math.min(this.prepared.length, 24);
    for (let distance = 1; distance <= 4; distance++) {
      for (const index of [this.index + distance, this.index - distance]) {
        const frame = index >= 0 && index < this.stack.length ? this.stack.frame(index) : null;
        if (!frame || !frame.picture || pixels.has(frame)) continue;
        if (this.prepared.some(image => image.path === frame.picture)) continue;
        const image = new Image();
        image.path = image.src = frame.picture;
        this.prepared.unshift(image);
      }
    }
  }

  redraw() {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => { this.scheduled = 0; this.draw(); });
  }

  // --- where things are

  // Image -> screen, in CSS pixels, as [a, b, c, d, e, f] of a canvas.
  matrix(width = this.screen.clientWidth, height = this.screen.clientHeight) {
    const frame = this.frame, aspect = pixelAspect(frame), quarter = this.rotation % 180 !== 0;
    const columns = frame.columns, rows = frame.rows * aspect;
    const fit = Math.min(width / (quarter ? rows : columns), height / (quarter ? columns : rows));
    const scale = fit * this.zoom, angle = this.rotation * Math.PI / 180;
    const cosine = Math.round(Math.cos(angle)), sine = Math.round(Math.sin(angle)), mirror = this.flipped ? -1 : 1;
    const a = scale * mirror * cosine, b = scale * mirror * sine, c = -scale * aspect * sine, d = scale * aspect * cosine;
    let e = width / 2 + this.panX - (a * frame.columns + c * frame.rows) / 2;
    let f = height / 2 + this.panY - (b * frame.columns + d * frame.rows) / 2;
    const ratio = devicePixelRatio, onScreen = scale * ratio;
    if (Math.abs(onScreen - Math.round(onScreen)) < 1e-6) {  // whole pixels stay sharp
      e = Math.round(e * ratio) / ratio;
      f = Math.round(f * ratio) / ratio;
    }
    return [a, b, c, d, e, f];
  }

  toScreen(point, matrix = this.matrix()) {
    const [a, b, c, d, e, f] = matrix;
    return [a * point[0] + c * point[1] + e, b * point[0] + d * point[1] + f];
  }

  toImage(place) {
    const [a, b, c, d, e, f] = this.matrix(), determinant = a * d - b * c, x = place[0] - e, y = place[1] - f;
    return [(d * x - c * y) / determinant, (a * y - b * x) / determinant];
  }

  // Pixels of the screen for one pixel of the image.
  get scale() {
    const [a, b] = this.matrix();
    return Math.hypot(a, b) * devicePixelRatio;
  }

  set scale(value) { this.zoom *= value / this.scale; }

  zoomAt(place, factor) {
    const before = this.toImage(place);
    this.zoom = Math.max(0.1, Math.min(40, this.zoom * factor));
    const [x, y] = this.toScreen(before);
    this.panX += place[0] - x;
    this.panY += place[1] - y;
    this.redraw();
  }

  // --- windows

  // The window in use; as long as a person has not changed it, that of the frame.
  currentWindow(frame, block, tables) {
    const window = this.window || (this.presentation && presentationWindow(this.presentation, frame)) || windowsOf(frame)[0];
    return completeWindow(window, frame, block, tables);
  }

  chooseWindow(number) {
    const windows = windowsOf(this.frame);
    if (!windows[number]) return;
    this.chosen = number;
    const block = pixels.get(this.frame);
    this.window = number ? completeWindow(windows[number], this.frame, block, tablesOf(this.frame, {}, () => this.redraw())) || windows[number] : null;
    this.redraw();
    viewportChanged(this);
  }

  // Changes centre and width as a drag does: by shares of the width.
  changeWindow(dx, dy) {
    const frame = this.frame, current = this.shownWindow;
    if (!current) {
      this.brightness = Math.max(0.1, Math.min(5, (this.brightness || 1) * Math.exp(-dy / 300)));
      this.contrast = Math.max(0.1, Math.min(5, (this.contrast || 1) * Math.exp(-dx / 300)));
      return this.redraw();
    }
    const step = Math.max(current.width, 1e-6) / 250, floating = Math.abs(frame.slope || 1) < 0.5 || current.shape === 'LINEAR_EXACT';
    const width = Math.max(floating ? step / 10 : 1, current.width + dx * step), centre = current.centre + dy * step;
    this.window = Object.assign({}, current, { centre, width, label: '' });
    this.chosen = -1;
    this.redraw();
    viewportChanged(this);
  }

  // --- drawing

  draw() {
    const frame = this.frame, width = this.screen.clientWidth, height = this.screen.clientHeight, ratio = devicePixelRatio;
    if (!frame || !width || !height) {
      this.picture.hidden = this.canvas.hidden = true;
      if (!frame) this.slider.hidden = true;
      this.markContext.clearRect(0, 0, this.marks.width, this.marks.height);
      this.drawTexts();
      return;
    }
    const deviceWidth = Math.round(width * ratio), deviceHeight = Math.round(height * ratio);
    for (const canvas of [this.canvas, this.marks]) {
      if (canvas.width !== deviceWidth || canvas.height !== deviceHeight) { canvas.width = deviceWidth; canvas.height = deviceHeight; }
    }
    const displayed = this.displayed(frame);
    this.block = displayed.block;
    this.isSubtracted = Boolean(displayed.mask);
    if (!this.block && this.waitsForValues(frame)) return;
    const matrix = this.matrix(width, height);
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, deviceWidth, deviceHeight);
    const drawn = this.block && this.drawValues(displayed.frame, matrix, ratio);
    this.canvas.hidden = !drawn;
    this.drawPicture(frame, matrix, !drawn);
    this.isTrue = Boolean(drawn);
    this.node.dataset.pixels = drawn ? 'true' : 'picture';
    this.markContext.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.markContext.clearRect(0, 0, width, height);
    drawMarks(this, this.markContext, frame, matrix);
    this.drawTexts();
  }

  // Whether a frame is not drawn yet, since its values are on their way and a picture was drawn a moment ago: a person
  // who scrolls fast sees some of the pictures. Firefox keeps all that it has drawn in memory for half a minute.
  waitsForValues(frame) {
    const now = performance.now(), wait = PICTURE_PAUSE - (now - (this.pictureDrawnAt || 0));
    clearTimeout(this.pictureDrawing);
    if (wait > 0 && pixels.canLoad(frame) && this.pictureShown !== frame.picture) {
      this.pictureDrawing = setTimeout(() => this.redraw(), wait);
      return true;
    }
    if (this.pictureShown !== frame.picture) this.pictureDrawnAt = now;
    return false;
  }

  // A frame as it is displayed, and its values: {frame, block}; the block is null as long as these are not there.
  displayed(frame) {
    const mask = maskOf(this, frame);
    return mask ? subtractedFrame(this, frame, mask) : { frame: presentedFrame(this, frame), block: pixels.get(frame) };
  }

  // True values, drawn as they are displayed; false as long as a table of the image is missing.
  drawValues(frame, matrix, ratio) {
    const ready = () => this.redraw();
    const chosen = this.window || (this.presentation && presentationWindow(this.presentation, frame)) || windowsOf(frame)[0];
    const tables = tablesOf(frame, chosen, ready);
    const window = tables.complete && this.currentWindow(frame, this.block, tables);
    if (!window) return false;
    this.tables = tables;
    this.shownWindow = window;
    // While a person drags, a large image is drawn with fewer pixels.
    const many = frame.columns * frame.rows > 3e6;
    const skip = many && this.dragging ? Math.max(1, Math.min(8, Math.round(1 / this.scale))) : 1;
    const image = this.painter.paint(frame, this.block, window, this.inverted, tables, skip);
    const [a, b, c, d, e, f] = matrix.map(value => value * ratio), context = this.context;
    context.setTransform(a, b, c, d, e, f);
    const scale = Math.hypot(a, b);
    context.imageSmoothingEnabled = !(Math.abs(scale - 1) < 1e-6 && pixelAspect(frame) === 1);
    // while images follow each other, a fine enlargement would take much of the time
    context.imageSmoothingQuality = this.isFleeting() && scale >= 1 ? 'low' : 'high';
    context.drawImage(image, 0, 0, frame.columns, frame.rows);
    return true;
  }

  // Whether something was drawn a moment ago; then it is drawn once more when it stays.
  isFleeting() {
    const now = performance.now(), isFleeting = now - (this.drawnAt || 0) < 120;
    this.drawnAt = now;
    clearTimeout(this.fineDrawing);
    if (isFleeting) this.fineDrawing = setTimeout(() => this.redraw(), 160);
    return isFleeting;
  }

  drawPicture(frame, matrix, visible) {
    const picture = this.picture, source = frame.picture || '';
    if (!visible || !source) {
      picture.hidden = true;
      if (visible) this.shownWindow = null;
      return;
    }
    this.shownWindow = null;
    if (this.pictureShown !== source) {
      this.pictureShown = source;
      this.pictureFault = null;
      picture.hidden = true;
      picture.src = source;
    }
    if (!picture.complete || !picture.naturalWidth) return;
    picture.hidden = false;
    // in shares of the width of the view, so that it keeps its place on paper
    const [a, b, c, d, e, f] = matrix, share = length => `${length * 100 / this.screen.clientWidth}cqw`;
    picture.style.width = share(frame.columns);
    picture.style.height = share(frame.rows);
    picture.style.transform = `translate(${share(e)}, ${share(f)}) matrix(${[a, b, c, d, 0, 0].join(',')})`;
    const filters = [`brightness(${this.brightness || 1})`, `contrast(${this.contrast || 1})`, this.inverted ? 'invert(1)' : ''];
    picture.style.filter = frame.block >= 0 && !pixels.faults.has(frame) ? (this.inverted ? 'invert(1)' : '') : filters.join(' ');
  }

  drawTexts() {
    const frame = this.frame;
    this.slider.value = this.index;
    const lines = frame ? cornerTexts(this, frame) : {};
    for (const [name, node] of Object.entries(this.corners)) {
      const shown = settings.corners ? lines[name] || [] : [];
      const content = shown.filter(Boolean).join('\n');
      if (node.textContent !== content) node.textContent = content;
    }
    const letters = frame && sidesOf(frame) ? this.turnedLetters(sidesOf(frame)) : {};
    for (const [name, node] of Object.entries(this.letters)) node.textContent = letters[name] || '';
    const message = frame ? this.messageText(frame) : this.stack ? text('empty_series') : text('empty_viewport');
    if (this.message.textContent !== message) this.message.textContent = message;
    this.message.classList.toggle('fault', Boolean(frame) && this.isFault(frame));
    const label = frame ? text('viewport_label', { number: this.number, title: this.stack.title, image: this.index + 1, images: this.stack.length }) : text('viewport_empty', { number: this.number });
    this.node.setAttribute('aria-label', label);
    this.slider.setAttribute('aria-label', text('image_position'));
    this.slider.setAttribute('aria-valuetext', `${this.index + 1} / ${this.stack ? this.stack.length : 0}`);
  }

  isFault(frame) { return Boolean(frame.problem) || pixels.faults.has(frame) || Boolean(frame.instance.extraFault); }

  // What the person has to know of the image, if it is not shown with its true values.
  messageText(frame) {
    if (frame.problem) return text('problem_' + frame.problem);
    const noPicture = !frame.picture || this.pictureFault === frame.picture;
    if (pixels.faults.has(frame)) return text(noPicture ? 'fault_no_picture' : 'fault_pack');
    if (frame.instance.extraFault) return text('fault_pack');
    if (this.isTrue) return this.stack.progressText ? this.stack.progressText() : '';
    if (frame.block >= 0 && !workers.length) return text(noPicture ? 'fault_browser_no_picture' : 'fault_browser');
    if (frame.block >= 0) return text('loading');
    return noPicture ? text('fault_no_picture') : text('picture_only');
  }

  // Letters at the sides of the viewport, after rotation and flip.
  turnedLetters([right, bottom]) {
    let sides = [oppositeLetters(bottom), right, bottom, oppositeLetters(right)];  // top, right, bottom, left
    if (this.flipped) sides = [sides[0], sides[3], sides[2], sides[1]];
    const turns = (this.rotation / 90 % 4 + 4) % 4;
    for (let turn = 0; turn < turns; turn++) sides = [sides[3], sides[0], sides[1], sides[2]];
    return { top: sides[0], right: sides[1], bottom: sides[2], left: sides[3] };
  }

  rotate(quarters) { this.rotation = (this.rotation + 90 * quarters + 360) % 360; this.redraw(); }

  // Left and right, or up and down, change sides on the screen.
  flip(vertical) {
    this.flipped = !this.flipped;
    this.rotation = (360 - this.rotation + (vertical ? 180 : 0)) % 360;
    this.redraw();
  }

  reset() {
    this.resetView();
    this.brightness = this.contrast = 1;
    this.applyPresentation();
    this.redraw();
    viewportChanged(this);
  }

  actualSize() {
    this.panX = this.panY = 0;
    this.scale = 1;
    this.redraw();
  }

  // --- the value under the pointer

  cursorValue() {
    const shown = this.frame && maskOf(this, this.frame) ? this.displayed(this.frame) : { frame: this.frame, block: this.frame && pixels.get(this.frame) };
    const { frame, block } = shown;
    this.value = '';
    if (!frame || !this.pointer) return;
    const [x, y] = this.toImage(this.pointer).map(Math.floor);
    if (x < 0 || y < 0 || x >= frame.columns || y >= frame.rows) return;
    const place = `${x + 1}, ${y + 1}: `;
    if (!block) { this.value = place + '–'; return; }
    const index = y * block.columns + x, count = block.columns * block.rows;
    if (block.colour) { this.value = place + [0, 1, 2].map(channel => block.values[channel * count + index]).join(' / '); return; }
    const tables = tablesOf(frame, {}, () => this.redraw());
    const stored = block.values[index] * block.step + block.smallest;
    if (frame.photometric === 'PALETTE' && tables.palette) {
      const { values, step, smallest } = tables.palette, size = values.length / 3;
      const entry = Math.max(0, Math.min(size - 1, stored - frame.palette[1]));
      this.value = place + [0, 1, 2].map(channel => values[channel * size + entry] * step + smallest).join(' / ');
      return;
    }
    const value = modalityValue(frame, block, block.values[index], tables);
    const accuracy = block.step > 1 ? ' ±' + formatNumber((block.step - 1) / 2 * Math.abs(frame.slope || 1), 2) : '';
    const uptake = frame.suv ? `  SUV ${formatNumber(value * frame.suv, 2)}` : '';
    this.value = `${place}${formatNumber(value, 3)}${accuracy} ${frame.unit || ''}`.trim() + uptake;
  }

  applyPresentation() { if (this.presentation) presentView(this); }
}

// The side of the body, L, R or B; "" where its part is no pair (U).
function sideOfBody(frame) {
  const side = frame.laterality || frame.instance.series.laterality;
  return side === 'U' ? '' : side;
}

// The texts in the four corners.
function cornerTexts(viewport, frame) {
  const { stack } = viewport, series = frame.instance.series, { patient, study } = series;
  const person = joined('  ', patient.id, formatDate(patient.birth_date), patient.sex && text('sex_' + patient.sex));
  const place = frame.location !== undefined ? frame.location : planeOf(frame) && dot(planeOf(frame).origin, planeOf(frame).normal);
  const thickness = frame.thickness ? joined(' ', text('thickness'), formatNumber(frame.thickness, 1) + ' mm') : '';
  const window = viewport.shownWindow;
  const shown = window ? [`${text('centre_short')} ${formatNumber(window.centre, 1)}`, `${text('width_short')} ${formatNumber(window.width, 1)}`] : [];
  const lossy = frame.lossy === undefined ? '' : frame.lossy ? text('lossy_ratio', { ratio: formatNumber(frame.lossy, 1) }) : text('lossy');
  const near = viewport.block && viewport.block.step > 1 ? text('near_values') : '';
  const side = joined(' ', sideOfBody(frame), frame.view);
  const name = formatName(patient.name) || text('no_name'), position = `${text('image')} ${viewport.index + 1} / ${stack.length}`;
  if (viewport.screen.clientWidth < 330 || viewport.screen.clientHeight < 250) {
    // little room: whose image it is, which one, and how it is shown
    return { 'top-left': [name, side], 'top-right': [formatDate(study.date)], 'bottom-left': [viewport.value, `${viewport.index + 1} / ${stack.length}`], 'bottom-right': [near, ...shown] };
  }
  const small = viewport.screen.clientWidth < 560 || viewport.screen.clientHeight < 400;
  return {
    'top-left': [name, person, side],
    'top-right': [small ? '' : study.institution, joined(' ', formatDate(study.date), formatTime(study.time)), small ? '' : study.description],
    'bottom-left': [
      viewport.value,
      viewport.presentation && presentationContent(viewport.presentation) ? text('presentation_applied') : '',
      viewport.isSubtracted && viewport.isTrue ? text('mask_subtracted') : '',
      ...presentationGaps(viewport),
      frame.subtracted && isMaskUnread(viewport, frame) ? text('mask_not_subtracted') : '',
      small ? '' : joined('  ', series.modality, series.number && text('series_number', { number: series.number })),
      stack.title === series.modality ? '' : stack.title,
      stack.slabText,
      position,
      place === null || place === undefined ? '' : joined('  ', joined(' ', text('location'), formatNumber(place, 1) + ' mm'), thickness),
    ],
    'bottom-right': [
      ...(small ? [] : frame.details || []).map(([key, value]) => joined(' ', text('detail_' + key), value)),
      lossy, near,
      joined(' ', text('zoom_short'), formatNumber(viewport.scale * 100, 0) + ' %'),
      shown.join('  '),
    ],
  };
}
