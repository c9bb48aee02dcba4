// Values that the page holds as JSON, read when they are first needed.
const held = new Map();
function read(id) {
  if (!held.has(id)) held.set(id, JSON.parse(document.getElementById(id).textContent));
  return held.get(id);
}

// JSON knows no infinity: the report writes "inf" and "-inf".
function toNumber(value) {
  if (value === null) return NaN;
  if (value === "inf") return Infinity;
  return value === "-inf" ? -Infinity : value;
}

function written(value, digits, signed = false) {
  if (Number.isNaN(value)) return "-";
  const size = Number.isFinite(value) ? Math.abs(value).toFixed(digits) : "∞";
  if (Number(size) === 0) return size;
  const sign = value < 0 ? "−" : signed ? "+" : "";
  return sign + size;
}

// An element with attributes and children; texts are set as texts, so that no name can become markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(text) {
  document.getElementById("said").textContent = text;
}
