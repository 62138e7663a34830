// Planes of images in the patient, and what can be measured on them.

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const along = (point, direction, length) => point.map((value, axis) => value + direction[axis] * length);
const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

// The plane of a frame: the centre of its first pixel, directions of rows and columns, mm for each pixel; null without one.
function planeOf(frame) {
  if (frame.plane === undefined) {
    const { position, orientation, spacing } = frame;
    frame.plane = null;
    if (position && orientation && spacing) {
      const row = orientation.slice(0, 3), column = orientation.slice(3);
      frame.plane = { origin: position, row, column, normal: cross(row, column), dx: spacing[1], dy: spacing[0] };
    }
  }
  return frame.plane;
}

// Points of an image are counted from its upper left corner, so the centre of the first pixel is (0.5, 0.5).
function toPatient(plane, x, y) {
  return along(along(plane.origin, plane.row, (x - 0.5) * plane.dx), plane.column, (y - 0.5) * plane.dy);
}

function toImage(plane, point) {
  const offset = minus(point, plane.origin);
  return [dot(offset, plane.row) / plane.dx + 0.5, dot(offset, plane.column) / plane.dy + 0.5];
}

function sharesPatientSpace(first, second) {
  if (!planeOf(first) || !planeOf(second)) return false;
  return first.frame !== undefined ? first.frame === second.frame : first.instance === second.instance;
}

// Where the plane of one frame cuts another frame: two points of that frame; null where it does not.
function cut(frame, other) {
  const plane = planeOf(frame), target = planeOf(other);
  if (Math.abs(dot(plane.normal, target.normal)) > 0.99) return null;
  const corners = [[0, 0], [frame.columns, 0], [frame.columns, frame.rows], [0, frame.rows]].map(([x, y]) => toPatient(plane, x, y));
  const heights = corners.map(corner => dot(minus(corner, target.origin), target.normal));
  const points = [];
  for (let index = 0; index < 4; index++) {
    const next = (index + 1) % 4, from = heights[index], to = heights[next];
    if ((from < 0) === (to < 0)) continue;
    points.push(toImage(target, along(corners[index], minus(corners[next], corners[index]), from / (from - to))));
  }
  return points.length === 2 ? points : null;
}

// The frame of a stack that is nearest to a point of the patient: its index, -1 if the stack has no place there.
function nearestFrame(stack, point, current) {
  const first = stack.frame(0), plane = first && planeOf(first);
  if (!plane) return -1;
  if (stack.indexOfPoint) return stack.indexOfPoint(point);
  let best = -1, least = Infinity;
  for (let index = 0; index < stack.length; index++) {
    const candidate = planeOf(stack.frame(index));
    if (!candidate) continue;
    const distance = Math.abs(dot(minus(point, candidate.origin), candidate.normal)) + Math.abs(index - current) * 1e-6;
    if (distance < least) { least = distance; best = index; }
  }
  return best;
}

// Letters for a direction in the patient, the longest part first (PS3.3 C.7.6.1.1.1).
function directionLetters(direction) {
  const names = [['R', 'L'], ['A', 'P'], ['F', 'H']];
  return [0, 1, 2].filter(axis => Math.abs(direction[axis]) > 0.17)
    .sort((a, b) => Math.abs(direction[b]) - Math.abs(direction[a]))
    .map(axis => names[axis][direction[axis] > 0 ? 1 : 0]).join('');
}

const OPPOSITE = { R: 'L', L: 'R', A: 'P', P: 'A', F: 'H', H: 'F' };
const oppositeLetters = letters => [...letters].map(letter => OPPOSITE[letter] || letter).join('');

// Letters at the right and at the lower side of a frame; null where the image does not say.
function sidesOf(frame) {
  if (frame.orientation) return [directionLetters(frame.orientation.slice(0, 3)), directionLetters(frame.orientation.slice(3))];
  return frame.directions || null;
}

// mm for each column and row at points of a frame, and the key of a text that limits it; null where nothing is known.
function scaleAt(frame, points) {
  const region = (frame.regions || []).find(([x0, y0, x1, y1]) => points.every(([x, y]) => x >= x0 && x <= x1 + 1 && y >= y0 && y <= y1 + 1));
  if (region) return { dx: region[4], dy: region[5] };
  if (frame.regions || !frame.spacing) return null;
  const note = { detector: 'measure_detector', nominal: 'measure_nominal' }[frame.spacing_kind];
  return { dx: frame.spacing[1], dy: frame.spacing[0], note };
}

// How high a pixel is, where its width is 1.
function pixelAspect(frame) {
  if (frame.spacing) return frame.spacing[0] / frame.spacing[1];
  if (frame.aspect) return frame.aspect[0] / frame.aspect[1];
  const region = (frame.regions || [])[0];
  return region && frame.regions.length === 1 ? region[5] / region[4] : 1;
}
