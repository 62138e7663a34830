// The start: the disc and the texts are there, the page is built, the first series is opened.

function useLanguage(code) {
  language = TEXTS[code] ? code : TEXTS.en ? 'en' : Object.keys(TEXTS)[0];
  document.documentElement.lang = language;
  document.documentElement.dir = (TEXTS[language] || {}).direction || 'ltr';
  const first = disc.patients[0];
  document.title = [disc.patients.length === 1 && first ? formatName(first.name) : '', text('viewer_title')].filter(Boolean).join(' – ');
  page.header.setAttribute('aria-label', text('tools'));
  page.presetLabels = null;
  buildTools();
  buildList();
  viewports.forEach(viewport => viewport.redraw());
}

// The language that was chosen before, that of the browser, or that of the disc.
function firstLanguage() {
  const wanted = [choices.get('language'), ...(navigator.languages || []), disc.language];
  for (const code of wanted) {
    const known = code && [code, code.slice(0, 2)].find(candidate => TEXTS[candidate]);
    if (known) return known;
  }
  return 'en';
}

let started = false;

window.BURNISH_DISC = value => {
  readDisc(value);
  started = true;
  document.documentElement.dataset.theme = choices.get('theme') || 'dark';
  startWorkers();
  buildPage();
  useLanguage(firstLanguage());
  arrange('one');
  activate(viewports[0]);
  const first = disc.series.find(series => series.frames.length && !series.instances.some(instance => instance.segments)) || disc.series.find(series => series.frames.length);
  const firstDocument = disc.series.flatMap(series => series.documents)[0];
  if (first) openStack(stackOf(first));
  else if (firstDocument) openDocument(firstDocument);
};

// Without DATA.JS there is nothing to show: it is said instead of an empty page.
window.addEventListener('load', () => {
  if (started) return;
  document.getElementById('viewer').append(element('p', { class: 'fault', role: 'alert' }, text('fault_data'), ' ', element('a', { href: '../INDEX.HTM' }, 'INDEX.HTM')));
});
