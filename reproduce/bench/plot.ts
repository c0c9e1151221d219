/**
 * Line plots as SVG, logarithmic on both axes: figures here differ by factors of a thousand. Each
 * line carries its name at its end, so that nobody has to match colours with a legend.
 */

export interface Point {
  x: number;
  y: number;
}

export interface Series {
  name: string;
  points: Point[];
}

export interface Plot {
  title: string;
  xLabel: string;
  yLabel: string;
  series: Series[];
  /** Texts of the x axis' values, where the number alone would not do. */
  xText?(x: number): string;
}

const size = { width: 760, height: 420 };
const margin = { left: 64, right: 116, top: 44, bottom: 52 };
/** Told apart by people who do not see all colours, on white. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555", "#e69f00"];
const labelHeight = 14;

/** Maps values of one axis to pixels. */
interface Scale {
  low: number;
  high: number;
  at(value: number): number;
}

export function linePlot(plot: Plot): string {
  const points = plot.series.flatMap((series) => series.points);
  if (points.length === 0) throw new Error(`'${plot.title}' has nothing to plot`);
  const right = size.width - margin.right;
  const bottom = size.height - margin.bottom;
  const x = scaleOf(points.map((point) => point.x), margin.left, right, false);
  const y = scaleOf(points.map((point) => point.y), bottom, margin.top, true);
  const xs = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" ` +
    'font-family="sans-serif" font-size="12">',
    `<rect width="${size.width}" height="${size.height}" fill="#fff"/>`,
    text(margin.left, 24, plot.title, 'font-size="15" font-weight="bold"'),
    ...yAxis(y, right),
    ...xs.map((value) => xTick(x.at(value), bottom, (plot.xText ?? plain)(value))),
    text((margin.left + right) / 2, size.height - 12, plot.xLabel, 'text-anchor="middle"'),
    text(
      ...[16, (margin.top + bottom) / 2, plot.yLabel] as const,
      `text-anchor="middle" transform="rotate(-90 16 ${(margin.top + bottom) / 2})"`,
    ),
    ...plot.series.map((series, i) => line(series, x, y, colours[i % colours.length])),
    ...endLabels(plot.series, x, y),
    "</svg>",
    "",
  ].join("\n");
}

/** Logarithmic; `whole` rounds the ends to powers of ten. */
function scaleOf(values: readonly number[], from: number, to: number, whole: boolean): Scale {
  const logs = values.map((value) => Math.log10(value));
  let low = Math.min(...logs);
  let high = Math.max(...logs);
  if (whole) [low, high] = [Math.floor(low), Math.ceil(high)];
  if (low === high) high = low + 1;
  const at = (value: number) => from + (Math.log10(value) - low) / (high - low) * (to - from);
  return { low, high, at };
}

function yAxis(y: Scale, right: number): string[] {
  const powers = Array.from({ length: y.high - y.low + 1 }, (_, i) => y.low + i);
  return powers.flatMap((power) => {
    const at = round(y.at(10 ** power));
    return [
      `<line x1="${margin.left}" x2="${right}" y1="${at}" y2="${at}" stroke="#ddd"/>`,
      text(margin.left - 8, at + 4, plain(10 ** power), 'text-anchor="end" fill="#444"'),
    ];
  });
}

function xTick(at: number, bottom: number, words: string): string {
  return `<line x1="${round(at)}" x2="${round(at)}" y1="${bottom}" y2="${bottom + 5}" ` +
    `stroke="#444"/>${text(at, bottom + 20, words, 'text-anchor="middle" fill="#444"')}`;
}

function line({ points }: Series, x: Scale, y: Scale, colour: string): string {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const places = sorted.map((point) => [round(x.at(point.x)), round(y.at(point.y))]);
  const dots = places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`);
  const path = places.map((place) => place.join(",")).join(" ");
  return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>` +
    dots.join("");
}

/** Each at its line's end, pushed apart where two would overlap. */
function endLabels(series: readonly Series[], x: Scale, y: Scale): string[] {
  const labels = series.map(({ name, points }, i) => {
    const last = points.reduce((a, b) => b.x > a.x ? b : a);
    return { name, colour: colours[i % colours.length], x: x.at(last.x), y: y.at(last.y) };
  }).sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) {
    labels[i].y = Math.max(labels[i].y, labels[i - 1].y + labelHeight);
  }
  return labels.map((label) =>
    text(label.x + 8, label.y + 4, label.name, `fill="${label.colour}" font-weight="bold"`)
  );
}

function text(x: number, y: number, words: string, attributes = ""): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(words)}</text>`;
}

function plain(value: number): string {
  return value >= 1 ? value.toLocaleString("en") : `${Number(value.toPrecision(3))}`;
}

function escaped(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
