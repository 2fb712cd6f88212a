/* What scrolls sideways in its own box can be reached, and so scrolled, by keyboard. */
(() => {
  "use strict";
  const BOXES = ".bd-article :is(.output, .live-figure, figure, pre, div.math, mjx-container, .pst-scrollable-table-container)";
  const mend = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
      if (scrolls) box.tabIndex = 0;
      else if (box.tabIndex === 0) box.removeAttribute("tabindex");
    }
  };
  let asked = 0;
  const soon = () => { asked ||= setTimeout(() => { asked = 0; mend(); }, 200); };
  addEventListener("load", mend);
  addEventListener("load", () => window.MathJax?.startup?.promise?.then(mend));
  addEventListener("resize", soon);
  document.addEventListener("toggle", soon, true);
  document.addEventListener("live-output", soon);
})();
