/* The explorer of book/explorer.md: one slider moves a similarity matrix, a map of its
   images and an insertion curve.

   Its data are written by book/_ext/explorer_data.py and loaded when they are needed,
   as scripts and pictures, so that the page works from a server and from a folder
   alike. No library: two canvases, one SVG and the browser's own controls. */
(() => {
  "use strict";
  const root = document.getElementById("explorer-app");
  if (!root) return;
  root.replaceChildren();
  root.classList.add("starting"); // hidden until there is something to choose from

  const UNDEFINED = -32768; // codes of explorer_data.py
  const UNIT = 10000;
  const CALM = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { scene: null, order: "lowest", k: 0, item: -1, other: -1 };
  let scene, walk, sprite, at; // at: where each image is on the map now
  let moving = 0; // animation frames and timers under way
  let drawing = 0;
  let playing = 0;
  let speaking = 0;
  let writing = 0; // timer of the address
  let touched = false; // has the reader changed anything?

  // ------------------------------------------------------------------------ loading
  const loading = {};
  const absent = (name) => new Error(`${name} could not be loaded`);
  const load = (name) =>
    (loading[name] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root.dataset.from}${name}.js`;
      script.onload = () => resolve(window.explorerData[name]);
      script.onerror = () => {
        delete loading[name];
        reject(absent(name));
      };
      document.head.append(script);
    }));
  const picture = (name) =>
    new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => reject(absent(name));
      image.src = `${root.dataset.from}${name}`;
    });
  const codes = (text) => {
    if (typeof text !== "string") return text; // decoded before
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Int16Array(bytes.buffer);
  };

  // --------------------------------------------------------------------------- page
  const add = (element, attributes, children) => {
    for (const [key, value] of Object.entries(attributes))
      element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const make = (tag, attributes = {}, ...children) =>
    add(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    add(
      document.createElementNS("http://www.w3.org/2000/svg", tag),
      attributes,
      children,
    );
  const labelled = (text, box) => make("label", { for: box.id }, text);
  const view = (title, name, ...content) => {
    const heading = make("p", { class: "explorer-title" }, title);
    return make("div", { class: `explorer-view ${name}` }, heading, ...content);
  };
  const sceneBox = make("select", { id: "explorer-scene" });
  const itemBox = make("select", { id: "explorer-item" });
  const orders = make("fieldset", {}, make("legend", {}, "Nodes enter"));
  const slider = make("input", { type: "range", id: "explorer-size", min: 0, step: 1 });
  const play = make("button", { type: "button", id: "explorer-play" }, "Play");
  const text = make("output", { id: "explorer-numbers", for: "explorer-size" });
  text.setAttribute("aria-live", "off"); // spoken says it when the slider rests
  const polite = { class: "explorer-spoken", "aria-live": "polite", role: "status" };
  const spoken = make("p", polite);
  const pointed = make("p", { class: "explorer-pointed" });
  const matrix = make("canvas", { id: "explorer-matrix", role: "img" });
  const map = make("canvas", { id: "explorer-map", role: "img" });
  const curve = svg("svg", { id: "explorer-curve", role: "img" });
  const scale = make("span", { class: "explorer-scale" });
  const below = make("span");
  const above = make("span");
  const legend = make("p", { class: "explorer-note" }, below, scale, above);
  root.append(
    make(
      "div",
      { class: "explorer-controls" },
      make("div", {}, labelled("Images", sceneBox), sceneBox),
      orders,
      make("div", {}, labelled("Highlight", itemBox), itemBox),
    ),
    make(
      "div",
      { class: "explorer-slide" },
      labelled("Share of nodes inserted", slider),
      slider,
      play,
    ),
    text,
    spoken,
    make(
      "div",
      { class: "explorer-views" },
      view("Similarity matrix", "of-matrix", matrix, legend),
      view("Map of the images", "of-map", map, pointed),
      view("Insertion curve", "of-curve", curve),
    ),
  );

  // ------------------------------------------------------------------------ numbers
  const n = () => scene.labels.length;
  const nPairs = () => (n() * (n() - 1)) / 2;
  const pair = (i, j) =>
    i > j ? pair(j, i) : i * n() - (i * (i + 1)) / 2 + j - i - 1;
  const similarity = (i, j) => {
    const code = walk.matrices[state.k * nPairs() + pair(i, j)];
    return code === UNDEFINED ? NaN : code / UNIT;
  };
  const place = (i) => {
    const start = 2 * (state.k * n() + i);
    const [x, y] = [walk.maps[start], walk.maps[start + 1]];
    return x === UNDEFINED ? null : [x / UNIT, y / UNIT];
  };
  const now = () => {
    const { r2, undefined: lost, fit } = scene.orders[state.order];
    const k = state.k;
    return { size: scene.sizes[k], r2: r2[k], lost: lost[k], fit: fit[k] };
  };
  const share = (k) => scene.sizes[k] / scene.nFeatures;
  const percent = (x) => `${(100 * x).toFixed(x < 0.0995 && x > 0 ? 1 : 0)} %`;
  const fixed = (x, digits) => {
    const undefinedHere = x === null || Number.isNaN(x);
    return undefinedHere ? "not defined" : x.toFixed(digits).replace("-", "−");
  };

  // ------------------------------------------------------------------------- matrix
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  /** A pen in CSS pixels, on a clean sheet as large as the canvas is shown. */
  const pen = (canvas) => {
    const side = canvas.clientWidth;
    const pixels = Math.round(side * (devicePixelRatio || 1));
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    const context = canvas.getContext("2d");
    context.setTransform(pixels / side, 0, 0, pixels / side, 0, 0);
    context.clearRect(0, 0, side, side);
    context.strokeStyle = colour("--explorer-mark");
    return [context, side];
  };
  const marked = () => [state.other, state.item].filter((i) => i >= 0);

  const sheet = document.createElement("canvas"); // the matrix, a pixel for each pair
  let pixels;
  const paint = (i, j, level) => {
    const step = Math.max(0, Math.min(255, Math.round(255 * level)));
    pixels.data.set([...scene.palette[step], 255], 4 * (i * n() + j));
  };
  const startMatrix = () => {
    sheet.width = sheet.height = n();
    pixels = sheet.getContext("2d").createImageData(n(), n());
    for (let i = 0, p = 0; i < n(); i++)
      for (let j = i + 1; j < n(); j++) paint(i, j, scene.reference[p++] / UNIT);
    const stops = scene.palette.filter((_, i) => i % 15 === 0).map((c) => `rgb(${c})`);
    scale.style.background = `linear-gradient(to right, ${stops})`;
    const [low, high] = scene.limits.map((limit) => fixed(limit, 2));
    below.textContent = `Lower left: these nodes, r from ${low} `;
    above.textContent =
      ` to ${high}. Upper right: ${scene.comparedWith}, ` +
      "each between its own limits.";
  };
  const drawMatrix = () => {
    const [low, high] = scene.limits;
    for (let i = 1; i < n(); i++) {
      for (let j = 0; j < i; j++) {
        const r = similarity(i, j);
        if (Number.isNaN(r)) pixels.data[4 * (i * n() + j) + 3] = 0;
        else paint(i, j, (r - low) / (high - low));
      }
    }
    sheet.getContext("2d").putImageData(pixels, 0, 0);
    const [context, side] = pen(matrix);
    const cell = side / n();
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet, 0, 0, side, side);
    context.lineWidth = 1.5;
    for (const i of marked()) {
      context.strokeRect(0, i * cell, side, cell);
      context.strokeRect(i * cell, 0, cell, side);
    }
  };

  // ---------------------------------------------------------------------------- map
  const tileSide = (side) =>
    Math.max(18, Math.min(64, (0.75 * side) / Math.sqrt(n()) / 1.4));
  const spot = (i, side, tile) => [
    side / 2 + (at[2 * i] * (side - tile)) / 2,
    side / 2 - (at[2 * i + 1] * (side - tile)) / 2,
  ];
  const drawMap = () => {
    const [context, side] = pen(map);
    const tile = tileSide(side);
    const { tile: source, perRow } = scene;
    context.lineWidth = 3;
    const others = [...Array(n()).keys()].filter((i) => !marked().includes(i));
    for (const i of [...others, ...marked()]) {
      if (Number.isNaN(at[2 * i])) continue;
      const size = marked().includes(i) ? 1.7 * tile : tile;
      const [x, y] = spot(i, side, tile).map((middle) => middle - size / 2);
      const from = [(i % perRow) * source, Math.floor(i / perRow) * source];
      context.drawImage(sprite, ...from, source, source, x, y, size, size);
      if (marked().includes(i)) context.strokeRect(x, y, size, size);
    }
  };
  /** Let the images glide to their places at this size; one that gets or loses its
      place does so at once. */
  const glide = () => {
    let far = false;
    for (let i = 0; i < n(); i++) {
      const goal = place(i) || [NaN, NaN];
      for (const axis of [0, 1]) {
        const gap = goal[axis] - at[2 * i + axis];
        const arrived = CALM.matches || !(Math.abs(gap) > 0.002);
        at[2 * i + axis] = arrived ? goal[axis] : at[2 * i + axis] + 0.35 * gap;
        far ||= !arrived;
      }
    }
    drawMap();
    moving = far ? requestAnimationFrame(glide) : 0;
  };

  // -------------------------------------------------------------------------- curve
  let frame; // scales of the curve, and its size
  const startCurve = () => {
    const [width, height] = [curve.clientWidth, curve.clientHeight];
    const every = Object.values(scene.orders).flatMap((order) => order.r2);
    const largest = Math.max(...every.filter((r2) => r2 !== null));
    const top = Math.min(1, Math.ceil(largest * 10 + 0.2) / 10);
    frame = {
      x: (s) => 46 + s * (width - 62),
      y: (r2) => 12 + (1 - r2 / top) * (height - 54),
    };
    curve.replaceChildren();
    for (let t = 0; t <= 4; t++) {
      const level = (top * t) / 4;
      const y = frame.y(level);
      const grid = { x1: 46, x2: width - 16, y1: y, y2: y, class: "grid" };
      const left = { x: 40, y: y + 4, "text-anchor": "end", class: "level" };
      const anchor = t === 4 ? "end" : "middle";
      const under = { x: frame.x(t / 4), y: height - 24, "text-anchor": anchor };
      curve.append(
        svg("line", grid),
        svg("text", left, level.toFixed(2)),
        svg("text", under, `${25 * t} %`),
      );
    }
    const middle = { x: (width + 30) / 2, y: height - 6, "text-anchor": "middle" };
    const title = `share of nodes; R² with ${scene.comparedWith}`;
    curve.append(svg("text", middle, title));
    for (const [name, { r2 }] of Object.entries(scene.orders))
      curve.append(svg("path", { d: path(r2), class: `order-${name}` }));
    curve.append(
      svg("line", { class: "here", y1: 12, y2: height - 42 }),
      svg("circle", { class: "here", r: 6 }),
    );
  };
  /** The line through the defined values. */
  const path = (r2) => {
    const steps = r2.map((value, k) => {
      if (value === null) return "";
      const start = k === 0 || r2[k - 1] === null;
      const [x, y] = [frame.x(share(k)), frame.y(value)];
      return `${start ? "M" : "L"}${x.toFixed(1)},${y.toFixed(1)}`;
    });
    return steps.join("");
  };
  const drawCurve = () => {
    const { r2 } = now();
    const x = frame.x(share(state.k));
    for (const line of curve.querySelectorAll("path"))
      line.classList.toggle("chosen", line.classList.contains(`order-${state.order}`));
    add(curve.querySelector("line.here"), { x1: x, x2: x }, []);
    const point = curve.querySelector("circle.here");
    add(point, { cx: x, cy: r2 === null ? 0 : frame.y(r2) }, []);
    point.style.display = r2 === null ? "none" : "";
  };

  // -------------------------------------------------------------------------- words
  const say = () => {
    const { size, r2, lost, fit } = now();
    const part = percent(share(state.k));
    const counts = [size, scene.nFeatures].map((count) => count.toLocaleString("en"));
    const nodes = `${part} of the nodes (${counts.join(" of ")})`;
    const explained = fit === null ? "an undefined share" : percent(fit);
    const words =
      `${nodes}. R² with ${scene.comparedWith}: ${fixed(r2, 3)}. ` +
      `Undefined items: ${lost} of ${n()}. ` +
      `The map accounts for ${explained} of the similarities' variance.`;
    text.textContent = words;
    root.dataset.k = state.k;
    const label = (element, value, name = "aria-label") =>
      element.setAttribute(name, value);
    label(slider, `${part}, R² ${fixed(r2, 2)}`, "aria-valuetext");
    const beside = `beside ${scene.comparedWith}`;
    label(matrix, `Similarity matrix of ${n()} items with ${nodes}, ${beside}`);
    label(map, `Map of ${n() - lost} items: similar ones lie close together`);
    label(curve, `Insertion curve; R² is ${fixed(r2, 2)} at ${part} of the nodes`);
    clearTimeout(speaking);
    speaking = setTimeout(() => (spoken.textContent = words), 600);
  };
  const point = () => {
    const { item, other } = state;
    const [first, second] = [scene.labels[item], scene.labels[other]];
    if (item < 0)
      pointed.textContent =
        "Point at an image, at a cell of the matrix or at the curve.";
    else if (other < 0)
      pointed.textContent =
        first + (place(item) ? "" : ": not defined with these nodes");
    else
      pointed.textContent =
        `${first} and ${second}: r = ${fixed(similarity(item, other), 2)}`;
  };

  // ------------------------------------------------------------------------ address
  /** What is shown, in the address of the page: a view can be shared. */
  const writeAddress = () => {
    const { scene: set, order, k, item } = state;
    const view = new URLSearchParams({ set, order, share: share(k).toFixed(4) });
    if (item >= 0) view.set("item", item + 1);
    history.replaceState(null, "", `#${view}`);
  };
  const readAddress = () => new URLSearchParams(location.hash.slice(1));
  /** Choose what the address names, as far as there is such a thing. */
  const chooseNamed = () => {
    const view = readAddress();
    const set = [...sceneBox.options].find(({ value }) => value === view.get("set"));
    if (!set) return false;
    sceneBox.value = set.value;
    const radios = [...orders.querySelectorAll("input")];
    const order = radios.find(({ value }) => value === view.get("order"));
    if (order) order.checked = true;
    return true;
  };
  const goNamed = () => {
    const view = readAddress();
    if (view.get("set") !== state.scene) return;
    const wanted = Number(view.get("share"));
    const distances = scene.sizes.map((_, k) => Math.abs(share(k) - wanted));
    if (wanted > 0 && wanted <= 1) go(distances.indexOf(Math.min(...distances)));
    const item = Number(view.get("item"));
    if (Number.isInteger(item) && item >= 1 && item <= n()) mark(item - 1);
  };

  // ------------------------------------------------------------------------ changes
  const draw = () => {
    drawing = 0;
    drawMatrix();
    drawCurve();
    say();
    point();
    clearTimeout(writing);
    if (touched) writing = setTimeout(writeAddress, 400);
    if (!moving) glide();
  };
  const redraw = () => {
    if (scene && walk) drawing ||= requestAnimationFrame(draw);
  };
  const resize = () => {
    if (!scene || !walk) return;
    startCurve();
    redraw();
  };
  const go = (k) => {
    state.k = Math.max(0, Math.min(scene.sizes.length - 1, k));
    slider.value = state.k;
    redraw();
  };
  const mark = (item, other = -1) => {
    if (item === state.item && other === state.other) return;
    Object.assign(state, { item, other });
    itemBox.value = item;
    redraw();
  };
  const stop = () => {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  };

  const chosen = () => root.querySelector("input[name=explorer-order]:checked").value;
  const choose = async (then) => {
    const [name, order] = [sceneBox.value, chosen()];
    stop();
    root.setAttribute("aria-busy", "true");
    try {
      const files = [load(name), load(`${name}-${order}`), picture(`${name}.webp`)];
      const [about, steps, image] = await Promise.all(files);
      if (sceneBox.value !== name || chosen() !== order) return; // chosen meanwhile
      about.reference = codes(about.reference);
      steps.matrices = codes(steps.matrices);
      steps.maps = codes(steps.maps);
      [scene, walk, sprite] = [about, steps, image];
      const isNew = name !== state.scene;
      Object.assign(state, { scene: name, order });
      if (isNew) startScene();
      startCurve();
      go(state.k);
      if (then === goNamed) goNamed();
      root.dataset.ready = `${name} ${order}`;
    } catch (error) {
      text.textContent =
        `The explorer's data are missing (${error.message}). ` +
        "The still figure below shows three of its sizes.";
    } finally {
      root.removeAttribute("aria-busy");
    }
  };
  const startScene = () => {
    slider.max = scene.sizes.length - 1;
    Object.assign(state, { item: -1, other: -1 });
    at = new Float32Array(2 * n()).fill(NaN);
    const options = scene.labels.map((name, i) => make("option", { value: i }, name));
    const members = (label) => options.filter((_, i) => scene.groups[i] === label);
    const groups = [...new Set(scene.groups)].map((label) => [label, members(label)]);
    const grouped = groups.map(([label, all]) => make("optgroup", { label }, ...all));
    const nothing = make("option", { value: -1 }, "nothing");
    itemBox.replaceChildren(nothing, ...(groups.length < n() ? grouped : options));
    startMatrix();
  };

  // ------------------------------------------------------------------------ pointer
  const inside = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top, box.width];
  };
  const onMatrix = (event) => {
    const [x, y, side] = inside(event);
    const cell = (z) => Math.max(0, Math.min(n() - 1, Math.floor((z / side) * n())));
    const [i, j] = [cell(y), cell(x)];
    mark(i, i === j ? -1 : j);
  };
  const onMap = (event) => {
    const [x, y, side] = inside(event);
    const tile = tileSide(side);
    const distances = scene.labels.map((_, i) => {
      const [cx, cy] = spot(i, side, tile);
      const distance = Math.hypot(cx - x, cy - y);
      return distance < 0.75 * tile ? distance : Infinity; // also where it is NaN
    });
    const nearest = Math.min(...distances);
    mark(nearest < Infinity ? distances.indexOf(nearest) : -1);
  };
  const onCurve = (event) => {
    const [x] = inside(event);
    const distances = scene.sizes.map((_, k) => Math.abs(frame.x(share(k)) - x));
    stop();
    go(distances.indexOf(Math.min(...distances)));
  };
  const onPlay = () => {
    if (playing) return stop();
    const last = scene.sizes.length - 1;
    if (state.k === last) go(0);
    play.textContent = "Stop";
    const step = () => (state.k === last ? stop() : go(state.k + 1));
    playing = setInterval(step, 150);
  };
  const on = (element, kinds, handler) => {
    for (const kind of kinds)
      element.addEventListener(kind, (event) => {
        if (!scene || !walk) return;
        touched = true;
        handler(event);
      });
  };
  const onSlide = () => {
    stop();
    go(Number(slider.value));
  };
  on(slider, ["input"], onSlide);
  on(itemBox, ["change"], () => mark(Number(itemBox.value)));
  on(matrix, ["pointermove", "pointerdown"], onMatrix);
  on(map, ["pointermove", "pointerdown"], onMap);
  on(curve, ["pointermove", "pointerdown"], onCurve);
  for (const canvas of [matrix, map]) on(canvas, ["pointerleave"], () => mark(-1));
  on(play, ["click"], onPlay);
  for (const box of [sceneBox, orders])
    box.addEventListener("change", () => {
      touched = true;
      choose();
    });
  addEventListener("hashchange", () => chooseNamed() && choose(goNamed));
  const themes = { attributeFilter: ["data-theme"] };
  new MutationObserver(redraw).observe(document.documentElement, themes);
  new ResizeObserver(resize).observe(root);

  const start = (index) => {
    for (const [value, title] of index.scenes)
      sceneBox.append(make("option", { value }, title));
    for (const [value, title] of index.orders) {
      const id = `explorer-${value}`;
      const radio = make("input", { type: "radio", name: "explorer-order", value, id });
      radio.checked = value === state.order;
      const about = { for: id, class: `order-${value}` };
      orders.append(make("label", about, radio, title));
    }
    state.k = index.start;
    root.classList.remove("starting");
    chooseNamed();
    choose(goNamed);
  };
  const giveUp = () => {
    root.classList.remove("starting");
    const message =
      "The explorer's data are missing; " +
      "the still figure below shows three of its sizes.";
    root.replaceChildren(make("p", {}, message));
  };
  load("index").then(start, giveUp);

  // for the tests
  const still = () => !drawing && !moving;
  window.explorer = { state, go, shown: () => Array.from(at), still };
})();
