/* What scrolls sideways in its own box can be reached, and so scrolled, by keyboard. */
(() => {
  "use strict";
  const BOXES =
    ".bd-article :is(.output, .live-figure, figure, pre, div.math, mjx-container, " +
    ".pst-scrollable-table-container)";
  const update = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      const isWider = box.scrollWidth > box.clientWidth + 1;
      if (isWider && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
      else if (box.tabIndex === 0) box.removeAttribute("tabindex");
    }
  };
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(update, 200);
  };
  addEventListener("load", update);
  addEventListener("load", () => window.MathJax?.startup?.promise?.then(update));
  addEventListener("resize", soon);
  document.addEventListener("toggle", soon, true);
  document.addEventListener("live-output", soon);
})();
