// What is drawn over an image: overlays, segments, outlines, graphics, measures, lines of other planes.

const hiddenLayers = new Set();  // structures and segments that a person switched off
// Letters of marks are as large as those of the page.
const markSize = () => parseFloat(getComputedStyle(document.body).fontSize) - 2;
const MEASURE_COLOUR = '#ffd34d', LINE_COLOUR = '#4dc3ff';

function drawMarks(viewport, context, frame, matrix) {
  if (settings.overlays) {
    drawSegments(viewport, context, frame, matrix);
    drawOverlayPlanes(viewport, context, frame, matrix);
    drawStructures(viewport, context, frame, matrix);
    if (viewport.presentation) drawPresentation(viewport, context, frame, matrix);
  }
  if (settings.lines) drawReferenceLine(viewport, context, frame, matrix);
  drawCross(viewport, context, frame, matrix);
  drawMeasures(viewport, context, frame, matrix);
  drawScaleBar(viewport, context, frame);
}

// A canvas with one colour where the numbers of a plane are not 0; `levels` is what a full value is.
function maskCanvas(block, start, rows, columns, colour, levels) {
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d'), image = context.createImageData(columns, rows);
  const [red, green, blue] = [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16));
  for (let index = 0; index < columns * rows; index++) {
    const value = block.values[start + index] * block.step + block.smallest;
    if (value) image.data.set([red, green, blue, Math.min(255, 255 * value / levels)], index * 4);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const maskCanvases = new Map();

function cachedMask(key, make) {
  let mask = maskCanvases.get(key);
  if (!mask) {
    maskCanvases.set(key, mask = make());
    if (maskCanvases.size > 60) maskCanvases.delete(maskCanvases.keys().next().value);
  }
  return mask;
}

// --- overlay planes (60xx)

function drawOverlayPlanes(viewport, context, frame, matrix) {
  for (const [extra, rows, columns, top, left, , first, frames] of frame.overlays || []) {
    const plane = frames === 1 && first === 1 ? 0 : frame.frameNumber - first;
    if (plane < 0 || plane >= frames) continue;
    const block = readExtra(frame.instance, extra, () => viewport.redraw());
    if (!block) continue;
    const key = [frame.instance.series.folder, extraBlock(frame.instance, extra), plane].join();
    const mask = cachedMask(key, () => maskCanvas(block, plane * rows * columns, rows, columns, '#ffffff', 1));
    context.save();
    context.transform(...matrix);
    context.drawImage(mask, left, top);
    context.restore();
  }
}

// --- structures of a structure set

// The outlines of all structure sets that lie in the plane of a frame: [{structure, points, closed}], points of the image.
function outlinesOf(frame, ready) {
  const outlines = [], plane = planeOf(frame);
  if (!plane) return outlines;
  const reach = Math.max(0.6, (frame.between || frame.thickness || 2) / 2);
  for (const instance of disc.structures) {
    if (frame.frame === undefined || instance.frame !== frame.frame) continue;
    const block = readExtra(instance, 0, ready);
    if (!block) continue;
    block.json.forEach((structure, number) => {
      structure.layer = `${instance.series.folder}:${number}`;
      if (hiddenLayers.has(structure.layer)) return;
      for (const [closed, coordinates] of structure.contours) {
        const heights = [0, Math.floor(coordinates.length / 6) * 3].map(at => dot(minus(coordinates.slice(at, at + 3), plane.origin), plane.normal));
        if (heights.some(height => Math.abs(height) > reach)) continue;
        const points = [];
        for (let at = 0; at < coordinates.length; at += 3) points.push(toImage(plane, coordinates.slice(at, at + 3)));
        outlines.push({ structure, closed, points });
      }
    });
  }
  return outlines;
}

function drawStructures(viewport, context, frame, matrix) {
  if (!disc.structures.length) return;
  const outlines = outlinesOf(frame, () => { viewport.redraw(); layersChanged(); });
  viewport.outlines = outlines.length;
  context.lineWidth = 1.6;
  for (const { structure, closed, points } of outlines) {
    context.strokeStyle = context.fillStyle = structure.colour;
    context.beginPath();
    points.forEach((point, index) => context[index ? 'lineTo' : 'moveTo'](...viewport.toScreen(point, matrix)));
    if (closed) context.closePath();
    context.stroke();
    if (points.length === 1) {
      const [x, y] = viewport.toScreen(points[0], matrix);
      context.fillRect(x - 3, y - 3, 6, 6);
    }
  }
}

// --- segmentations

function drawSegments(viewport, context, frame, matrix) {
  const plane = planeOf(frame);
  viewport.segments = 0;
  if (!plane || frame.segments) return;
  const reach = Math.max(0.5, (frame.between || frame.thickness || 1) / 2) + 0.01;
  for (const instance of disc.segmentations) {
    for (const mask of instance.framesOfInstance) {
      const target = planeOf(mask);
      if (!target || !sharesPatientSpace(frame, mask) || Math.abs(dot(target.normal, plane.normal)) < 0.99) continue;
      if (Math.abs(dot(minus(target.origin, plane.origin), plane.normal)) > reach) continue;
      const segment = instance.segments[mask.segment] || Object.values(instance.segments)[0];
      if (!segment || hiddenLayers.has(`${instance.series.folder}:${mask.segment}`)) continue;
      const block = pixels.get(mask);
      if (!block) {
        if (!pixels.loading.has(mask)) pixels.load(mask).then(loaded => loaded && viewport.redraw());
        continue;
      }
      const key = [instance.series.folder, mask.block, 'segment'].join();
      const canvas = cachedMask(key, () => maskCanvas(block, 0, mask.rows, mask.columns, segment.colour, instance.maximum || 1));
      const corner = toImage(plane, toPatient(target, 0, 0)), right = toImage(plane, toPatient(target, 1, 0)), below = toImage(plane, toPatient(target, 0, 1));
      context.save();
      context.globalAlpha = 0.45;
      context.imageSmoothingEnabled = false;
      context.transform(...matrix);
      context.transform(right[0] - corner[0], right[1] - corner[1], below[0] - corner[0], below[1] - corner[1], corner[0], corner[1]);
      context.drawImage(canvas, 0, 0);
      context.restore();
      viewport.segments++;
    }
  }
}

// --- planes of other viewports, and the point that was located

function drawReferenceLine(viewport, context, frame, matrix) {
  for (const other of shownViewports()) {
    if (other === viewport || !other.frame || !sharesPatientSpace(frame, other.frame)) continue;
    const points = cut(other.frame, frame);
    if (!points) continue;
    const [from, to] = points.map(point => viewport.toScreen(point, matrix));
    context.strokeStyle = other === activeViewport ? LINE_COLOUR : 'rgba(77, 195, 255, 0.45)';
    context.lineWidth = other === activeViewport ? 1.5 : 1;
    context.setLineDash(other === activeViewport ? [] : [6, 4]);
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    context.setLineDash([]);
    viewport.referenceLine = points;
  }
}

function drawCross(viewport, context, frame, matrix) {
  const plane = planeOf(frame);
  if (!locatedPoint || !plane || locatedPoint.frame !== frame.frame) return;
  const [x, y] = viewport.toScreen(toImage(plane, locatedPoint.point), matrix);
  context.strokeStyle = '#7dff8a';
  context.lineWidth = 1.2;
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + 5 * dx, y + 5 * dy);
    context.lineTo(x + 18 * dx, y + 18 * dy);
  }
  context.stroke();
}

// --- measures

function drawMeasures(viewport, context, frame, matrix) {
  const measures = [...measuresOf(frame), ...(viewport.drawing && viewport.drawingFrame === frame ? [viewport.drawing] : [])];
  const size = markSize();
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = 'middle';
  for (const measure of measures) {
    const points = measure.points.map(point => viewport.toScreen(point, matrix));
    context.strokeStyle = context.fillStyle = measure === viewport.selected ? '#fff2b8' : MEASURE_COLOUR;
    context.lineWidth = 1.6;
    context.shadowColor = '#000';
    context.shadowBlur = 3;
    context.beginPath();
    points.forEach((point, index) => context[index ? 'lineTo' : 'moveTo'](...point));
    context.stroke();
    for (const [x, y] of points) {
      context.beginPath();
      context.arc(x, y, 3.2, 0, 2 * Math.PI);
      context.fill();
    }
    const label = measureText(frame, measure), note = measureNote(frame, measure);
    const [x, y] = measure.kind === 'angle' ? points[1] : points[points.length - 1];
    const lines = [label, note].filter(Boolean);
    const width = Math.max(0, ...lines.map(line => context.measureText(line).width));
    const left = Math.max(10, Math.min(viewport.screen.clientWidth - width - 10, x + 12));
    context.shadowBlur = 0;
    if (!lines.length) continue;
    const top = Math.max(4, Math.min(viewport.screen.clientHeight - 1.4 * size * lines.length - 8, y + 8)), colour = context.fillStyle;
    context.fillStyle = 'rgba(10, 14, 19, 0.78)';
    context.beginPath();
    context.roundRect(left - 6, top, width + 12, 1.4 * size * lines.length + 4, 6);
    context.fill();
    context.fillStyle = colour;
    lines.forEach((line, index) => context.fillText(line, left, top + 0.9 * size + 1.4 * size * index));
  }
}

// A bar of a round length at the lower edge, where lengths in the patient are known.
function drawScaleBar(viewport, context, frame) {
  const plane = frame.spacing && frame.spacing_kind === 'patient';
  if (!settings.corners || !plane || viewport.screen.clientWidth < 480) return;
  const perMillimetre = viewport.scale / devicePixelRatio / frame.spacing[1];
  const length = [200, 100, 50, 20, 10, 5, 2, 1].find(candidate => candidate * perMillimetre < viewport.screen.clientWidth * 0.3);
  if (!length) return;
  const width = length * perMillimetre, x = (viewport.screen.clientWidth - width) / 2, y = viewport.screen.clientHeight - 12;
  context.strokeStyle = context.fillStyle = '#c9d8e6';
  context.lineWidth = 1.2;
  context.beginPath();
  context.moveTo(x, y - 4);
  context.lineTo(x, y);
  context.lineTo(x + width, y);
  context.lineTo(x + width, y - 4);
  context.stroke();
  context.font = `${markSize() - 2}px system-ui, sans-serif`;
  context.textAlign = 'center';
  context.fillText(length >= 10 ? `${length / 10} cm` : `${length} mm`, x + width / 2, y - 9);
  context.textAlign = 'start';
}
