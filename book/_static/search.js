/* Excerpts of search results: prose without code and TeX, from where the words meet. */
(() => {
  "use strict";
  const LENGTH = 240; // characters
  const LEFT_OUT =
    ".headerlink, .figure-files, .cell_input, div.math, pre, script, style, nav, " +
    "button, svg, summary, .toctree-wrapper, .above-input, [hidden]";

  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article");
    const part = (anchor && article?.querySelector(anchor)) || article;
    if (!part) return "";
    for (const element of part.querySelectorAll(LEFT_OUT)) element.remove();
    for (const formula of part.querySelectorAll("span.math")) formula.replaceWith("…");
    for (const cell of part.querySelectorAll("td, th, p, li, h1, h2, h3, h4, .tile span"))
      cell.append(" ");
    return part.textContent.replace(/\s+/g, " ").trim();
  };

  const placesOf = (text, word) => {
    const places = [];
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1))
      places.push(at);
    return places;
  };

  /* Where an excerpt holds the most of the words; the first such place. */
  const bestStart = (text, words) => {
    const places = words.map((word) => placesOf(text, word));
    let best = { start: 0, n: 0 };
    for (const start of places.flat().sort((a, b) => a - b)) {
      const isIn = (at) => at >= start && at < start + LENGTH / 2;
      const n = places.filter((found) => found.some(isIn)).length;
      if (n > best.n) best = { start, n };
    }
    return best.start;
  };

  Search.makeSearchSummary = (html, keywords, anchor) => {
    const text = Search.htmlToText(html, anchor);
    if (!text) return null;
    const words = [...keywords].map((word) => word.toLowerCase());
    const found = bestStart(text.toLowerCase(), words);
    const start = found < 90 ? 0 : text.indexOf(" ", found - 90) + 1;
    const end = text.lastIndexOf(" ", start + LENGTH);
    const isWhole = start + LENGTH >= text.length;
    const summary = document.createElement("p");
    summary.className = "context";
    const shown = isWhole ? text.slice(start) : `${text.slice(start, end)} …`;
    summary.textContent = start ? `… ${shown}` : shown;
    return summary;
  };
})();
