/* Previews of what a link leads to (citation, figure, table, equation, claim), taken from
   this site alone; buttons that copy. */
(() => {
  "use strict";
  const KINDS = "figure, div.math, .citation";
  const CLAIM = /^claim-c\d+$/;
  const LEFT_OUT = ".headerlink, .figure-files, .eqno, button, script, details, summary";
  const LINKS = ".bd-article a.internal[href*='#'], .bd-article .tile a[href*='#']";
  const DELAY = 250; // ms
  const pages = new Map(); // address: a promise of the parsed page
  let tip, link, timer;

  const pageAt = (url) => {
    const address = url.href.split("#")[0];
    if (address === location.href.split("#")[0]) return document;
    if (!pages.has(address))
      pages.set(
        address,
        fetch(address)
          .then((answer) => answer.text())
          .then((text) => new DOMParser().parseFromString(text, "text/html"))
          .catch(() => null) // opened as a file: no preview from other pages
      );
    return pages.get(address);
  };

  const targetOf = (page, url) => {
    const id = decodeURIComponent(url.hash.slice(1));
    const target = id && page?.getElementById(id);
    if (CLAIM.test(id)) return target?.closest("li, tr, p") ?? null;
    return target?.matches(KINDS) ? target : null;
  };

  const copyOf = (target, url) => {
    const copy = document.importNode(target, true);
    for (const element of copy.querySelectorAll(LEFT_OUT)) element.remove();
    for (const element of [copy, ...copy.querySelectorAll("[id]")])
      element.removeAttribute("id");
    for (const image of copy.querySelectorAll("img")) {
      image.src = new URL(image.getAttribute("src"), url);
      image.loading = "eager";
    }
    for (const inner of copy.querySelectorAll("a, [tabindex]")) {
      inner.removeAttribute("href");
      inner.removeAttribute("tabindex");
    }
    return copy;
  };

  const contentOf = async (anchor) => {
    const url = new URL(anchor.href);
    if (anchor.dataset.title) return document.createTextNode(anchor.dataset.title);
    if (url.origin !== location.origin) return null;
    const page = await pageAt(url);
    const target = targetOf(page, url);
    const isRaw = page !== document && !window.MathJax?.typesetPromise;
    if (!target || (isRaw && target.matches(".math"))) return null;
    return copyOf(target, url);
  };

  const place = () => {
    const at = link.getClientRects()[0];
    const isBelow = at.top < innerHeight / 2;
    const space = isBelow ? innerHeight - at.bottom : at.top;
    tip.style.maxHeight = `${Math.min(space - 16, innerHeight * 0.7)}px`;
    const left = Math.min(at.left, innerWidth - tip.offsetWidth - 16);
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    const top = isBelow ? at.bottom + 4 : at.top - tip.offsetHeight - 4;
    tip.style.top = `${top + scrollY}px`;
  };

  const hide = () => {
    clearTimeout(timer);
    tip?.remove();
    link?.removeAttribute("aria-describedby");
    tip = link = undefined;
  };

  const show = async (anchor) => {
    const content = await contentOf(anchor);
    if (!content || !anchor.matches(":hover, :focus")) return;
    hide();
    link = anchor;
    tip = document.createElement("div");
    Object.assign(tip, { id: "preview", role: "tooltip", className: "preview" });
    tip.append(content);
    document.querySelector(".bd-article").append(tip);
    link.setAttribute("aria-describedby", tip.id);
    if (window.MathJax?.typesetPromise) await MathJax.typesetPromise([tip]);
    if (tip) place();
  };

  const soon = (anchor) => {
    clearTimeout(timer);
    if (anchor.title) {
      anchor.dataset.title = anchor.title; // the browser's own would cover ours
      anchor.removeAttribute("title");
    }
    if (anchor !== link) timer = setTimeout(show, DELAY, anchor);
  };

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (tip && !tip.matches(":hover") && !link.matches(":hover")) hide();
    }, DELAY);
  };

  addEventListener("mouseover", ({ target }) => {
    if (target.closest?.(".preview")) return clearTimeout(timer);
    const anchor = target.closest?.(LINKS);
    if (anchor && matchMedia("(hover: hover)").matches) soon(anchor);
    else later();
  });
  addEventListener("focusin", ({ target }) => {
    const anchor = target.closest?.(LINKS);
    if (anchor?.matches(":focus-visible")) soon(anchor);
    else hide();
  });
  addEventListener("keydown", ({ key }) => key === "Escape" && hide());
  addEventListener("click", hide);

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    const name = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = name), 2000);
    });
  }

  /* A link to folded code opens the fold. */
  const unfold = () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = place?.closest("details:not([open])");
    if (!fold) return;
    fold.open = true;
    place.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  addEventListener("load", unfold);
})();
