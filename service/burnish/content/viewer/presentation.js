// Presentation states (PS3.3 C.10.4, C.10.5, C.11.8): window, turn, displayed area, graphics, shutter.

// The content of a presentation state; null until its block is there.
function presentationContent(instance) {
  const block = readExtra(instance, instance.extra[0], () => {
    for (const viewport of viewports) if (viewport.presentation === instance) { viewport.applyPresentation(); viewport.redraw(); }
  });
  return block ? block.json : null;
}

// Whether something of a presentation state is for a frame: no references mean all.
function concerns(instance, references, frame) {
  if (!references || !references.length) return true;
  return references.some(([number, frames]) =>
    instance.allReferenced[number] === frame.instance && (!frames.length || frames.includes(frame.frameNumber)));
}

// The presentation states for the image of a frame.
function presentationsOf(frame) {
  return disc.presentations.filter(instance => instance.referenced.includes(frame.instance));
}

// What is not applied of the state of a viewport, in words.
function presentationGaps(viewport) {
  const content = viewport.presentation && presentationContent(viewport.presentation);
  return (content && content.unsupported || []).map(key => text('presentation_not_' + key));
}

// A frame with the Modality LUT and the Presentation LUT of a state. The one of the state replaces that of the image,
// also where the state has none (PS3.4 N.2.1).
function presentedFrame(viewport, frame) {
  const instance = viewport.presentation, content = instance && presentationContent(instance);
  if (!content || isColour(frame) || !instance.referenced.includes(frame.instance)) return frame;
  const known = viewport.presented;
  if (known && known.original === frame && known.lut_instance === instance) return known;
  const [extra, first] = content.modality_lut || [];
  viewport.presented = Object.assign(Object.create(frame), {
    original: frame, lut_instance: instance, slope: content.slope, intercept: content.intercept,
    modality_lut: content.modality_lut && [extra, first < 0 && !frame.signed ? first + 0x10000 : first],
    presentation_lut: content.presentation_lut,
  });
  return viewport.presented;
}

function presentationWindow(instance, frame) {
  const content = presentationContent(instance);
  if (!content) return null;
  const window = (content.windows || []).find(([references]) => concerns(instance, references, frame));
  if (window) return { centre: window[1], width: window[2], shape: 'LINEAR', label: text('presentation') };
  const lut = (content.voi_luts || []).find(([references]) => concerns(instance, references, frame));
  return lut ? lutWindow(frame, [lut[1], lut[2], lut[3], text('presentation')], instance) : null;
}

// Turns and zooms a viewport as the state asks for.
function presentView(viewport) {
  const content = presentationContent(viewport.presentation), frame = viewport.frame;
  if (!content || !frame) return;
  viewport.window = null;
  viewport.rotation = content.rotation || 0;
  viewport.flipped = Boolean(content.flip);
  // the state replaces the sense of the image
  viewport.inverted = Boolean(content.inverse) !== (frame.photometric === 'MONOCHROME1');
  viewport.zoom = 1;
  viewport.panX = viewport.panY = 0;
  const area = (content.areas || []).find(([references]) => concerns(viewport.presentation, references, frame));
  if (!area || !viewport.screen.clientWidth) return;
  const [, x0, y0, x1, y1] = area, aspect = pixelAspect(frame), quarter = viewport.rotation % 180 !== 0;
  const columns = Math.abs(x1 - x0) + 1, rows = (Math.abs(y1 - y0) + 1) * aspect;
  const width = viewport.screen.clientWidth, height = viewport.screen.clientHeight;
  const wanted = Math.min(width / (quarter ? rows : columns), height / (quarter ? columns : rows));
  viewport.zoom = wanted / (viewport.scale / devicePixelRatio);
  const [x, y] = viewport.toScreen([(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2]);
  viewport.panX += width / 2 - x;
  viewport.panY += height / 2 - y;
}

// The displayed area of a state on the screen: left, top, width, height; the whole image without one.
function displayedArea(viewport, content, frame, matrix) {
  const area = (content.areas || []).find(([references]) => concerns(viewport.presentation, references, frame));
  const [x0, y0, x1, y1] = area ? area.slice(1) : [1, 1, frame.columns, frame.rows];
  const corners = [[Math.min(x0, x1) - 1, Math.min(y0, y1) - 1], [Math.max(x0, x1), Math.max(y0, y1)]].map(corner => viewport.toScreen(corner, matrix));
  const [left, right] = corners.map(corner => corner[0]).sort((p, q) => p - q), [top, bottom] = corners.map(corner => corner[1]).sort((p, q) => p - q);
  return [left, top, right - left, bottom - top];
}

// A point of a graphic on the screen: in pixels of the image from 1, or as a share of the displayed area as it is shown (PS3.3 C.10.5.1.2).
function graphicPoint(viewport, matrix, area, units, x, y) {
  if (units === 'DISPLAY') return [area[0] + x * area[2], area[1] + y * area[3]];
  return viewport.toScreen([x - 0.5, y - 0.5], matrix);
}

function drawPresentation(viewport, context, frame, matrix) {
  const instance = viewport.presentation, content = presentationContent(instance);
  if (!content) return;
  if (content.shutter) drawShutter(viewport, context, frame, matrix, content.shutter);
  const area = displayedArea(viewport, content, frame, matrix);
  const colours = Object.fromEntries((content.layers || []).map(layer => [layer.name, layer.colour]));
  context.lineWidth = 1.6;
  for (const graphic of content.graphics || []) {
    if (!concerns(instance, graphic.references, frame)) continue;
    context.strokeStyle = context.fillStyle = colours[graphic.layer] || '#7dff8a';
    drawGraphic(context, graphic, (x, y) => graphicPoint(viewport, matrix, area, graphic.units, x, y));
  }
  context.font = `${markSize()}px system-ui, sans-serif`;
  for (const label of content.texts || []) {
    if (!concerns(instance, label.references, frame)) continue;
    const place = label.box && label.box.length === 4 ? label.box : label.anchor;
    if (!place || place.length < 2) continue;
    const [x, y] = graphicPoint(viewport, matrix, area, label.units, place[0], place[1]);
    context.fillStyle = colours[label.layer] || '#7dff8a';
    context.textBaseline = 'top';
    label.text.split(/\r?\n/).forEach((line, number) => context.fillText(line, x, y + 16 * number));
  }
}

function drawGraphic(context, graphic, place) {
  const points = [];
  for (let at = 0; at + 1 < graphic.points.length; at += 2) points.push(place(graphic.points[at], graphic.points[at + 1]));
  context.beginPath();
  if (graphic.kind === 'POINT') {
    context.arc(...points[0], 3, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  if (graphic.kind === 'CIRCLE' && points.length > 1) {
    context.arc(...points[0], Math.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1]), 0, 2 * Math.PI);
  } else if (graphic.kind === 'ELLIPSE' && points.length > 3) {
    const [a, b, c, d] = points, centre = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const turn = Math.atan2(b[1] - a[1], b[0] - a[0]);
    context.ellipse(...centre, Math.hypot(b[0] - a[0], b[1] - a[1]) / 2, Math.hypot(d[0] - c[0], d[1] - c[1]) / 2, turn, 0, 2 * Math.PI);
  } else {
    points.forEach((point, index) => context[index ? 'lineTo' : 'moveTo'](...point));
  }
  context.stroke();
  if (graphic.filled) context.fill();
}

function drawShutter(viewport, context, frame, matrix, shutter) {
  context.save();
  context.transform(...matrix);
  context.fillStyle = '#000';
  const outside = shape => {
    context.beginPath();
    context.rect(0, 0, frame.columns, frame.rows);
    shape();
    context.fill('evenodd');
  };
  if (shutter.rectangle) {
    const [left, top, right, bottom] = shutter.rectangle;
    outside(() => context.rect(left - 1, top - 1, right - left + 1, bottom - top + 1));
  }
  if (shutter.circle) outside(() => context.arc(shutter.circle[0] - 0.5, shutter.circle[1] - 0.5, shutter.circle[2], 0, 2 * Math.PI));
  if (shutter.polygon) {
    outside(() => {
      for (let at = 0; at + 1 < shutter.polygon.length; at += 2) context[at ? 'lineTo' : 'moveTo'](shutter.polygon[at] - 0.5, shutter.polygon[at + 1] - 0.5);
      context.closePath();
    });
  }
  context.restore();
}
