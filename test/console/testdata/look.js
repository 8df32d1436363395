window.proaLook = (() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (c) => {
    if (!known.has(c)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = c;
      canvas.fillRect(0, 0, 1, 1);
      known.set(c, [...canvas.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(c);
  };
  const over = (top, under) => [0, 1, 2].map((i) => (top[i] * top[3] + under[i] * (255 - top[3])) / 255).concat(255);
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m);
    return (x + 0.05) / (y + 0.05);
  };
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.closest(".sr, .skip");
  const named = (e, text) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") ?? ""} ${JSON.stringify(text.slice(0, 40))}`;
  const paint = (n) => {
    if (!(n instanceof SVGElement) || n.tagName === "svg") return getComputedStyle(n).backgroundColor;
    const rect = n.tagName === "g" && n.querySelector(":scope > rect");
    return rect ? getComputedStyle(rect).fill : "transparent";
  };
  const background = (e) => {
    const layers = [];
    for (let n = e; n && layers.at(-1)?.[3] !== 255; n = n.parentElement) {
      const c = rgba(paint(n));
      if (c[3] > 0) layers.push(c);
    }
    return layers.reverse().reduce((under, top) => over(top, under), rgba(getComputedStyle(document.body).backgroundColor));
  };
  const texts = () => {
    const out = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const text = walk.currentNode.textContent.trim(), e = walk.currentNode.parentElement;
      if (text && seen(e) && !e.closest("option, .uplot")) out.push([e, text]);
    }
    return out;
  };
  const meet = (p, q) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3;

  const faint = () => texts().flatMap(([e, text]) => {
    if (e.closest(":disabled")) return [];
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    const under = background(e);
    const ratio = contrast(over(rgba(e instanceof SVGElement ? style.fill : style.color), under), under);
    return ratio < (large ? 3 : 4.5) ? [`${named(e, text)} ${ratio.toFixed(2)}`] : [];
  });
  const wide = () => {
    const page = document.documentElement.scrollWidth;
    const out = page > innerWidth ? [`the page is ${page} wide of ${innerWidth}`] : [];
    for (const [e, text] of texts()) {
      if (e.closest(".scroll, .tables, nav, .log, svg, .zone, .waterfall, .clamp")) continue;
      const r = e.getBoundingClientRect();
      if (r.width > 0 && (r.right > innerWidth + 1 || r.left < -1)) out.push(named(e, text) + " leaves the page");
      if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "hidden") out.push(named(e, text) + " is cut off");
    }
    return out;
  };
  const drawn = () => {
    const out = [], boxes = [...document.querySelectorAll(".box")];
    for (const b of boxes) {
      const frame = b.querySelector("rect").getBoundingClientRect();
      for (const t of b.querySelectorAll("text")) {
        const r = t.getBoundingClientRect();
        if (r.right > frame.right + 1 || r.bottom > frame.bottom + 1) out.push(`${b.dataset.box}: ${JSON.stringify(t.textContent)} is wider than its box`);
      }
    }
    const free = [...document.querySelectorAll(".note, .lane-name")];
    free.forEach((n, i) => {
      const r = n.getBoundingClientRect();
      for (const o of [...free.slice(i + 1), ...boxes.map((b) => b.querySelector("rect"))]) {
        if (r.width > 0 && meet(r, o.getBoundingClientRect())) out.push(`${JSON.stringify(n.textContent)} lies over ${o.textContent || o.parentElement.dataset.box}`);
      }
    });
    return out;
  };
  const small = () => [...document.querySelectorAll("button, a, input, select, summary")].filter(seen).flatMap((e) => {
    const r = e.getBoundingClientRect();
    const inline = getComputedStyle(e).display === "inline" || e.classList.contains("link");
    return !inline && (r.height < 24 || r.width < 24) && !["checkbox", "radio"].includes(e.type) ? [`${named(e, e.textContent)} is ${r.width.toFixed(0)} × ${r.height.toFixed(0)}`] : [];
  });
  const nameless = () => [...document.querySelectorAll("button, a, input, select, [role=button], [role=img], [role=tab]")].filter(seen).flatMap((e) => {
    const label = e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim();
    return label ? [] : [named(e, e.outerHTML)];
  });
  const focus = () => {
    const e = document.activeElement;
    if (!e || e === document.body) return "";
    const style = getComputedStyle(e), inner = getComputedStyle(e.querySelector("rect, .line") ?? e);
    const visible = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || (e instanceof SVGElement && parseFloat(inner.strokeWidth) >= 3);
    const what = e.getAttribute("aria-label") || e.textContent.trim() || e.name || e.tagName;
    return (visible ? "" : "UNSEEN ") + what.slice(0, 50);
  };
  const stops = () => [...document.querySelectorAll("main button, main a, main input, main select, main [tabindex='0'], main summary")].filter((e) => !e.disabled && e.checkVisibility()).length;
  return { faint, wide, drawn, small, nameless, focus, stops };
})();
0;
