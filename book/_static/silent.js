/* The slider of the front page: silent nodes are added to the paper's three images, and
   the similarity of each pair is computed anew. No library, and no Python.

   The activations are those of the introduction (its cell X), given in the page. */
(() => {
  "use strict";
  const root = document.getElementById("silent-app");
  if (!root) return;
  const images = JSON.parse(root.dataset.images); // without the silent node
  const names = "ABC";
  const pairs = [[0, 1], [1, 2], [0, 2]];

  const dot = (x, y) => x.reduce((sum, value, f) => sum + value * y[f], 0);
  const cosine = (x, y) => dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
  const centred = (x) => {
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    return x.map((value) => value - mean);
  };
  const withSilent = (x, n) => [...x, ...Array(n).fill(0)];
  const measures = {
    Pearson: (x, y) => cosine(centred(x), centred(y)),
    cosine,
  };
  const signed = (r) => r.toFixed(2).replace("-", "\u2212");

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes))
      element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  // One row of the table: the pair, a bar from r = 0, and the number.
  const rows = pairs.map(([i, j]) => {
    const bar = make("span", { class: "silent-bar" });
    const value = make("span", { class: "silent-value" });
    const scale = make("span", { class: "silent-scale", "aria-hidden": "true" }, bar);
    const name = make("span", { class: "silent-pair" }, `${names[i]} and ${names[j]}`);
    return { i, j, bar, value, row: make("div", { class: "silent-row" }, name, scale, value) };
  });
  const slider = make("input", { type: "range", min: 0, max: 30, value: 0, id: "silent-n" });
  const label = make("label", { for: "silent-n" });
  const choice = make("select", { id: "silent-measure", "aria-label": "Measure of similarity" });
  for (const name of Object.keys(measures)) choice.append(make("option", {}, name));
  const verdict = make("output", { for: "silent-n silent-measure" });

  const draw = () => {
    const n = Number(slider.value);
    const similarity = measures[choice.value];
    const r = rows.map(({ i, j }) =>
      similarity(withSilent(images[i], n), withSilent(images[j], n)));
    const most = r.indexOf(Math.max(...r));
    rows.forEach(({ bar, value, row }, k) => {
      bar.style.left = `${50 * Math.min(1, 1 + r[k])}%`;
      bar.style.width = `${50 * Math.abs(r[k])}%`;
      value.textContent = signed(r[k]);
      row.classList.toggle("most", k === most);
    });
    label.textContent = `${n} silent ${n === 1 ? "node" : "nodes"}`;
    const { i, j } = rows[most];
    verdict.replaceChildren(
      "Most alike: ", make("strong", {}, `${names[i]} and ${names[j]}`), `, ${choice.value} ${signed(r[most])}.`);
  };
  const controls = make("div", { class: "silent-controls" }, label, slider, choice);
  root.replaceChildren(controls, ...rows.map(({ row }) => row), verdict);
  slider.addEventListener("input", draw);
  choice.addEventListener("input", draw);
  draw();
})();
