// Samples with their error bars, as SVG: no style attribute, which the page's policy forbids.

const WIDTH = 640;
const HEIGHT = 180; // of the drawing's own units, as its viewBox says
const NAMESPACE = "http://www.w3.org/2000/svg";

/**
 * Draw points from left to right, with room for `slots` of them.
 *
 * @param {SVGElement} svg
 * @param {{value: number, error: number, best: boolean}[]} points
 * @param {number} slots
 * @returns {number} the value at the upper edge, the lower edge being its negative; 0 if empty
 */
export function plot(svg, points, slots) {
  if (points.length === 0) {
    svg.replaceChildren();
    return 0;
  }
  const limit = limitOf(points);
  const y = (value) => {
    const clipped = Math.min(limit, Math.max(-limit, value));
    return (HEIGHT / 2) * (1 - clipped / limit);
  };
  const step = WIDTH / slots;
  const left = WIDTH - step * (points.length - 0.5);
  const drawn = points.flatMap(({ value, error, best }, index) => {
    const x = left + index * step;
    const kind = best ? " best" : "";
    return [
      line(`bar${kind}`, x, y(value - error), x, y(value + error)),
      line(`mark${kind}`, x, y(value), x, y(value)),
    ];
  });
  svg.replaceChildren(line("zero", 0, HEIGHT / 2, WIDTH, HEIGHT / 2), ...drawn);
  return limit;
}

/** Three times the middle error bar, rounded up to 1, 2 or 5: one bad sample hides no others. */
function limitOf(points) {
  const errors = points.map(({ error }) => error).sort((one, other) => one - other);
  const wanted = 3 * errors[Math.floor(errors.length / 2)];
  const decade = 10 ** Math.floor(Math.log10(wanted));
  return decade * [1, 2, 5, 10].find((factor) => factor * decade >= wanted * (1 - 1e-9));
}

function line(kind, x1, y1, x2, y2) {
  const made = document.createElementNS(NAMESPACE, "line");
  made.setAttribute("class", `plot-line ${kind}`);
  for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) {
    made.setAttribute(name, value.toFixed(2));
  }
  return made;
}
