// Elements of the page, texts in the language of the reader, and forms of dates, names and numbers.

const TEXTS = {};
let language = 'en';

// LANG.JS calls this with {code: {name, direction, texts}}.
window.BURNISH_TEXTS = value => Object.assign(TEXTS, value);

// The text of a key in the language of the reader; {name} stands for a value.
function text(key, values) {
  const catalogue = TEXTS[language] || TEXTS.en || { texts: {} };
  let result = catalogue.texts[key];
  if (result === undefined) result = TEXTS.en && TEXTS.en.texts[key];
  if (result === undefined) return key;
  return values ? result.replace(/\{(\w+)\}/g, (all, name) => name in values ? values[name] : all) : result;
}

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'class') node.className = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== undefined && child !== null && child !== ''));
  return node;
}

// Icons are lines on a field of 24 x 24.
const ICONS = {
  list: 'M4 6h16M4 12h16M4 18h10',
  scroll: 'M12 3v18M8 7l4-4 4 4M8 17l4 4 4-4',
  window: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  zoom: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21M10.5 7.5v6M7.5 10.5h6',
  pan: 'M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3',
  distance: 'M4 16L16 4l4 4L8 20zM8 12l2 2M11 9l2 2M14 6l2 2',
  angle: 'M5 19L17 4M5 19h15M12.5 10.5a9 9 0 0 1 3 8.500',
  locate: 'M12 2v7M12 15v7M2 12h7M15 12h7M12 11.500v1',
  invert: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 8h6M12 12h8M12 16h6',
  rotate: 'M20 11a8 8 0 1 0-2.300 6.500M20 4v7h-7',
  flip: 'M12 3v18M9 7L3 18h6zM15 7l6 11h-6z',
  flip_vertical: 'M3 12h18M7 9l11-6v6zM7 15l11 6v-6z',
  reset: 'M4 4v6h6M4.500 10A8 8 0 1 1 4 14',
  play: 'M7 4l13 8-13 8z',
  pause: 'M8 4v16M16 4v16',
  one: 'M4 5h16v14H4z',
  two: 'M4 5h16v14H4zM12 5v14',
  four: 'M4 5h16v14H4zM12 5v14M4 12h16',
  planes: 'M12 3l8 4.500v9L12 21l-8-4.500v-9zM12 12l8-4.500M12 12v9M12 12L4 7.500',
  link: 'M10 14a4 4 0 0 0 6 .500l3-3a4 4 0 0 0-5.600-5.600L12 7.300M14 10a4 4 0 0 0-6-.500l-3 3a4 4 0 0 0 5.600 5.600L12 16.700',
  lines: 'M4 4h16v16H4zM4 15l4-1.700M11 12l3-1.200M17 9.500l3-1.200',
  layers: 'M12 3l9 5-9 5-9-5zM3 12l9 5 9-5M3 16l9 5 9-5',
  corners: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M9 10h6M9 14h4',
  full_screen: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  print: 'M7 8V3h10v5M7 17H4V8h16v9h-3M7 14h10v7H7z',
  theme: 'M12 4a8 8 0 1 0 8 9 6 6 0 0 1-8-9z',
  language: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3.500 6 3.500 9s-.500 6-3.500 9c-3-3-3.500-6-3.500-9s.500-6 3.500-9z',
  help: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.800.400-1 1-1 1.700M12 16.800v.400',
  close: 'M6 6l12 12M18 6L6 18',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
  document: 'M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
};

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

// What a person chose is kept by the browser; where it refuses to, the choice lasts until the page is left.
const choices = {
  get(key) {
    try { return localStorage.getItem('burnish.' + key); } catch (refused) { return null; }
  },
  set(key, value) {
    try { localStorage.setItem('burnish.' + key, value); } catch (refused) { /* kept by the page alone */ }
  },
};

// Forms of dates and numbers in the language of the page: a browser takes long to make one.
const forms = new Map();

function formOf(key, make) {
  const name = language + key;
  if (!forms.has(name)) forms.set(name, make());
  return forms.get(name);
}

// How dates and names are written in the language of the reader, as in the pages of the disc.
const writing = key => (TEXTS[language] || TEXTS.en || { forms: {} }).forms[key] || '';

// A date (DA) as people write it; old instances have dates like 1997.04.24. Another value unchanged.
function formatDate(value) {
  const parts = /^(\d{4})\.?(\d{2})\.?(\d{2})/.exec(value || '');
  const month = parts && writing('month.' + +parts[2]);
  if (!month) return value || '';
  const values = { day: +parts[3], month, month_number: +parts[2], year: +parts[1] };
  return writing('format.date').replace(/\{(\w+)\}/g, (all, name) => values[name]);
}

// A time (TM) as hours and minutes.
function formatTime(value) {
  const parts = /^(\d{2})(\d{2})/.exec(value || '');
  return parts ? parts[1] + ':' + parts[2] : '';
}

// A name (PN) as people write it: in one script, or in two of which the reader's comes first.
function formatName(value) {
  const groups = (value || '').split('=').map(formatNameGroup);
  const names = groups.slice(0, 2);
  if (writing('format.name_group') === 'ideographic') names.reverse();
  const [name, other] = names.filter(Boolean);
  if (!other) return name || groups[2] || '';
  return writing('format.name_in_two_scripts').replace('{name}', () => name).replace('{other}', () => other);
}

function formatNameGroup(group) {
  const [family, given, middle, prefix, suffix] = group.split('^').map(part => part.trim());
  const isIdeographic = /[\u2e80-\uffff]/.test(family + (given || ''));
  const order = writing(isIdeographic ? 'format.ideographic_name' : 'format.name').split(' ');
  const parts = { family, given, middle, prefix, suffix };
  return order.map(part => parts[part]).filter(Boolean).join(' ');
}

function formatNumber(value, digits) {
  if (!Number.isFinite(value)) return '';
  return formOf(digits, () => new Intl.NumberFormat(language, { maximumFractionDigits: digits, useGrouping: false })).format(value);
}

// Values of several scripts side by side, each in its own direction where the page runs from right to left.
function joined(separator, ...parts) {
  const shown = parts.filter(part => part !== undefined && part !== null && part !== false && part !== '');
  if ((TEXTS[language] || {}).direction !== 'rtl') return shown.join(separator);
  return shown.map(part => `\u2068${part}\u2069`).join(separator);
}

// The path of a file of the disc from this page.
function discPath(path) { return '../' + path; }

function sevenDigits(number) { return String(number).padStart(7, '0'); }
