// The table of single images: columns of the chosen score, sorted, filtered, a page at a time.
{
  const tables = [];
  for (let index = 0; document.getElementById(`images-${index}`); index += 1) tables.push(index);
  const find = (id) => document.getElementById(id);
  const [head, body, words, least, most] = ["head", "rows", "words", "least", "most"].map(find);
  const state = { table: null, thumbnails: {}, columns: [], sort: 0, down: false, page: 0, shown: [] };

  // Every column: its title, its values (one an image), how to write one, and whether it is a change.
  function columnsOf(table, metric) {
    const digits = metric?.digits ?? 0;
    const several = table.candidates.length > 1;
    const columns = [{ title: "image", values: table.keys }];
    if (metric) {
      const blurred = table.blurred[metric.name].map(toNumber);
      const restored = table.candidates.map((candidate) => candidate.restored[metric.name].map(toNumber));
      const less = (one, other) => one.map((value, index) => value - other[index]);
      columns.push({ title: "blurred", values: blurred, digits });
      restored.forEach((values, index) => {
        const name = several ? table.candidates[index].name : "restored";
        columns.push({ title: name, values, digits });
        columns.push({ title: several ? `${name}: gain` : "gain", values: less(values, blurred), digits, change: metric });
      });
      if (restored.length === 2) {
        const title = table.candidates.map((candidate) => candidate.name).join(" − ");
        columns.push({ title, values: less(restored[0], restored[1]), digits, change: { sign: 0 } });
      }
    }
    for (const candidate of table.candidates) {
      const values = candidate.seconds.map(toNumber);
      if (values.some((value) => !Number.isNaN(value))) {
        columns.push({ title: several ? `${candidate.name}: seconds` : "seconds", values, digits: 3 });
      }
    }
    return columns.map((column) => ({ ...column, widest: widest(column) }));
  }

  // A change is drawn against the 98th percentile of all, so that one outlier does not make the others vanish.
  function widest(column) {
    if (!column.change) return 0;
    const sizes = column.values.filter(Number.isFinite).map(Math.abs).sort((one, other) => one - other);
    return sizes[Math.floor(0.98 * (sizes.length - 1))] || 1;
  }

  function compare(one, other, column) {
    const [first, second] = [column.values[one], column.values[other]];
    if (typeof first === "string") return first.localeCompare(second, "en", { numeric: true });
    if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
    return first === second ? 0 : first - second;
  }

  function arrange() {
    const { table, columns } = state;
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const column = columns[find("column").value] ?? columns[0];
    const [low, high] = [least, most].map((field) => (field.value === "" ? null : Number(field.value)));
    const inRange = (value) => (low === null || value >= low) && (high === null || value <= high);
    const named = (index) => `${table.keys[index]} ${table.facts[index]}`.toLowerCase();
    state.shown = [...table.keys.keys()].filter(
      (index) => wanted.every((word) => named(index).includes(word)) && (typeof column.values[0] === "string" || inRange(column.values[index])),
    );
    const sorted = columns[state.sort];
    const missing = (index) => Number.isNaN(sorted.values[index]);
    state.shown.sort((one, other) => {
      const order = compare(one, other, sorted);
      return state.down && !missing(one) && !missing(other) ? -order : order || one - other;
    });
  }

  function cell(column, index) {
    const value = column.values[index];
    const text = written(value, column.digits, Boolean(column.change));
    if (!column.change || !Number.isFinite(value)) return element("td", {}, text);
    const tone = ["bad", "", "good"][1 + Math.sign(value.toFixed(column.digits)) * column.change.sign];
    const half = 50 * Math.min(1, Math.abs(value) / column.widest);
    const change = element("span", { class: `change ${tone}` }, text);
    change.style.setProperty("--from", `${value < 0 ? 50 - half : 50}%`);
    change.style.setProperty("--till", `${value < 0 ? 50 : 50 + half}%`);
    return element("td", {}, change);
  }

  function more(index) {
    const key = state.table.keys[index];
    const parts = [];
    const picture = window.viewer?.indexOf(state.table.name, key) ?? -1;
    if (picture >= 0) {
      const button = element("button", { type: "button", class: "link" }, "look closely");
      button.addEventListener("click", () => window.viewer.show(picture, true));
      parts.push(button);
    }
    for (const [panel, path] of Object.entries(state.table.files[index] ?? {})) {
      parts.push(element("a", { href: path }, panel.replace(/^restored\//, "")));
    }
    if (state.table.facts[index]) parts.push(element("span", {}, state.table.facts[index]));
    return parts.length ? [element("span", { class: "image-more" }, ...parts)] : [];
  }

  function row(index) {
    const key = state.table.keys[index];
    const small = state.thumbnails[key];
    const picture = small ? [element("img", { class: "thumb", src: small, alt: "", decoding: "async", width: 72, height: 46 })] : [];
    const parts = key.split("/").flatMap((part, place) => (place ? ["/", element("wbr"), part] : [part]));
    const name = element("span", { class: "image-name" }, ...parts, ...more(index));
    const first = element("th", { scope: "row" }, element("span", { class: "image" }, ...picture, name));
    return element("tr", {}, first, ...state.columns.slice(1).map((column) => cell(column, index)));
  }

  function draw() {
    const size = Number(find("page-size").value) || state.shown.length || 1;
    const pages = Math.max(1, Math.ceil(state.shown.length / size));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * size;
    const visible = state.shown.slice(start, start + size);
    body.replaceChildren(...visible.map(row));
    const all = state.table.keys.length;
    const of = state.shown.length === all ? `${all}` : `${state.shown.length} (of ${all})`;
    find("counted").textContent = visible.length ? `${start + 1} to ${start + visible.length} of ${of}` : `none of ${all}`;
    find("previous").disabled = state.page === 0;
    find("next").disabled = state.page === pages - 1;
  }

  function drawHead() {
    const titles = state.columns.map((column, index) => {
      const button = element("button", { type: "button", class: "sorter" }, column.title);
      button.addEventListener("click", () => sortBy(index));
      const attributes = { scope: "col", ...(index === 0 ? { class: "text" } : {}) };
      return element("th", attributes, button);
    });
    head.replaceChildren(element("tr", {}, ...titles));
    markSorted();
  }

  function markSorted() {
    [...head.querySelectorAll("th")].forEach((title, index) => {
      if (index === state.sort) title.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else title.removeAttribute("aria-sort");
    });
  }

  // The first click puts the greatest first, or the names in their order.
  function sortBy(index) {
    state.down = index === state.sort ? !state.down : index !== 0;
    state.sort = index;
    markSorted();
    update();
    say(`Sorted by ${state.columns[index].title}, ${state.down ? "descending" : "ascending"}`);
  }

  function update() {
    state.page = 0;
    arrange();
    draw();
  }

  function chooseMetric() {
    const metric = state.table.metrics.find((known) => known.name === find("metric").value);
    state.columns = columnsOf(state.table, metric);
    if (state.sort >= state.columns.length) Object.assign(state, { sort: 0, down: false });
    const options = state.columns.slice(1).map((column, index) => element("option", { value: index + 1 }, column.title));
    find("column").replaceChildren(...options);
    const gain = state.columns.findIndex((column) => column.change);
    if (gain > 0) find("column").value = gain;
    drawHead();
    update();
  }

  function chooseTable(index) {
    state.table = read(`images-${index}`);
    state.thumbnails = read(`thumbnails-${index}`);
    Object.assign(state, { sort: 0, down: false });
    find("metric").replaceChildren(...state.table.metrics.map((metric) => element("option", { value: metric.name }, metric.title)));
    find("metric").disabled = state.table.metrics.length < 2;
    chooseMetric();
  }

  function turn(by) {
    state.page += by;
    draw();
    find("table").scrollIntoView({ block: "start" });
  }

  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("filters").addEventListener("reset", () => setTimeout(() => chooseTable(find("dataset")?.value ?? 0)));
  for (const field of [words, least, most, find("column")]) field.addEventListener("input", update);
  find("page-size").addEventListener("change", () => { state.page = 0; draw(); });
  find("metric").addEventListener("change", chooseMetric);
  find("dataset")?.addEventListener("change", (event) => chooseTable(event.target.value));
  find("previous").addEventListener("click", () => turn(-1));
  find("next").addEventListener("click", () => turn(1));
  if (tables.length) chooseTable(0);
}
