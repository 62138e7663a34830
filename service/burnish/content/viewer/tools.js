// What mouse, pen, touch, wheel and keys do in a viewport.

const TOOLS = ['scroll', 'window', 'zoom', 'pan', 'distance', 'angle', 'locate'];
const TOOL_KEYS = { s: 'scroll', w: 'window', z: 'zoom', p: 'pan', d: 'distance', a: 'angle', l: 'locate' };
let activeTool = 'window';
let toolWasChosen = false;
let locatedPoint = null;  // {point, frame}: a point of the patient, and its frame of reference

function chooseTool(tool) {
  activeTool = tool;
  toolWasChosen = true;
  for (const viewport of viewports) finishAngle(viewport);
  toolbarChanged();
}

// The tool of a pointer: the other buttons of a mouse move and zoom; a finger scrolls until a tool is chosen.
function toolOf(event) {
  if (event.button === 1) return 'pan';
  if (event.button === 2) return 'zoom';
  if (event.pointerType === 'touch' && !toolWasChosen) return 'scroll';
  return activeTool;
}

function finishAngle(viewport) {
  viewport.drawing = null;
  viewport.redraw();
}

function listenTo(viewport) {
  const { screen, node } = viewport, fingers = new Map();
  let drag = null, pinch = null, wheel = 0;
  const placeOf = event => { const edge = screen.getBoundingClientRect(); return [event.clientX - edge.left, event.clientY - edge.top]; };

  screen.addEventListener('pointerdown', event => {
    activate(viewport);
    node.focus({ preventScroll: true });
    if (!viewport.frame) return;
    screen.setPointerCapture(event.pointerId);
    const place = placeOf(event);
    if (event.pointerType === 'touch') {
      fingers.set(event.pointerId, place);
      if (fingers.size === 2) {
        pinch = spread(fingers);
        drag = null;
        viewport.drawing = null;
        return;
      }
    }
    drag = { tool: toolOf(event), place, moved: 0, rest: 0 };
    startDrag(viewport, drag, event);
  });

  screen.addEventListener('pointermove', event => {
    const place = placeOf(event);
    viewport.pointer = place;
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, place);
    if (pinch && fingers.size === 2) {
      const now = spread(fingers);
      viewport.zoomAt(now.middle, now.distance / pinch.distance);
      viewport.panX += now.middle[0] - pinch.middle[0];
      viewport.panY += now.middle[1] - pinch.middle[1];
      pinch = now;
      return;
    }
    if (drag) moveDrag(viewport, drag, place);
    else if (viewport.drawing && viewport.drawing.kind === 'angle') moveAngle(viewport, place);
    if (!viewport.frame) return;
    viewport.cursorValue();
    viewport.redraw();
  });

  const release = event => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2) pinch = null;
    if (drag) endDrag(viewport, drag);
    drag = null;
  };
  screen.addEventListener('pointerup', release);
  screen.addEventListener('pointercancel', release);
  screen.addEventListener('pointerleave', () => { viewport.pointer = null; viewport.value = ''; viewport.redraw(); });
  screen.addEventListener('contextmenu', event => event.preventDefault());
  screen.addEventListener('dblclick', () => { if (activeTool !== 'angle') toggleSingle(viewport); });

  node.addEventListener('wheel', event => {
    if (!viewport.frame) return;
    event.preventDefault();
    activate(viewport);
    const distance = event.deltaMode === 1 ? event.deltaY * 33 : event.deltaMode === 2 ? event.deltaY * 400 : event.deltaY;
    if (event.ctrlKey || event.metaKey) {
      viewport.zoomAt(placeOf(event), Math.exp(-distance / 300));
      return;
    }
    // a notch of a wheel is about 100; a touchpad sends many small steps
    wheel += distance / (Math.abs(distance) >= 50 ? Math.abs(distance) : 40);
    const steps = Math.trunc(wheel);
    wheel -= steps;
    if (steps) viewport.show(viewport.index + steps);
  }, { passive: false });

  node.addEventListener('focus', () => activate(viewport));
  node.addEventListener('dragover', event => event.preventDefault());
  node.addEventListener('drop', event => {
    event.preventDefault();
    const series = disc.series[+event.dataTransfer.getData('text/plain')];
    if (series && series.frames.length) { activate(viewport); openStack(stackOf(series)); }
  });
}

function spread(fingers) {
  const [first, second] = [...fingers.values()];
  return {
    distance: Math.max(10, Math.hypot(first[0] - second[0], first[1] - second[1])),
    middle: [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2],
  };
}

function startDrag(viewport, drag, event) {
  const frame = viewport.frame, point = viewport.toImage(drag.place);
  const near = event.button === 0 && !(viewport.drawing && viewport.drawing.kind === 'angle') && measureAt(frame, drag.place, place => viewport.toScreen(place));
  viewport.selected = near ? near.measure : null;
  viewport.dragging = drag.tool === 'window';
  if (near) {
    drag.tool = 'edit';
    drag.near = near;
  } else if (drag.tool === 'distance') {
    viewport.drawing = { kind: 'distance', points: [point, point] };
    viewport.drawingFrame = frame;
  } else if (drag.tool === 'angle') {
    startAngle(viewport, point);
  } else if (drag.tool === 'locate') {
    locate(viewport, point);
  }
  viewport.redraw();
}

function moveDrag(viewport, drag, place) {
  const dx = place[0] - drag.place[0], dy = place[1] - drag.place[1];
  drag.place = place;
  drag.moved += Math.abs(dx) + Math.abs(dy);
  if (drag.tool === 'window') viewport.changeWindow(dx, dy);
  else if (drag.tool === 'pan') { viewport.panX += dx; viewport.panY += dy; }
  else if (drag.tool === 'zoom') viewport.zoomAt([viewport.screen.clientWidth / 2, viewport.screen.clientHeight / 2], Math.exp(-dy / 150));
  else if (drag.tool === 'scroll') scrollBy(viewport, drag, dy);
  else if (drag.tool === 'distance' && viewport.drawing) viewport.drawing.points[1] = viewport.toImage(place);
  else if (drag.tool === 'angle' && viewport.drawing) moveAngle(viewport, place);
  else if (drag.tool === 'locate') locate(viewport, viewport.toImage(place));
  else if (drag.tool === 'edit') drag.near.measure.points[drag.near.point] = viewport.toImage(place);
}

// The whole height of a viewport is the whole stack, but at most 25 and at least 3 pixels an image.
function scrollBy(viewport, drag, dy) {
  const each = Math.max(3, Math.min(25, viewport.screen.clientHeight / Math.max(1, viewport.stack.length)));
  drag.rest += dy / each;
  const steps = Math.trunc(drag.rest);
  drag.rest -= steps;
  if (steps) viewport.show(viewport.index + steps);
}

function endDrag(viewport, drag) {
  viewport.dragging = false;
  if (drag.tool === 'distance' && viewport.drawing) {
    const measure = viewport.drawing;
    viewport.drawing = null;
    if (drag.moved > 4) keepMeasure(viewport, measure);
  } else if (drag.tool === 'angle' && viewport.drawing && drag.moved > 8) {
    // drawn with one drag: the first leg is there, the next click or drag ends the second
    if (viewport.drawing.points.length === 2) viewport.drawing.points.push(viewport.drawing.points[1]);
  }
  viewport.redraw();
}

function keepMeasure(viewport, measure) {
  measuresOf(viewport.drawingFrame).push(measure);
  viewport.selected = measure;
  announce([measureText(viewport.drawingFrame, measure), measureNote(viewport.drawingFrame, measure)].filter(Boolean).join(', '));
  toolbarChanged();
}

// An angle: a point, the vertex, a point, each by a click; the last one follows the pointer.
function startAngle(viewport, point) {
  const drawing = viewport.drawing;
  if (!drawing || drawing.kind !== 'angle' || viewport.drawingFrame !== viewport.frame) {
    viewport.drawing = { kind: 'angle', points: [point, point] };
    viewport.drawingFrame = viewport.frame;
    return;
  }
  drawing.points[drawing.points.length - 1] = point;
  if (drawing.points.length === 3) {
    viewport.drawing = null;
    keepMeasure(viewport, drawing);
  } else {
    drawing.points.push(point);
  }
}

function moveAngle(viewport, place) {
  const points = viewport.drawing.points;
  points[points.length - 1] = viewport.toImage(place);
}

// Shows the same point of the patient in all viewports.
function locate(viewport, point) {
  const frame = viewport.frame, plane = planeOf(frame);
  if (!plane) { announce(text('locate_none')); return; }
  locatedPoint = { point: toPatient(plane, ...point), frame: frame.frame };
  for (const other of shownViewports()) {
    if (other !== viewport && other.frame && sharesPatientSpace(frame, other.frame)) {
      const index = nearestFrame(other.stack, locatedPoint.point, other.index);
      if (index >= 0 && index !== other.index) { other.index = index; other.changed(); }
    }
    other.redraw();
  }
}

function deleteMeasure(viewport) {
  const measures = viewport.frame ? measuresOf(viewport.frame) : [];
  const index = viewport.selected ? measures.indexOf(viewport.selected) : measures.length - 1;
  if (viewport.drawing) viewport.drawing = null;
  else if (index >= 0) measures.splice(index, 1);
  viewport.selected = null;
  viewport.redraw();
  toolbarChanged();
}

// --- viewports that scroll together

let following = false;

function followScroll(viewport) {
  if (!settings.link || following || !viewport.frame) return;
  following = true;
  const plane = planeOf(viewport.frame), moved = viewport.index - (viewport.lastIndex === undefined ? viewport.index : viewport.lastIndex);
  for (const other of shownViewports()) {
    if (other === viewport || !other.frame || other.stack.length < 2) continue;
    const target = planeOf(other.frame);
    if (plane && target && sharesPatientSpace(viewport.frame, other.frame)) {
      if (Math.abs(dot(plane.normal, target.normal)) > 0.9) {
        const centre = toPatient(plane, viewport.frame.columns / 2, viewport.frame.rows / 2);
        other.show(nearestFrame(other.stack, centre, other.index));
      } else {
        other.redraw();
      }
    } else if (moved && !viewport.stack.volume && !other.stack.volume) {
      other.show(other.index + moved);
    }
  }
  following = false;
}

// --- cine

function startCine(viewport) {
  if (!viewport.frame || viewport.stack.length < 2) return;
  let last = performance.now(), due = 0;
  const step = now => {
    const rate = viewport.rate || viewport.frame.rate || 15;
    due += Math.min(1, (now - last) / 1000 * rate);
    last = now;
    if (due >= 1) {
      due -= 1;
      viewport.show(viewport.index + 1 < viewport.stack.length ? viewport.index + 1 : 0);
    }
    viewport.cine = requestAnimationFrame(step);
  };
  viewport.cine = requestAnimationFrame(step);
  toolbarChanged();
}

function stopCine(viewport) {
  if (!viewport.cine) return;
  cancelAnimationFrame(viewport.cine);
  viewport.cine = 0;
  toolbarChanged();
}

const toggleCine = viewport => viewport.cine ? stopCine(viewport) : startCine(viewport);

// --- keys

function onKey(event) {
  if (event.target.closest('select, input[type=number], dialog:not(.panel), iframe, video') || event.altKey || event.metaKey) return;
  if (event.target.matches('input') && event.key === ' ') return;
  const viewport = activeViewport, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const inRange = event.target.matches('input[type=range]');
  const scroll = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
  const sideways = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (inRange && (scroll || sideways)) return;
  if (event.target.closest('nav, header, dialog') && event.target.matches('button, a') && (key === ' ' || key === 'Enter')) return;
  const actions = {
    i: () => { viewport.inverted = !viewport.inverted; viewport.redraw(); toolbarChanged(); },
    r: () => viewport.rotate(event.shiftKey ? -1 : 1),
    h: () => viewport.flip(false),
    v: () => viewport.flip(true),
    c: () => toggleCine(viewport),
    ' ': () => toggleCine(viewport),
    t: () => toggleSetting('corners'),
    o: () => toggleSetting('overlays'),
    k: () => toggleSetting('link'),
    m: () => openPlanes(),
    f: () => toggleFullScreen(),
    Escape: () => { if (viewport.drawing) deleteMeasure(viewport); },
    Delete: () => deleteMeasure(viewport),
    Backspace: () => deleteMeasure(viewport),
    0: () => viewport.reset(),
    '=': () => viewport.actualSize(),
    '+': () => viewport.zoomAt([viewport.screen.clientWidth / 2, viewport.screen.clientHeight / 2], 1.2),
    '-': () => viewport.zoomAt([viewport.screen.clientWidth / 2, viewport.screen.clientHeight / 2], 1 / 1.2),
    '?': () => openHelp(),
  };
  let handled = true;
  if (event.ctrlKey) {
    const move = { ArrowUp: [0, -20], ArrowDown: [0, 20], ArrowLeft: [-20, 0], ArrowRight: [20, 0] }[event.key];
    if (!move) return;
    viewport.panX += move[0];
    viewport.panY += move[1];
    viewport.redraw();
  } else if (event.shiftKey && (sideways || scroll === 1 || scroll === -1)) {
    viewport.changeWindow(10 * (sideways || 0), 10 * (scroll || 0));
  } else if (scroll || sideways) {
    viewport.show(viewport.index + (scroll || sideways));
  } else if (key >= '1' && key <= '9' && viewport.frame) {
    viewport.chooseWindow(+key - 1);
  } else if (TOOL_KEYS[key]) {
    chooseTool(TOOL_KEYS[key]);
  } else if (actions[key]) {
    actions[key]();
  } else {
    handled = false;
  }
  if (handled) event.preventDefault();
}
