// Distances and angles that a person draws, kept for each frame until the page is left.

const measuresByFrame = new Map();

function measuresOf(frame) {
  let measures = measuresByFrame.get(frame);
  if (!measures) measuresByFrame.set(frame, measures = []);
  return measures;
}

// A measure has points of the image: two of a distance; of an angle the vertex is the second of three.
function measureText(frame, measure) {
  const points = measure.points;
  if (measure.kind === 'angle') {
    if (points.length < 3) return '';
    const scale = scaleAt(frame, points), aspect = scale ? scale.dy / scale.dx : pixelAspect(frame), [from, vertex, to] = points;
    const first = Math.atan2((from[1] - vertex[1]) * aspect, from[0] - vertex[0]);
    const second = Math.atan2((to[1] - vertex[1]) * aspect, to[0] - vertex[0]);
    let angle = Math.abs(first - second) * 180 / Math.PI;
    if (angle > 180) angle = 360 - angle;
    return formatNumber(angle, 1) + '°';
  }
  const [from, to] = points, scale = scaleAt(frame, points);
  if (!scale) return `${formatNumber(Math.hypot(to[0] - from[0], to[1] - from[1]), 0)} ${text('unit_pixels')}`;
  const length = Math.hypot((to[0] - from[0]) * scale.dx, (to[1] - from[1]) * scale.dy);
  return `${formatNumber(length, 1)} mm`;
}

// Why a measure is not one in the patient, as a text; "" where it is.
function measureNote(frame, measure) {
  const scale = scaleAt(frame, measure.points);
  // an angle needs no size, but across regions of an ultrasound image it means nothing
  if (measure.kind === 'angle') return frame.regions && !scale ? text('measure_none') : '';
  if (!scale) return text('measure_none');
  return scale.note ? text(scale.note) : '';
}

// The point of a measure near to a place, as {measure, point}; distances are in pixels of the screen.
function measureAt(frame, place, toScreen) {
  let best = null, least = 14;
  for (const measure of measuresOf(frame)) {
    measure.points.forEach((point, index) => {
      const [x, y] = toScreen(point), distance = Math.hypot(x - place[0], y - place[1]);
      if (distance < least) { least = distance; best = { measure, point: index }; }
    });
  }
  return best;
}
