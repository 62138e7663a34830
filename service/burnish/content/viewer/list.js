// The list of patients, studies and series with their thumbnails.

function buildList() {
  page.tiles = [];
  const parts = [];
  const several = disc.patients.length > 1;
  for (const patient of disc.patients) {
    parts.push(element('h2', { class: 'patient' }, formatName(patient.name) || text('no_name'),
      element('small', {}, joined(' · ', patient.id, formatDate(patient.birth_date), patient.sex && text('sex_' + patient.sex)))));
    for (const { study, series } of patient.shownStudies) {
      parts.push(element('h3', { class: 'study' }, study.description || text('study'),
        element('small', {}, joined(' · ', formatDate(study.date), study.institution))));
      const items = series.flatMap(item => tilesOf(item));
      parts.push(element('ul', {}, ...items.map(tile => element('li', {}, tile))));
    }
  }
  if (disc.volume.volumes > 1) parts.unshift(element('p', { class: 'note' }, text('volume_of', { number: disc.volume.number, volumes: disc.volume.volumes })));
  parts.push(element('p', { class: 'disclaimer' }, disc.site.disclaimer || text('not_for_diagnosis')));
  parts.push(element('div', { class: 'list-end' }, element('a', { href: '../INDEX.HTM' }, text('start_page')), languageChooser(), button('theme', 'theme', toggleTheme)));
  page.list.setAttribute('aria-label', text('studies'));
  page.list.replaceChildren(...parts);
  page.list.classList.toggle('several', several);
  listChanged();
}

function tile(key, mark, title, lines, action, attributes) {
  const node = element('button', { type: 'button', class: 'tile', onclick: () => { action(); document.body.classList.remove('list-open'); }, ...attributes },
    mark, element('span', { class: 'tile-text' }, element('span', { class: 'tile-title' }, title), ...lines.filter(Boolean).map(line => element('small', {}, line))));
  page.tiles.push({ key, node });
  return node;
}

const small = item => element('img', { src: discPath(item.thumbnail), alt: '', loading: 'lazy', draggable: 'false' });

const badge = name => element('span', { class: name.length > 4 ? 'badge long' : 'badge', 'aria-hidden': 'true' }, name);

function tilesOf(series) {
  const tiles = [];
  const number = series.number !== undefined ? text('series_number', { number: series.number }) : '';
  const elsewhere = series.elsewhere ? text('on_other_volumes', { count: series.elsewhere }) : '';
  if (series.frames.length) {
    const mark = series.thumbnail ? small(series) : badge(series.modality || '?');
    const images = text('image_count', { count: series.frames.length });
    tiles.push(tile(series, mark, series.title, [joined(' · ', series.title !== series.modality && series.modality, number), images, elsewhere], () => openStack(stackOf(series)),
      { draggable: 'true', ondragstart: event => event.dataTransfer.setData('text/plain', disc.series.indexOf(series)) }));
  }
  for (const instance of series.instances) {
    if (instance.kind === 'keys') tiles.push(keysTile(instance));
    if (instance.kind === 'presentation') tiles.push(presentationTile(instance));
    if (instance.kind === 'structures') tiles.push(tile(instance, badge('RT'), instance.title || text('structures'), [text('structures')], () => openStructures(instance)));
  }
  for (const item of series.documents) tiles.push(tile(item, item.thumbnail ? small(item) : badge(item.kind), item.title || series.title, [item.title !== item.kind && item.kind, item.note], () => openDocument(item)));
  if (!tiles.length) {
    const note = element('div', { class: 'tile plain' }, badge(series.modality || '?'), element('span', { class: 'tile-text' }, element('span', { class: 'tile-title' }, series.title), element('small', {}, elsewhere || text('not_shown'))));
    tiles.push(note);
  }
  return tiles;
}

function framesOf(instances) { return instances.flatMap(instance => instance.framesOfInstance || []); }

function stackOfReferences(instance, title) {
  const frames = framesOf(instance.referenced);
  if (!frames.length) return null;
  if (!instance.stack) instance.stack = new Stack(instance.series, frames, title);
  return instance.stack;
}

const missingText = instance => instance.missing ? text('missing_images', { count: instance.missing }) : '';

function keysTile(instance) {
  const title = instance.title || text('key_images'), stack = stackOfReferences(instance, title);
  const images = stack ? text('image_count', { count: stack.length }) : '';
  return tile(instance, badge('★'), title, [text('key_images'), images, instance.text, missingText(instance)],
    () => stack ? openStack(stack, 0) : showNotice(title, text('missing_images', { count: instance.missing || 0 })));
}

function presentationTile(instance) {
  const title = instance.title || text('presentation'), stack = stackOfReferences(instance, title);
  if (stack) stack.presentation = instance;
  return tile(instance, badge('PR'), title, [text('presentation'), missingText(instance)],
    () => stack ? openStack(stack, 0) : showNotice(title, text('missing_images', { count: instance.missing || 0 })));
}

// Outlines are shown over the images in the same space; the first of them are opened.
function openStructures(instance) {
  const series = disc.series.find(item => item.frames.some(frame => frame.frame !== undefined && frame.frame === instance.frame && planeOf(frame)));
  if (!series) { showNotice(instance.title || text('structures'), text('structures_no_images')); return; }
  openStack(stackOf(series));
  if (!page.layers) openLayers();
}

function listChanged() {
  const stack = activeViewport && activeViewport.stack;
  for (const { key, node } of page.tiles || []) {
    const own = key.stack, isStack = Boolean(stack && own) && (own === stack || (stack.volume && stack.volume.stack === own));
    const shown = page.openDocument ? key === page.openDocument : isStack;
    if (shown) node.setAttribute('aria-current', 'true');
    else node.removeAttribute('aria-current');
  }
}
