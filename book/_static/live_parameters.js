// The parameters of a page as controls (live.js): a slider, a choice or a switch for
// each, from the rules that check them. A control edits its line in the first cell, and
// the address keeps what differs from the book, as in page.html#?n_models=10.
//
// parameters: of live.py; source: () => the first cell; edit: (source) => {}
window.liveParameters = (parameters, source, edit) => {
  "use strict";
  const root = document.createElement("div");
  root.className = "live-parameters";
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Parameters of this page");
  const line = (name) => new RegExp(`^(${name} = )([^#\\n]*?)(?=[ \\t]*(#|$))`, "m");
  const controls = parameters.map(addControl);
  addEventListener("hashchange", () => followAddress());

  // ------------------------------------------------------------------- one parameter
  function addControl(parameter) {
    const box = make("div", "live-parameter");
    const label = make("label", "", parameter.name);
    label.title = parameter.about;
    const fields = fieldsOf(parameter);
    fields[0].id = label.htmlFor = `live-parameter-${parameter.name}`;
    box.append(label, ...fields);
    root.append(box);
    const show = (value) => {
      for (const field of fields) field.put(value);
      box.classList.toggle("live-differs", value !== parameter.value);
    };
    for (const field of fields)
      field.addEventListener("input", () => {
        const value = field.take();
        if (!isAllowed(parameter, value)) return field.reportValidity();
        write({ [parameter.name]: value });
      });
    show(parameter.value);
    return { ...parameter, show };
  }

  // Elements that show a value (put) and tell it (take).
  function fieldsOf({ kind, name, low, high, whole, choices, about }) {
    if (kind === "switch") {
      const field = input({ type: "checkbox" });
      field.put = (value) => (field.checked = value);
      field.take = () => field.checked;
      return [field];
    }
    if (kind === "choice") {
      const field = make("select", "");
      choices.forEach((choice) => field.append(new Option(choice)));
      field.put = (value) => (field.value = value);
      field.take = () => field.value;
      return [field];
    }
    const step = whole ? 1 : "any";
    const field = input({ type: "number", min: low, max: high, step });
    field.put = (value) => (field.value = value);
    field.take = () => field.valueAsNumber;
    if (high - low > 1e6) return [field]; // such as a seed: no slider is that fine
    const slider = input({ type: "range", min: 0, max: 1000, step: "any" });
    slider.setAttribute("aria-label", `${name}: ${about}`);
    const wide = low > 0 && high / low >= 100; // equal ratios per step
    slider.put = (value) => {
      const share = wide
        ? Math.log(value / low) / Math.log(high / low)
        : (value - low) / (high - low);
      slider.value = 1000 * share;
      slider.setAttribute("aria-valuetext", value);
    };
    slider.take = () => {
      const share = slider.valueAsNumber / 1000;
      const value = wide ? low * (high / low) ** share : low + share * (high - low);
      const rough = wide ? Number(value.toPrecision(2)) : value;
      return Math.min(high, Math.max(low, whole ? Math.round(rough) : rough));
    };
    return [field, slider];
  }

  function isAllowed({ kind, choices, low, high, whole }, value) {
    if (kind === "switch") return typeof value === "boolean";
    if (kind === "choice") return choices.includes(value);
    const isNumber = typeof value === "number" && value >= low && value <= high;
    return isNumber && (!whole || Number.isInteger(value));
  }

  // ------------------------------------------------------------------- code, address
  function read(name) {
    const text = line(name).exec(source())?.[2] ?? "";
    try {
      return JSON.parse({ True: "true", False: "false" }[text] ?? text);
    } catch {
      return undefined; // code of the reader's own
    }
  }

  function write(values) {
    let text = source();
    for (const [name, value] of Object.entries(values)) {
      const code = { true: "True", false: "False" }[value] ?? JSON.stringify(value);
      text = text.replace(line(name), (all, start) => start + code);
    }
    edit(text);
  }

  // Show what the code says, here and in the address.
  function follow() {
    const query = new URLSearchParams();
    for (const control of controls) {
      const value = read(control.name);
      if (!isAllowed(control, value)) continue;
      control.show(value);
      if (value !== control.value) query.set(control.name, value);
    }
    const kept = location.hash.startsWith("#?") ? "" : location.hash;
    const hash = query.size ? `#?${query}` : kept;
    if (hash !== location.hash)
      history.replaceState(null, "", hash || location.pathname + location.search);
  }

  // Take the parameters that the address gives; says whether there are any.
  function followAddress() {
    if (!location.hash.startsWith("#?")) return false;
    const values = {};
    for (const [name, text] of new URLSearchParams(location.hash.slice(2))) {
      const control = controls.find((one) => one.name === name);
      const value = { number: Number(text), switch: text === "true" }[control?.kind];
      if (control && isAllowed(control, value ?? text)) values[name] = value ?? text;
    }
    write(values);
    return Object.keys(values).length > 0;
  }

  function input(attributes) {
    return Object.assign(document.createElement("input"), attributes);
  }

  function make(tag, className, text) {
    const element = Object.assign(document.createElement(tag), { className });
    if (text !== undefined) element.textContent = text;
    return element;
  }

  return { root, follow, followAddress };
};
