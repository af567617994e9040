// The drawing itself, with uPlot: what `Trend` shows, on two scales (the metric, and the volume behind it).

import uPlot from "./vendor/uplot/uPlot.esm.js";

const FONT = "11px system-ui, sans-serif";

const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });

// The times on the axis: the clock within a day, the date where a day begins, the year on the first date and where it changes.
function moments(ticks) {
  let year = null;
  return ticks.map((tick) => {
    const moment = new Date(tick * 1000);
    if (tick % 86400 !== 0) return clock.format(moment);
    const isNewYear = moment.getUTCFullYear() !== year;
    year = moment.getUTCFullYear();
    return (isNewYear ? dayOfYear : day).format(moment);
  });
}

function axes({ metric, colours, text }) {
  const common = { stroke: colours.muted, font: FONT, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false } };
  return [
    { ...common, space: 80, size: 30, grid: { show: false }, values: (_, ticks) => moments(ticks) },
    { ...common, scale: "y", size: 54, incrs: metric === "count" ? WHOLE : [0.1, 0.2, 0.25, 0.5], values: (_, ticks) => ticks.map((tick) => (metric === "count" ? tick.toLocaleString("en-US") : text(tick))) },
  ];
}

// Bars that stand on each other: cumulative sums, the highest drawn first, so that each shows only its own part.
function stacked(trend, lines) {
  const sums = [];
  let below = trend.times.map(() => 0);
  for (const { series, colour, values } of lines.filter((line) => line.series.label !== "all")) {
    below = below.map((sum, i) => sum + values[i]);
    sums.push({ label: series.label, colour, values: below });
  }
  return sums.reverse();
}

const bars = (size) => uPlot.paths.bars({ size: [size, 40], align: 1 });

function countSeries(trend, lines) {
  const shown = stacked(trend, lines);
  const drawn = [...lines.filter((line) => line.series.label === "all"), ...shown];
  return {
    columns: drawn.map(({ values }) => values),
    series: drawn.map(({ colour }) => ({ scale: "y", fill: colour, width: 0, paths: bars(0.85), points: { show: false } })),
  };
}

function lineSeries(trend, lines, colours) {
  const volume = { scale: "volume", fill: colours.volume, width: 0, paths: bars(0.85), points: { show: false } };
  const drawn = lines.map(({ series, colour }) => ({
    scale: "y", stroke: colour, width: series.label === "all" ? 2.5 : 1.75, spanGaps: true, points: { show: trend.times.length < 40, size: 5, fill: colour },
  }));
  return { columns: [trend.all.count, ...lines.map(({ values }) => values)], series: [volume, ...drawn] };
}

function scales(metric, trend) {
  const ends = [trend.times[0], trend.times[trend.times.length - 1] + trend.interval_s];
  const y = { negative_share: () => [0, 1], average_score: () => [-1, 1], count: (_, __, top) => [0, Math.max(top, 1)] }[metric];
  return { x: { time: true, range: (_, from, to) => (from === null || from === to ? ends : [from, Math.max(to, ends[1])]) }, y: { range: y },
    volume: { range: (_, __, top) => [0, Math.max(top, 1) * 1.6] } }; // the tallest bar ends well below the lines' top
}

// A flag where each alert fired, in its severity's colour, with a faint line down to the axis.
function markAlerts(chart, alerts, colours) {
  const { ctx, bbox } = chart;
  const unit = devicePixelRatio;
  ctx.save();
  for (const alert of alerts) {
    const x = chart.valToPos(new Date(alert.opened).getTime() / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.fillStyle = colours.alerts[alert.severity] ?? colours.alerts.info;
    ctx.globalAlpha = 0.3;
    ctx.fillRect(x - unit / 2, bbox.top, unit, bbox.height);
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.moveTo(x - 5 * unit, bbox.top - 8 * unit);
    ctx.lineTo(x + 5 * unit, bbox.top - 8 * unit);
    ctx.lineTo(x, bbox.top);
    ctx.fill();
  }
  ctx.restore();
}

export function draw(place, options) {
  const { trend, lines, metric, colours, alerts, point, zoom } = options;
  const { columns, series } = (metric === "count" ? countSeries : lineSeries)(trend, lines, colours);
  return new uPlot(
    {
      width: place.clientWidth,
      height: place.clientHeight,
      padding: [14, 30, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: scales(metric, trend),
      axes: axes(options),
      series: [{}, ...series],
      hooks: {
        draw: [(chart) => markAlerts(chart, alerts, colours)],
        setCursor: [(chart) => point(chart.cursor.idx ?? null)],
        setSelect: [
          (chart) => {
            if (chart.select.width < 5) return;
            zoom(Math.floor(chart.posToVal(chart.select.left, "x")), Math.ceil(chart.posToVal(chart.select.left + chart.select.width, "x")));
          },
        ],
      },
    },
    [trend.times, ...columns],
    place,
  );
}
