/* The explorer of book/explorer.md: one slider moves a similarity matrix, a map of its images and an insertion curve.

   Its data are written by scripts/explorer_data.py and loaded when they are needed, as scripts and pictures, so that the
   page works from a server and from a folder alike. No library: two canvases, one SVG and the browser's own controls. */
(() => {
  "use strict";
  const root = document.getElementById("explorer-app");
  if (!root) return;
  root.replaceChildren();
  root.classList.add("starting"); // nothing is shown before there is something to choose from

  const UNDEFINED = -32768, UNIT = 10000; // helpers.explorer.quantised
  const CALM = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { scene: null, order: "lowest", k: 0, item: -1, other: -1 };
  let scene, walk, sprite, at, moving = 0, playing = 0, asked = 0, spoken = 0;

  // ------------------------------------------------------------------------------------------------------------ loading
  const loading = {};
  const load = (name) => (loading[name] ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${root.dataset.from}${name}.js`;
    script.onload = () => resolve(window.explorerData[name]);
    script.onerror = () => { delete loading[name]; reject(new Error(`${name} could not be loaded`)); };
    document.head.append(script);
  }));
  const picture = (name) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`${name} could not be loaded`));
    image.src = `${root.dataset.from}${name}`;
  });
  const numbers = (text) => new Int16Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

  // --------------------------------------------------------------------------------------------------------------- page
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const select = (id, text) => {
    const box = make("select", { id });
    return [make("label", { for: id }, text), box];
  };
  const [sceneLabel, sceneBox] = select("explorer-scene", "Images");
  const [itemLabel, itemBox] = select("explorer-item", "Highlight");
  const orders = make("fieldset", {}, make("legend", {}, "Nodes enter"));
  const slider = make("input", { type: "range", id: "explorer-size", min: 0, step: 1 });
  const play = make("button", { type: "button", id: "explorer-play" }, "Play");
  const text = make("output", { id: "explorer-numbers", for: "explorer-size", "aria-live": "off" });
  const live = make("p", { class: "explorer-spoken", "aria-live": "polite", role: "status" });
  const pointed = make("p", { class: "explorer-pointed" });
  const matrix = make("canvas", { id: "explorer-matrix", role: "img" });
  const map = make("canvas", { id: "explorer-map", role: "img" });
  const curve = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  curve.id = "explorer-curve";
  curve.setAttribute("role", "img");
  const scale = make("span", { class: "explorer-scale" });
  const view = (title, name, content, ...more) => make("div", { class: `explorer-view ${name}` },
    make("p", { class: "explorer-title" }, title), content, ...more);
  const below = make("span"), above = make("span");
  root.append(
    make("div", { class: "explorer-controls" },
      make("div", {}, sceneLabel, sceneBox), orders, make("div", {}, itemLabel, itemBox)),
    make("div", { class: "explorer-slide" },
      make("label", { for: "explorer-size" }, "Share of nodes inserted"), slider, play),
    text, live,
    make("div", { class: "explorer-views" },
      view("Similarity matrix", "of-matrix", matrix, make("p", { class: "explorer-note" }, below, scale, above)),
      view("Map of the images", "of-map", map, pointed),
      view("Insertion curve", "of-curve", curve)),
  );

  // ------------------------------------------------------------------------------------------------------------ numbers
  const n = () => scene.labels.length;
  const nPairs = () => n() * (n() - 1) / 2;
  const pair = (i, j) => (i > j ? pair(j, i) : i * n() - i * (i + 1) / 2 + j - i - 1);
  const similarity = (i, j) => {
    const code = walk.matrices[state.k * nPairs() + pair(i, j)];
    return code === UNDEFINED ? NaN : code / UNIT;
  };
  const place = (i) => {
    const start = 2 * (state.k * n() + i), x = walk.maps[start];
    return x === UNDEFINED ? null : [x / UNIT, walk.maps[start + 1] / UNIT];
  };
  const now = () => {
    const about = scene.orders[state.order];
    return { size: scene.sizes[state.k], r2: about.r2[state.k], undefined: about.undefined[state.k], fit: about.fit[state.k] };
  };
  const share = (k) => scene.sizes[k] / scene.nFeatures;
  const percent = (x) => `${(100 * x).toFixed(x < 0.0995 && x > 0 ? 1 : 0)} %`;
  const fixed = (x, digits) => (x === null || Number.isNaN(x) ? "not defined" : x.toFixed(digits).replace("-", "−"));
  const signed = (x) => fixed(x, 2);

  // ------------------------------------------------------------------------------------------------------------ drawing
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  /** A canvas's pen, in CSS pixels, on a clean sheet as large as the canvas is shown. */
  const pen = (canvas) => {
    const side = canvas.clientWidth, ratio = devicePixelRatio || 1, pixels = Math.round(side * ratio);
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    const context = canvas.getContext("2d");
    context.setTransform(pixels / side, 0, 0, pixels / side, 0, 0);
    context.clearRect(0, 0, side, side);
    return [context, side];
  };

  const sheet = document.createElement("canvas"); // the matrix, a pixel to each pair
  let pixels;
  const paint = (i, j, level) => {
    const [r, g, b] = scene.palette[Math.max(0, Math.min(255, Math.round(255 * level)))];
    pixels.data.set([r, g, b, 255], 4 * (i * n() + j));
  };
  const startMatrix = () => {
    sheet.width = sheet.height = n();
    pixels = sheet.getContext("2d").createImageData(n(), n());
    for (let i = 0, p = 0; i < n(); i++) for (let j = i + 1; j < n(); j++) paint(i, j, scene.reference[p++] / UNIT);
    const stops = scene.palette.filter((_, i) => i % 15 === 0).map((c) => `rgb(${c})`);
    scale.style.background = `linear-gradient(to right, ${stops})`;
    below.textContent = `Lower left: these nodes, r from ${signed(scene.limits[0])} `;
    above.textContent = ` to ${signed(scene.limits[1])}. Upper right: ${scene.comparedWith}, each between its own limits.`;
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
    const [context, side] = pen(matrix), cell = side / n();
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet, 0, 0, side, side);
    context.strokeStyle = colour("--explorer-mark");
    context.lineWidth = 1.5;
    for (const i of [state.item, state.other].filter((i) => i >= 0)) {
      context.strokeRect(0, i * cell, side, cell);
      context.strokeRect(i * cell, 0, cell, side);
    }
  };

  const tileSide = (side) => Math.max(18, Math.min(64, (0.75 * side) / Math.sqrt(n()) / 1.4));
  const spot = (i, side, tile) => [side / 2 + at[2 * i] * (side - tile) / 2, side / 2 - at[2 * i + 1] * (side - tile) / 2];
  const drawMap = () => {
    const [context, side] = pen(map), tile = tileSide(side);
    const order = [...Array(n()).keys()].filter((i) => i !== state.item && i !== state.other);
    for (const i of [...order, state.other, state.item]) {
      if (i < 0 || Number.isNaN(at[2 * i])) continue;
      const marked = i === state.item || i === state.other, size = marked ? 1.7 * tile : tile;
      const [x, y] = spot(i, side, tile);
      const from = [i % scene.perRow * scene.tile, Math.floor(i / scene.perRow) * scene.tile];
      context.drawImage(sprite, ...from, scene.tile, scene.tile, x - size / 2, y - size / 2, size, size);
      if (!marked) continue;
      context.strokeStyle = colour("--explorer-mark");
      context.lineWidth = 3;
      context.strokeRect(x - size / 2, y - size / 2, size, size);
    }
  };
  /** Let the images glide to their places at this size; one that gets or loses its place does so at once. */
  const glide = () => {
    let far = false;
    for (let i = 0; i < n(); i++) {
      const goal = place(i) || [NaN, NaN];
      for (const axis of [0, 1]) {
        const here = at[2 * i + axis], gap = goal[axis] - here;
        const there = CALM.matches || !(Math.abs(gap) > 0.002);
        at[2 * i + axis] = there ? goal[axis] : here + 0.35 * gap;
        far ||= !there;
      }
    }
    drawMap();
    moving = far ? requestAnimationFrame(glide) : 0;
  };

  const svg = (tag, attributes, content) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (content !== undefined) element.textContent = content;
    return element;
  };
  let frame;
  const startCurve = () => {
    const width = curve.clientWidth, height = curve.clientHeight;
    const all = Object.values(scene.orders).flatMap((o) => o.r2).filter((r2) => r2 !== null);
    const top = Math.min(1, Math.ceil(Math.max(...all) * 10 + 0.2) / 10);
    frame = { x: (s) => 46 + s * (width - 62), y: (r2) => 12 + (1 - r2 / top) * (height - 54), width, height };
    curve.replaceChildren();
    for (let t = 0; t <= 4; t++) {
      const y = frame.y(top * t / 4), x = frame.x(t / 4);
      curve.append(svg("line", { x1: 46, x2: width - 16, y1: y, y2: y, class: "grid" }),
        svg("text", { x: 40, y: y + 4, "text-anchor": "end", class: "level" }, (top * t / 4).toFixed(2)),
        svg("text", { x, y: height - 24, "text-anchor": t === 4 ? "end" : "middle" }, `${25 * t} %`));
    }
    curve.append(svg("text", { x: (46 + width - 16) / 2, y: height - 6, "text-anchor": "middle" },
      `share of nodes; R² with ${scene.comparedWith}`));
    for (const [name, about] of Object.entries(scene.orders)) {
      let path = "", pen = "M";
      about.r2.forEach((r2, k) => {
        if (r2 === null) pen = "M";
        else { path += `${pen}${frame.x(share(k)).toFixed(1)},${frame.y(r2).toFixed(1)}`; pen = "L"; }
      });
      curve.append(svg("path", { d: path, class: `order-${name}` }));
    }
    curve.append(svg("line", { class: "here", y1: 12, y2: height - 42 }), svg("circle", { class: "here", r: 6 }));
  };
  const drawCurve = () => {
    const { r2 } = now(), x = frame.x(share(state.k));
    for (const path of curve.querySelectorAll("path")) {
      path.classList.toggle("chosen", path.classList.contains(`order-${state.order}`));
    }
    const line = curve.querySelector("line.here"), point = curve.querySelector("circle.here");
    for (const end of ["x1", "x2"]) line.setAttribute(end, x);
    point.setAttribute("cx", x);
    point.setAttribute("cy", r2 === null ? 0 : frame.y(r2));
    point.style.display = r2 === null ? "none" : "";
  };

  // --------------------------------------------------------------------------------------------------------------- words
  const say = () => {
    const { size, r2, undefined: lost, fit } = now();
    const nodes = `${percent(share(state.k))} of the nodes (${size.toLocaleString("en")} of ${scene.nFeatures.toLocaleString("en")})`;
    const words = `${nodes}. R² with ${scene.comparedWith}: ${fixed(r2, 3)}. ` +
      `Undefined items: ${lost} of ${n()}. The map accounts for ${fit === null ? "an undefined share" : percent(fit)} of the similarities' variance.`;
    text.textContent = words;
    root.dataset.k = state.k;
    slider.setAttribute("aria-valuetext", `${percent(share(state.k))}, R² ${fixed(r2, 2)}`);
    matrix.setAttribute("aria-label", `Similarity matrix of ${n()} items with ${nodes}, beside ${scene.comparedWith}`);
    map.setAttribute("aria-label", `Map of ${n() - lost} items: similar ones lie close together`);
    curve.setAttribute("aria-label", `Insertion curve; R² is ${fixed(r2, 2)} at ${percent(share(state.k))} of the nodes`);
    clearTimeout(spoken);
    spoken = setTimeout(() => { live.textContent = words; }, 600);
  };
  const point = () => {
    const [i, j] = [state.item, state.other];
    pointed.textContent = i < 0 ? "Point at an image, at a cell of the matrix or at the curve."
      : j < 0 ? scene.labels[i] + (place(i) ? "" : ": not defined with these nodes")
        : `${scene.labels[i]} and ${scene.labels[j]}: r = ${fixed(similarity(i, j), 2)}`;
  };

  // ------------------------------------------------------------------------------------------------------------- changes
  const draw = () => {
    asked = 0;
    drawMatrix();
    drawCurve();
    say();
    point();
    if (!moving) glide();
  };
  const redraw = () => { if (scene && walk) asked ||= requestAnimationFrame(draw); };
  const resize = () => { if (scene && walk) { startCurve(); redraw(); } };
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
  const stop = () => { clearInterval(playing); playing = 0; play.textContent = "Play"; };

  const choose = async (name, order) => {
    stop();
    root.setAttribute("aria-busy", "true");
    try {
      const [about, steps, image] = await Promise.all([load(name), load(`${name}-${order}`), picture(`${name}.webp`)]);
      if (sceneBox.value !== name || chosen() !== order) return; // another choice was made meanwhile
      const fresh = name !== state.scene;
      if (typeof about.reference === "string") about.reference = numbers(about.reference);
      if (typeof steps.matrices === "string") Object.assign(steps, { matrices: numbers(steps.matrices), maps: numbers(steps.maps) });
      [scene, walk, sprite] = [about, steps, image];
      Object.assign(state, { scene: name, order });
      slider.max = scene.sizes.length - 1;
      if (fresh) {
        Object.assign(state, { item: -1, other: -1 });
        at = new Float32Array(2 * n()).fill(NaN);
        const options = scene.labels.map((label, i) => make("option", { value: i }, label));
        const groups = [...new Set(scene.groups)].map((label) =>
          make("optgroup", { label }, ...options.filter((_, i) => scene.groups[i] === label)));
        itemBox.replaceChildren(make("option", { value: -1 }, "nothing"), ...(groups.length < n() ? groups : options));
        startMatrix();
      }
      startCurve();
      go(state.k);
      root.dataset.ready = `${name} ${order}`;
    } catch (error) {
      text.textContent = `The explorer's data are missing (${error.message}). The still figure below shows three of its sizes.`;
    } finally {
      root.removeAttribute("aria-busy");
    }
  };
  const chosen = () => root.querySelector("input[name=explorer-order]:checked").value;
  const changed = () => choose(sceneBox.value, chosen());

  const nearest = (x) => {
    let best = 0;
    scene.sizes.forEach((_, k) => { if (Math.abs(frame.x(share(k)) - x) < Math.abs(frame.x(share(best)) - x)) best = k; });
    return best;
  };
  const inside = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top, box.width];
  };
  const onMatrix = (event) => {
    const [x, y, side] = inside(event), cell = (z) => Math.max(0, Math.min(n() - 1, Math.floor(z / side * n())));
    const [i, j] = [cell(y), cell(x)];
    mark(i, i === j ? -1 : j);
  };
  const onMap = (event) => {
    const [x, y, side] = inside(event), tile = tileSide(side);
    let best = -1, nearestYet = tile * 0.75;
    for (let i = 0; i < n(); i++) {
      const [cx, cy] = spot(i, side, tile), distance = Math.hypot(cx - x, cy - y);
      if (distance < nearestYet) [best, nearestYet] = [i, distance];
    }
    mark(best);
  };
  const onCurve = (event) => { stop(); go(nearest(inside(event)[0])); };
  const on = (element, kinds, handler) => kinds.forEach((kind) => element.addEventListener(kind, (event) => scene && walk && handler(event)));

  on(slider, ["input"], () => { stop(); go(Number(slider.value)); });
  on(itemBox, ["change"], () => mark(Number(itemBox.value)));
  on(matrix, ["pointermove", "pointerdown"], onMatrix);
  on(map, ["pointermove", "pointerdown"], onMap);
  on(curve, ["pointermove", "pointerdown"], onCurve);
  for (const canvas of [matrix, map]) on(canvas, ["pointerleave"], () => mark(-1));
  sceneBox.addEventListener("change", changed);
  orders.addEventListener("change", changed);
  on(play, ["click"], () => {
    if (playing) return stop();
    if (state.k === scene.sizes.length - 1) go(0);
    play.textContent = "Stop";
    playing = setInterval(() => (state.k === scene.sizes.length - 1 ? stop() : go(state.k + 1)), 150);
  });
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  new ResizeObserver(resize).observe(root);

  load("index").then((index) => {
    for (const [name, title] of index.scenes) sceneBox.append(make("option", { value: name }, title));
    for (const [name, title] of index.orders) {
      const radio = make("input", { type: "radio", name: "explorer-order", value: name, id: `explorer-${name}` });
      radio.checked = name === state.order;
      orders.append(make("label", { for: radio.id, class: `order-${name}` }, radio, title));
    }
    state.k = index.start;
    root.classList.remove("starting");
    changed();
  }, () => {
    root.classList.remove("starting");
    root.replaceChildren(make("p", {}, "The explorer's data are missing; the still figure below shows three of its sizes."));
  });

  window.explorer = { state, go, shown: () => Array.from(at), still: () => !asked && !moving }; // for the tests
})();
