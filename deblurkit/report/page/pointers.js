// Mouse, pen and fingers on the pictures: one moves the divider or, zoomed in, the picture; two zoom; the wheel zooms.
function placeIn(event, frame) {
  const place = frame.getBoundingClientRect();
  return [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height];
}

// `divider` is the element that stands for the split, null where there is none; `splitAt` moves it, in per cent.
function followPointers(area, view, divider, splitAt) {
  const pointers = new Map();
  let movesDivider = false;
  let spread = 0;
  const distance = () => {
    const [one, other] = [...pointers.values()];
    return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  };

  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, event);
    area.setPointerCapture(event.pointerId);
    movesDivider = Boolean(divider) && (event.target.closest(".divider") !== null || view.zoom <= 1);
    if (pointers.size === 2) spread = distance();
    else if (movesDivider) splitAt(100 * placeIn(event, area)[0]);
    (movesDivider ? divider : area).focus({ preventScroll: true });
    area.classList.toggle("dragged", !movesDivider);
  });

  area.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const [frame] = view.frames();
      const now = distance();
      view.zoomTo(view.zoom * now / (spread || now), frame, ...placeIn(event, frame));
      spread = now;
    } else if (movesDivider) {
      splitAt(100 * placeIn(event, area)[0]);
    } else {
      view.panBy(event.clientX - before.clientX, event.clientY - before.clientY);
    }
  });

  for (const kind of ["pointerup", "pointercancel"]) {
    area.addEventListener(kind, (event) => {
      pointers.delete(event.pointerId);
      area.classList.remove("dragged");
    });
  }
}

// The wheel scrolls the page until the reader has clicked the picture, or holds Ctrl.
function followWheel(area, view) {
  area.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !area.contains(document.activeElement)) return;
    event.preventDefault();
    const frame = event.target.closest(".tile") ?? view.frames()[0];
    view.zoomTo(view.zoom * Math.exp(-event.deltaY / 300), frame, ...placeIn(event, frame));
  }, { passive: false });
}
