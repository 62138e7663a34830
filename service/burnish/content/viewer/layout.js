// The page: viewports in their arrangement, the tools above them, the list of studies, dialogs.

let activeViewport = null;
let arrangement = 'one';
const page = {};
const ARRANGEMENTS = { one: 1, two: 2, four: 4, planes: 4 };

const shownViewports = () => viewports.slice(0, ARRANGEMENTS[arrangement]);

function buildPage() {
  page.header = element('header', { class: 'tools', role: 'toolbar', 'aria-label': text('tools') });
  page.list = element('nav', { class: 'list', 'aria-label': text('studies') });
  page.grid = element('div', { class: 'grid' });
  page.document = element('div', { class: 'document', hidden: true });
  page.main = element('main', {}, page.grid, page.document);
  page.status = element('div', { class: 'announcement', role: 'status', 'aria-live': 'polite' });
  page.print = element('div', { class: 'print-heading' });
  const root = document.getElementById('viewer');
  root.append(page.header, page.list, page.main, page.status, page.print);
  for (let number = 1; number <= 4; number++) {
    const viewport = new Viewport(number);
    viewports.push(viewport);
    page.grid.append(viewport.node);
    listenTo(viewport);
  }
  activeViewport = viewports[0];
  document.addEventListener('keydown', onKey);
  pixels.listeners.add(frame => {
    for (const viewport of viewports) if (viewport.frame === frame) { viewport.cursorValue(); viewport.redraw(); }
  });
  window.addEventListener('beforeprint', preparePrint);
}

function arrange(name) {
  if (arrangement === 'planes' && name !== 'planes') releaseVolumes();
  arrangement = name;
  page.grid.dataset.arrangement = name;
  const count = ARRANGEMENTS[name];
  viewports.forEach((viewport, index) => {
    viewport.node.hidden = index >= count;
    if (index >= count) stopCine(viewport);
  });
  if (activeViewport.number > count) activate(viewports[0]);
  toolbarChanged();
  viewports.forEach(viewport => viewport.redraw());
}

// Views of planes and the volume behind them need much memory: they are given up when they are not shown.
function releaseVolumes() {
  for (const viewport of viewports) {
    if (!viewport.stack || !viewport.stack.volume) continue;
    viewport.stack.volume.close();
    viewport.stack = null;
  }
}

// Two or four viewports show the next series that have images, where they are empty. Those that were not seen before
// do not show another patient beside this one.
function arrangeMany(name) {
  const before = shownViewports().filter(viewport => !viewport.node.hidden);
  arrange(name);
  const taken = new Set(shownViewports().map(viewport => viewport.stack && viewport.stack.series));
  const patient = activeViewport.stack && activeViewport.stack.series.patient;
  const waiting = disc.series.filter(series => series.frames.length && !taken.has(series) && (!patient || series.patient === patient) && !series.instances.some(instance => instance.segments));
  for (const viewport of shownViewports()) {
    const isOther = patient && viewport.stack && viewport.stack.series.patient !== patient;
    if (viewport.stack && !viewport.stack.volume && !(isOther && !before.includes(viewport))) continue;
    viewport.stack = null;
    if (waiting.length) viewport.open(stackOf(waiting.shift()));
  }
  closeDocument();
}

// A double click shows one viewport alone, or again all of them.
function toggleSingle(viewport) {
  if (page.grid.classList.contains('single')) {
    page.grid.classList.remove('single');
    viewports.forEach((other, index) => { other.node.hidden = index >= ARRANGEMENTS[arrangement]; });
  } else if (ARRANGEMENTS[arrangement] > 1) {
    page.grid.classList.add('single');
    viewports.forEach(other => { other.node.hidden = other !== viewport; });
  }
  viewports.forEach(other => other.redraw());
}

function activate(viewport) {
  if (activeViewport === viewport && viewport.node.classList.contains('active')) return;
  activeViewport = viewport;
  for (const other of viewports) {
    other.node.classList.toggle('active', other === viewport);
    other.redraw();
  }
  toolbarChanged();
  listChanged();
  layersChanged();
}

// Another image or window is shown in a viewport.
function viewportChanged(viewport) {
  if (viewport.stack) {
    // the frame from which linked viewports follow
    setTimeout(() => { viewport.lastIndex = viewport.index; });
  }
  if (viewport === activeViewport) { toolbarChanged(); layersChanged(); }
}

function openStack(stack, index) {
  closeDocument();
  if (arrangement === 'planes') arrange('one');
  activeViewport.open(stack, index);
  listChanged();
  toolbarChanged();
  announce(text('viewport_label', { number: activeViewport.number, title: stack.title, image: activeViewport.index + 1, images: stack.length }));
}

// Axial, coronal and sagittal views of the series in the active viewport, beside its images.
function openPlanes() {
  if (arrangement === 'planes') {
    const stack = viewports[3].stack || activeViewport.stack;
    arrange('one');
    activate(viewports[0]);
    viewports[0].open(stack, viewports[3].stack ? viewports[3].index : undefined);
    listChanged();
    return;
  }
  const viewport = activeViewport;
  if (!viewport.stack || !viewport.frame) return;
  const stacks = multiPlanarStacks(viewport.stack, viewport.frame);
  if (stacks.problem) { showNotice(text('planes_impossible'), text(stacks.problem)); return; }
  closeDocument();
  page.grid.classList.remove('single');
  const source = viewport.stack, index = viewport.index, window = viewport.window;
  arrange('planes');
  [stacks.axial, stacks.coronal, stacks.sagittal].forEach((stack, number) => {
    viewports[number].open(stack);
    viewports[number].window = window;
  });
  viewports[3].open(source, index);
  viewports[3].window = window;
  activate(viewports[0]);
  chooseTool('locate');
  listChanged();
}

// One plane, and slabs of each kind and thickness.
const slabs = () => [ONE_PLANE, ...SLAB_MODES.flatMap(mode => SLAB_THICKNESSES.map(thickness => ({ mode, thickness })))];

// Shows slabs in all views of planes.
function chooseSlab(number) {
  const volume = viewports[0].stack && viewports[0].stack.volume;
  if (!volume) return;
  volume.slab = number ? slabs()[number] : ONE_PLANE;
  volume.changed();
  toolbarChanged();
}

// --- documents

function openDocument(item) {
  viewports.forEach(stopCine);
  const path = discPath(item.path), isVideo = /\.(mp4|mov)$/i.test(item.path);
  const content = isVideo ? element('video', { src: path, controls: true }) : element('iframe', { src: path, title: item.title || item.kind });
  page.document.replaceChildren(
    element('div', { class: 'document-head' },
      element('h2', {}, item.title || item.kind),
      element('a', { href: path, target: '_blank', rel: 'noopener' }, text('open_separately')),
      button('close', 'close_document', closeDocument)),
    item.note ? element('p', { class: 'note' }, item.note) : '', content);
  page.document.hidden = false;
  page.grid.hidden = true;
  page.openDocument = item;
  listChanged();
}

function closeDocument() {
  if (page.document.hidden) return;
  page.document.replaceChildren();
  page.document.hidden = true;
  page.grid.hidden = false;
  page.openDocument = null;
  viewports.forEach(viewport => viewport.redraw());
  listChanged();
}

// --- tools

function button(iconName, key, action, attributes) {
  const label = text(key);
  return element('button', { type: 'button', title: label, 'aria-label': label, onclick: action, 'data-action': key, ...attributes }, icon(iconName));
}

function buildTools() {
  const tool = name => button(name, 'tool_' + name, () => chooseTool(name), { 'data-tool': name });
  const group = (key, ...children) => element('div', { class: 'group', role: 'group', 'aria-label': text(key) }, ...children);
  const act = action => () => { action(activeViewport); toolbarChanged(); };
  page.presets = element('select', { class: 'presets', 'aria-label': text('window_presets'), title: text('window_presets'), onchange: () => { activeViewport.chooseWindow(+page.presets.value); activeViewport.node.focus({ preventScroll: true }); } });
  page.slabs = element('select', { class: 'slabs', 'aria-label': text('slab'), title: text('slab'), hidden: true, onchange: () => chooseSlab(+page.slabs.value) },
    ...slabs().map((slab, number) => element('option', { value: number }, slabText(slab))));
  page.rate = element('input', { type: 'number', class: 'rate', min: 1, max: 60, step: 1, 'aria-label': text('cine_rate'), title: text('cine_rate'), onchange: () => { activeViewport.rate = Math.max(1, Math.min(60, +page.rate.value || 15)); } });
  page.header.replaceChildren(
    group('studies', button('list', 'toggle_list', toggleList)),
    group('tools', ...TOOLS.map(tool), button('trash', 'delete_measure', act(deleteMeasure))),
    group('window_presets', page.presets),
    group('image', button('invert', 'invert', act(viewport => { viewport.inverted = !viewport.inverted; viewport.redraw(); })),
      button('rotate', 'rotate', act(viewport => viewport.rotate(1))), button('flip', 'flip', act(viewport => viewport.flip(false))),
      button('flip_vertical', 'flip_vertical', act(viewport => viewport.flip(true))), button('reset', 'reset', act(viewport => viewport.reset()))),
    group('cine', button('play', 'cine', act(toggleCine)), page.rate),
    group('arrangement', button('one', 'arrange_one', () => { page.grid.classList.remove('single'); arrange('one'); }), button('two', 'arrange_two', () => arrangeMany('two')),
      button('four', 'arrange_four', () => arrangeMany('four')), button('planes', 'planes', openPlanes), page.slabs,
      button('link', 'link', () => toggleSetting('link')), button('lines', 'lines', () => toggleSetting('lines'))),
    group('display', button('layers', 'layers', openLayers), button('corners', 'corners', () => toggleSetting('corners')),
      button('full_screen', 'full_screen', toggleFullScreen), button('print', 'print', () => window.print()),
      button('help', 'help', openHelp)));
  toolbarChanged();
}

function languageChooser() {
  const codes = Object.keys(TEXTS);
  if (codes.length < 2) return '';
  return element('select', { class: 'languages', 'aria-label': text('language'), title: text('language'), onchange: event => { choices.set('language', event.target.value); useLanguage(event.target.value); } },
    ...codes.map(code => element('option', { value: code, selected: code === language, lang: code }, TEXTS[code].name)));
}

let toolbarScheduled = false;
function toolbarChanged() {
  if (toolbarScheduled) return;
  toolbarScheduled = true;
  requestAnimationFrame(() => { toolbarScheduled = false; updateTools(); });
}

function updateTools() {
  const viewport = activeViewport, frame = viewport.frame;
  if (!page.presets) return;
  const press = (action, on) => { const node = page.header.querySelector(`[data-action="${action}"]`); if (node) node.setAttribute('aria-pressed', String(Boolean(on))); };
  const enable = (action, on) => { const node = page.header.querySelector(`[data-action="${action}"]`); if (node) node.disabled = !on; };
  for (const tool of TOOLS) press('tool_' + tool, tool === activeTool);
  press('invert', viewport.inverted);
  press('cine', viewport.cine);
  press('link', settings.link);
  press('lines', settings.lines);
  press('corners', settings.corners);
  press('layers', page.layers);
  for (const name of ['one', 'two', 'four']) press('arrange_' + name, arrangement === name);
  press('planes', arrangement === 'planes');
  const volume = arrangement === 'planes' && viewports[0].stack && viewports[0].stack.volume;
  page.slabs.hidden = !volume;
  if (volume) page.slabs.value = slabs().findIndex(slab => slab.mode === volume.slab.mode && slab.thickness === volume.slab.thickness);
  press('toggle_list', listIsShown());
  const play = page.header.querySelector('[data-action="cine"] path');
  play.setAttribute('d', ICONS[viewport.cine ? 'pause' : 'play']);
  enable('cine', frame && viewport.stack.length > 1);
  enable('planes', frame && (arrangement === 'planes' || viewport.stack.length > 3));
  enable('delete_measure', frame && (measuresOf(frame).length || viewport.drawing));
  enable('layers', frame);
  page.rate.value = viewport.rate || Math.round((frame && frame.rate) || 15);
  const windows = frame ? windowsOf(frame) : [];
  const labels = windows.map((window, number) => window.label + (number < 9 ? `  [${number + 1}]` : ''));
  const wanted = labels.join('\n') + (viewport.chosen < 0);
  if (page.presetLabels !== wanted) {
    page.presetLabels = wanted;
    page.presets.replaceChildren(...(viewport.chosen < 0 ? [element('option', { value: -1, disabled: true }, text('preset_own'))] : []), ...labels.map((label, number) => element('option', { value: number }, label)));
  }
  page.presets.value = viewport.chosen;
  page.presets.disabled = !frame || frame.block < 0 && !frame.computed;
}

function toggleSetting(name) {
  settings[name] = !settings[name];
  viewports.forEach(viewport => viewport.redraw());
  toolbarChanged();
}

// On a narrow page the list opens over the images.
const isNarrow = () => window.innerWidth < 760;
const listIsShown = () => isNarrow() ? document.body.classList.contains('list-open') : !document.body.classList.contains('no-list');

function toggleList() {
  document.body.classList.toggle(isNarrow() ? 'list-open' : 'no-list');
  toolbarChanged();
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen().catch(() => announce(text('full_screen_refused')));
}

function toggleTheme() {
  const theme = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  choices.set('theme', theme);
}

// --- dialogs

function openDialog(title, content, kind) {
  const dialog = element('dialog', { 'aria-label': title, class: kind, onclose: () => dialog.remove(), onclick: event => { if (event.target === dialog) dialog.close(); } },
    element('div', { class: 'dialog-head' }, element('h2', {}, title), button('close', 'close', () => dialog.close())), content);
  document.body.append(dialog);
  if (kind) dialog.show();
  else dialog.showModal();
  return dialog;
}

function showNotice(title, message) { openDialog(title, element('p', {}, message)); }

const HELP = [
  ['help_mouse', [['help_drag_left', 'help_drag_left_does'], ['help_drag_middle', 'tool_pan'], ['help_drag_right', 'tool_zoom'], ['help_wheel', 'tool_scroll'], ['help_wheel_control', 'tool_zoom'], ['help_double_click', 'help_single']]],
  ['help_touch', [['help_one_finger', 'help_one_finger_does'], ['help_two_fingers', 'help_two_fingers_do']]],
  ['help_keys', [['↑ ↓ ← →  PgUp PgDn  Home End', 'tool_scroll'], ['⇧ + ↑ ↓ ← →', 'tool_window'], ['Ctrl + ↑ ↓ ← →', 'tool_pan'], ['+  −', 'tool_zoom'], ['=', 'actual_size'], ['1 … 9', 'window_presets'],
    ['S W Z P D A L', 'tools'], ['I', 'invert'], ['R', 'rotate'], ['H', 'flip'], ['V', 'flip_vertical'], ['0', 'reset'], ['C', 'cine'], ['M', 'planes'], ['K', 'link'], ['T', 'corners'], ['O', 'layers'], ['F', 'full_screen'], ['Delete', 'delete_measure'], ['?', 'help']]],
];

function openHelp() {
  const known = key => /^[a-z_]+$/.test(key) ? text(key) : key;
  openDialog(text('help'), element('div', {}, ...HELP.map(([title, rows]) => element('section', {}, element('h3', {}, text(title)),
    element('dl', {}, ...rows.flatMap(([what, does]) => [element('dt', {}, known(what)), element('dd', {}, text(does))])))),
    element('p', { class: 'disclaimer' }, text('not_for_diagnosis'), ' ', text('sends_nothing'))));
}

function layersChanged() { if (page.layers) fillLayers(); }

// The panel stays open beside the image that it is about.
function openLayers() {
  if (page.layers) { page.layers.close(); return; }
  page.layersBody = element('div', { class: 'layers' });
  page.layers = openDialog(text('layers'), page.layersBody, 'panel');
  page.layers.addEventListener('close', () => { page.layers = null; toolbarChanged(); });
  fillLayers();
  toolbarChanged();
}

// Presentation states, outlines, segments and overlays of the image in the active viewport.
function fillLayers() {
  const viewport = activeViewport, frame = viewport.frame, parts = [];
  if (!frame) { page.layersBody.replaceChildren(); return; }
  const check = (label, checked, action, colour) => {
    const swatch = colour ? element('span', { class: 'swatch' }) : '';
    if (swatch) swatch.style.background = colour;
    const box = element('input', { type: 'checkbox', checked, onchange: () => { action(box.checked); viewports.forEach(other => other.redraw()); } });
    return element('label', {}, box, swatch, label);
  };
  parts.push(check(text('overlays'), settings.overlays, on => { settings.overlays = on; }));
  const states = presentationsOf(frame);
  if (states.length) {
    parts.push(element('h3', {}, text('presentations')));
    const choose = state => { viewport.presentation = state; if (state) presentView(viewport); else viewport.resetView(); viewport.redraw(); };
    const radio = (label, state) => element('label', {}, element('input', { type: 'radio', name: 'presentation', checked: viewport.presentation === state, onchange: () => choose(state) }), label);
    parts.push(radio(text('presentation_none'), null), ...states.map((state, number) => radio(state.title || text('presentation_number', { number: number + 1 }), state)));
    const content = viewport.presentation && presentationContent(viewport.presentation);
    for (const key of content && content.unsupported || []) parts.push(element('p', { class: 'note' }, text('presentation_not_' + key)));
  }
  if ((frame.masks || []).length && !viewport.presentation) {
    parts.push(check(text('mask_subtraction'), Boolean(maskOf(viewport, frame)), on => { viewport.subtracts = on; viewport.window = null; }));
  }
  if (isMaskUnread(viewport, frame)) parts.push(element('p', { class: 'note' }, text('mask_not_subtracted')));
  const toggle = layer => on => { if (on) hiddenLayers.delete(layer); else hiddenLayers.add(layer); };
  for (const instance of disc.structures) {
    if (instance.frame === undefined || instance.frame !== frame.frame) continue;
    const block = readExtra(instance, 0, layersChanged);
    parts.push(element('h3', {}, instance.title || text('structures')));
    (block ? block.json : []).forEach((structure, number) => {
      const layer = `${instance.series.folder}:${number}`;
      parts.push(check(structure.name, !hiddenLayers.has(layer), toggle(layer), structure.colour));
    });
  }
  for (const instance of disc.segmentations) {
    if (!instance.framesOfInstance.length || !sharesPatientSpace(frame, instance.framesOfInstance[0])) continue;
    parts.push(element('h3', {}, instance.series.title || text('segments')));
    for (const [number, segment] of Object.entries(instance.segments)) {
      const layer = `${instance.series.folder}:${number}`;
      parts.push(check(segment.label, !hiddenLayers.has(layer), toggle(layer), segment.colour));
    }
  }
  if (parts.length === 1 && !(frame.overlays || []).length) parts.push(element('p', {}, text('layers_none')));
  page.layersBody.replaceChildren(...parts);
}

function announce(message) { page.status.textContent = message; }

function preparePrint() {
  // on paper, the views have the proportions that they have on the screen, without their sliders
  const rows = getComputedStyle(page.grid).gridTemplateRows.split(' ').length, { node, screen } = activeViewport;
  const height = page.main.clientHeight - rows * (node.clientHeight - screen.clientHeight);
  page.grid.classList.toggle('stacked', arrangement === 'two' && rows === 2);
  if (height > 0) page.main.style.setProperty('--ratio', page.main.clientWidth / height);
  const stack = activeViewport.stack;
  if (!stack) return;
  const { patient, study } = stack.series;
  page.print.textContent = joined(' · ', formatName(patient.name), patient.id, formatDate(patient.birth_date), study.institution, formatDate(study.date), study.description, text('not_for_diagnosis'));
}
