import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { linePlot } from "./plot.ts";

const plot = {
  title: "a <title>",
  xLabel: "bytes",
  yLabel: "us",
  series: [
    { name: "first", points: [{ x: 8, y: 0.3 }, { x: 64, y: 30 }] },
    { name: "second", points: [{ x: 8, y: 70 }, { x: 64, y: 31 }] },
  ],
};

/** Coordinates of all of one attribute. */
function numbers(svg: string, pattern: RegExp): number[] {
  return [...svg.matchAll(pattern)].map(([, found]) => Number(found));
}

Deno.test("a plot is well-formed and names its lines", () => {
  const svg = linePlot(plot);
  assertStringIncludes(svg, "a &lt;title&gt;");
  assertStringIncludes(svg, ">first</text>");
  assertStringIncludes(svg, ">second</text>");
  assertEquals(
    numbers(svg, /<(?:text|svg)( )/g).length,
    [...svg.matchAll(/<\/(?:text|svg)>/g)].length,
  );
});

Deno.test("larger is higher, further is right, and nothing leaves the picture", () => {
  const svg = linePlot(plot);
  const xs = numbers(svg, /cx="([\d.]+)"/g);
  const ys = numbers(svg, /cy="([\d.]+)"/g);
  assert(xs[0] < xs[1] && ys[0] > ys[1], `${xs} ${ys}`);
  assert([...xs, ...ys].every((value) => value > 0 && value < 760));
});

Deno.test("the axis goes from power of ten to power of ten", () => {
  const svg = linePlot(plot);
  for (const power of ["0.1", "1", "10", "100"]) assertStringIncludes(svg, `>${power}</text>`);
});

Deno.test("names of lines that end close to each other do not overlap", () => {
  const svg = linePlot(plot);
  const [first, second] = ["first", "second"].map((name) =>
    Number(svg.match(new RegExp(`y="([\\d.]+)"[^>]*>${name}<`))?.[1])
  );
  assert(Math.abs(first - second) >= 14, `${first} and ${second}`);
});

Deno.test("a plot of nothing is an error that names it", () => {
  assertThrows(() => linePlot({ ...plot, series: [] }), Error, "'a <title>' has nothing to plot");
});
