// What is on the disc: patients, studies, series, and the frames of images in the order of display.

// One frame of an image. Values of the series and of the instance that all frames share are looked up in its prototypes.
function makeFrame(instance, frameNumber, block, picture, values) {
  const frame = Object.create(instance);
  frame.instance = instance;
  frame.frameNumber = frameNumber;
  frame.block = block;
  frame.picture = picture;
  return Object.assign(frame, values);
}

function picturePath(series, picture) {
  if (!picture) return '';
  return discPath(typeof picture === 'string' ? picture : `IHE_PDI/S${sevenDigits(series.folder)}/I${sevenDigits(picture)}.JPG`);
}

class Series {
  constructor(value, study, patient) {
    Object.assign(this, value, { study, patient, frames: [] });
    this.packs = value.packs || [];
    this.documents = value.documents || [];
    const common = value.common || {};
    this.instances = (value.instances || []).map(own => Object.assign(Object.create(common), own, { series: this }));
    for (const instance of this.instances) {
      instance.framesOfInstance = [];
      if (instance.kind !== 'image') continue;
      const count = instance.frames || 1;
      for (let index = 0; index < count; index++) {
        const block = instance.pixels && instance.block !== undefined ? instance.block + index : -1;
        const picture = picturePath(this, (instance.pictures || [])[index]);
        const frame = makeFrame(instance, index + 1, block, picture, (instance.per_frame || [])[index]);
        instance.framesOfInstance.push(frame);
        this.frames.push(frame);
      }
    }
    this.packStarts = [];
    let start = 0;
    for (const count of this.packs) { this.packStarts.push(start); start += count; }
  }

  // The number of the pack (from 1) that has a block, and the index of the block in it.
  placeOfBlock(block) {
    let pack = this.packStarts.length - 1;
    while (pack > 0 && this.packStarts[pack] > block) pack--;
    return { pack: pack + 1, index: block - this.packStarts[pack] };
  }

  get title() { return this.description || this.modality || text('series'); }
}

// The block of an extra of an instance: extras come after the blocks of its frames.
function extraBlock(instance, extra) {
  return (instance.block || 0) + (instance.pixels ? instance.frames || 1 : 0) + extra;
}

const disc = { patients: [], series: [], presentations: [], structures: [], segmentations: [], keys: [] };

function readDisc(value) {
  Object.assign(disc, { language: value.language, site: value.site || {}, volume: value.volume || {} });
  for (const patient of value.patients || []) {
    const studies = [];
    disc.patients.push(Object.assign(patient, { shownStudies: studies }));
    for (const study of patient.studies || []) {
      const series = (study.series || []).map(item => new Series(item, study, patient));
      studies.push({ study, series });
      disc.series.push(...series);
    }
  }
  for (const series of disc.series) {
    for (const instance of series.instances) {
      instance.allReferenced = (instance.references || []).map(place => place ? disc.series[place[0]].instances[place[1]] : null);
      instance.referenced = instance.allReferenced.filter(Boolean);
      if (instance.kind === 'presentation') disc.presentations.push(instance);
      if (instance.kind === 'structures') disc.structures.push(instance);
      if (instance.kind === 'keys') disc.keys.push(instance);
      if (instance.segments) disc.segmentations.push(instance);
    }
  }
}

// Frames that are scrolled through together.
class Stack {
  constructor(series, frames, title) {
    this.series = series;
    this.frames = frames;
    this.title = title;
  }
  get length() { return this.frames.length; }
  frame(index) { return this.frames[index]; }
}

function stackOf(series) {
  if (!series.stack) series.stack = new Stack(series, series.frames, series.title);
  return series.stack;
}
