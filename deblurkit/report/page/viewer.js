// The pictures: which one, what is on either side of the divider, or all of its panels beside each other.
if (document.getElementById("stage")) {
  const find = (id) => document.getElementById(id);
  const [stage, tiles, divider] = ["stage", "tiles", "divider"].map(find);
  const sides = { left: find("left"), right: find("right") };
  const pictures = read("pictures");
  const state = { picture: 0, split: 50, all: false };
  const frames = () => (state.all ? [...tiles.querySelectorAll(".tile")] : [stage]);
  const view = new View(frames, (percent) => { find("zoom").textContent = `${percent} %`; });

  const sources = () => read(`picture-${state.picture}`);
  const panel = (name) => pictures[state.picture].panels.find((known) => known.name === name);
  const told = ({ label, score }) => (score ? `${label}, ${score}` : label);

  function splitAt(percent) {
    state.split = Math.min(100, Math.max(0, percent));
    const shown = Math.round(state.split);
    find("side-left").style.clipPath = `inset(0 ${100 - state.split}% 0 0)`;
    divider.style.left = `${state.split}%`;
    divider.setAttribute("aria-valuenow", shown);
    const [left, right] = Object.values(sides).map((select) => panel(select.value).label);
    divider.setAttribute("aria-valuetext", `${shown} % ${left}, the rest ${right}`);
  }

  function showSides() {
    for (const [side, select] of Object.entries(sides)) {
      const image = find(`side-${side}`).firstElementChild;
      image.src = sources()[select.value];
      image.alt = told(panel(select.value));
      find(`tag-${side}`).textContent = image.alt;
    }
    const shown = state.all ? Object.keys(sources()) : Object.values(sides).map((select) => select.value);
    find("error-scale").hidden = !shown.some((name) => name.startsWith("error/"));
    splitAt(state.split);
  }

  function showTiles() {
    const made = pictures[state.picture].panels.map((known) => {
      const image = element("img", { src: sources()[known.name], alt: told(known), draggable: "false" });
      const tile = element("div", { class: "tile" }, image);
      tile.style.aspectRatio = `${view.width} / ${view.height}`;
      return element("figure", {}, tile, element("figcaption", {}, told(known)));
    });
    tiles.replaceChildren(...(state.all ? made : []));
  }

  function arrange() {
    stage.hidden = state.all;
    tiles.hidden = !state.all;
    find("all").setAttribute("aria-pressed", state.all);
    showTiles();
    showSides();
    view.draw();
  }

  // Keep the chosen sides where the new picture has them, else take two candidates, or blurred and restored.
  function fillSelects() {
    const { panels } = pictures[state.picture];
    const known = panels.map((one) => one.name);
    const restored = known.filter((name) => name.startsWith("restored/"));
    const before = known.includes("blurred") ? "blurred" : known[0];
    const wanted = restored.length > 1 ? restored : [before, restored[0] ?? known.at(-1)];
    Object.values(sides).forEach((select, place) => {
      const chosen = select.value;
      select.replaceChildren(...panels.map((one) => element("option", { value: one.name }, one.label)));
      select.value = known.includes(chosen) ? chosen : wanted[place];
    });
  }

  function describe() {
    const { key, title, gain, size, corner, metric } = pictures[state.picture];
    const whole = size[0] === view.height && size[1] === view.width;
    const part = whole ? "the whole image" : `the part ${view.width} × ${view.height} from column ${corner[1]}, row ${corner[0]}`;
    const scores = metric ? " Scores are of the whole image." : "";
    const text = `: ${title}${gain ? ` (${gain})` : ""}. Shown is ${part} of ${size[1]} × ${size[0]} pixels.${scores}`;
    find("about").replaceChildren(element("b", {}, key), text);
  }

  // `jump` brings the reader here from elsewhere on the page.
  async function show(index, jump = false) {
    const next = (index + pictures.length) % pictures.length;
    const first = new Image();
    first.src = Object.values(read(`picture-${next}`))[0];
    await first.decode();
    state.picture = next;
    const picks = [...document.querySelectorAll(".pick")];
    picks.forEach((pick, place) => {
      pick.setAttribute("aria-pressed", place === next);
      pick.tabIndex = place === next ? 0 : -1;
    });
    view.reset(first.naturalWidth, first.naturalHeight);
    stage.style.setProperty("--ratio", view.width / view.height);
    stage.style.setProperty("--widest", `${view.largest * view.width}px`);
    fillSelects();
    describe();
    arrange();
    if (!jump) return;
    find("look").scrollIntoView();
    frames()[0].closest("[tabindex]").focus({ preventScroll: true });
  }

  function swap() {
    [sides.left.value, sides.right.value] = [sides.right.value, sides.left.value];
    showSides();
  }

  function toggleAll() {
    const focused = [stage, tiles].includes(document.activeElement);
    state.all = !state.all;
    arrange();
    if (focused) (state.all ? tiles : stage).focus({ preventScroll: true });
  }

  const keys = {
    "+": () => view.zoomIn(), "=": () => view.zoomIn(), "-": () => view.zoomOut(),
    0: () => view.showAll(), 1: () => view.showPixels(),
    s: swap, a: toggleAll, n: () => show(state.picture + 1), p: () => show(state.picture - 1),
  };
  const panKeys = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  const splitKeys = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

  // What a key does; nothing where it belongs to the page: arrows scroll while the whole picture is shown.
  function actionOf(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    if (event.target === divider && event.key in splitKeys) return () => splitAt(state.split + splitKeys[event.key]);
    if (event.key in panKeys) return view.zoom > 1 ? () => view.panBy(...panKeys[event.key]) : null;
    return keys[event.key.toLowerCase()] ?? null;
  }

  function pressed(event) {
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  for (const area of [stage, tiles]) {
    followPointers(area, view, area === stage ? divider : null, splitAt);
    followWheel(area, view);
    area.addEventListener("keydown", pressed);
  }
  const buttons = { swap, all: toggleAll, "zoom-in": keys["+"], "zoom-out": keys["-"], "zoom-fit": keys[0], "zoom-one": keys[1] };
  for (const [id, action] of Object.entries(buttons)) find(id).addEventListener("click", action);
  for (const select of Object.values(sides)) select.addEventListener("change", showSides);
  for (const pick of document.querySelectorAll(".pick")) {
    pick.addEventListener("click", () => show(Number(pick.dataset.picture)));
  }
  // One stop of the Tab key; arrows lead from one picture to the next.
  document.querySelector(".picks").addEventListener("keydown", (event) => {
    const picks = [...document.querySelectorAll(".pick")];
    const at = picks.indexOf(event.target);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    picks.at(next % picks.length).focus();
    show(next);
  });
  new ResizeObserver(() => view.draw()).observe(find("viewer"));
  show(0);

  const indexOf = (dataset, key) => pictures.findIndex((picture) => picture.dataset === dataset && picture.key === key);
  window.viewer = { show, indexOf };
}
