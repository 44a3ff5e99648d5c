// What a live chart draws: answers of the series route to the traces and the layout that Plotly takes. Pure functions.
// Joined in front of live_plot.js into one script (live_plot.py). Not here: asking and waiting (live_plot.js).

const NARROW = 640;
const ALARM = '#D55E00';
const MARKS = {
  checkpoint: ['triangle-up', 8], resumed: ['diamond', 9], paused: ['hourglass', 9], changed: ['square', 8],
  rolled_back: ['triangle-left', 10], forked: ['triangle-right', 10], health: ['star', 11], diverged: ['x', 10], nan: ['x', 9],
};
const ALARMING = ['health', 'diverged', 'nan'];
const TURNING = ['resumed', 'rolled_back', 'forked'];

// Plotly reads markup in names and labels, and a run may be called anything.
const escaped = (text) => String(text).replace(/[&<>${]/g, (c) => `&#${c.charCodeAt(0)};`);

function tinted(color, alpha) {
  return `rgba(${[1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16))},${alpha})`;
}

function themeOf(root) {
  const style = getComputedStyle(root);
  const names = ['background-color', 'text-color', 'border-color', 'font'];
  const [ground, text, line, family] = names.map((name) => style.getPropertyValue(`--st-${name}`).trim());
  return { ground, text, line, family, isDark: parseInt(ground.slice(3, 5), 16) < 110 };
}

function converterOf(data, run, key) {
  if (!key.endsWith('_loss') || data.unit === 'nats') return (y) => y;
  if (data.unit === 'perplexity') return (y) => y === null ? null : Math.exp(y);
  return (y) => y === null ? null : y / (Math.LN2 * run.bytes_per_token);
}

// One curve: the range of its raw values, and its line.
function curveTraces(data, run, series, theme, several) {
  const convert = converterOf(data, run, series.key);
  const color = data.colors[series.key]?.[theme.isDark ? 1 : 0] ?? run.color;
  const exact = data.exact.includes(series.key);
  const label = data.labels[series.key];
  const name = escaped(several ? `${run.name} · ${label}` : label);
  const common = { x: series.x, connectgaps: exact, meta: { run: run.id, key: series.key } };
  const traces = [];
  if (series.low) {
    // Gaps are bridged here: a fill between two lines with gaps comes out wrong.
    const there = (list) => list.filter((_, index) => series.low[index] !== null);
    const shade = tinted(color, theme.isDark ? 0.4 : 0.25);
    const edge = {
      ...common, x: there(series.x), mode: 'lines', line: { width: 1, color: shade }, hoverinfo: 'skip', showlegend: false,
      meta: { ...common.meta, band: true },
    };
    traces.push({ ...edge, y: there(series.low).map(convert) });
    traces.push({ ...edge, y: there(series.high).map(convert), fill: 'tonexty', fillcolor: shade });
  }
  const y = series.y.map(convert);
  // Zoomed in so far that each point stands for itself, the value as measured stands beside the smoothed one.
  const text = series.low?.map((low, index) => low !== null && low === series.high[index] ? ` (${convert(low).toPrecision(5)} measured)` : '');
  traces.push({
    ...common, y, text, name, cliponaxis: !exact, mode: exact || y.length === 1 ? 'lines+markers' : 'lines', customdata: series.steps ?? series.x,
    line: { color, width: exact ? 1.5 : 2, dash: exact ? 'dot' : run.dash },
    marker: { color: exact ? theme.ground : color, size: y.length > 80 ? 3 : 7, line: { color, width: 2 } },
    hovertemplate: `%{y:${data.y_hover}}${data.y_suffix}${text ? '%{text}' : ''}<extra>${name}</extra>`,
  });
  const last = y.findLastIndex((value) => value !== null);
  const isNamed = last >= 0 && (data.colors[series.key] || (several && series.key === data.keys[0]));
  const end = isNamed && { x: series.x[last], y: y[last], text: escaped(several ? run.name : label), tint: color };
  return { traces, end };
}

// What a roll-back gave up is dotted, the curve that a fork left is a line.
function ghostTraces(data, run, ghosts, theme) {
  return ghosts.map((ghost) => ({
    x: ghost.x, y: ghost.y.map(converterOf(data, run, ghost.key)), mode: 'lines', hoverinfo: 'skip', showlegend: false,
    line: { color: tinted(run.color, theme.isDark ? 0.55 : 0.4), width: 1.5, dash: ghost.kind === 'parent' ? 'solid' : 'dot' },
    meta: { run: run.id, ghost: ghost.kind },
  }));
}

// Where earlier runs stood, as far as this one has come.
function referenceTraces({ band, runs, keys, ...data }, until, theme) {
  const upto = band ? band.x.findIndex((x) => x >= until) : -1;
  if (!band || !until || !upto) return [];
  const end = upto < 0 ? band.x.length : upto;
  const share = upto < 0 ? 0 : (until - band.x[end - 1]) / (band.x[end] - band.x[end - 1]);
  const cut = (list) => upto < 0 ? list : [...list.slice(0, end), list[end - 1] + share * (list[end] - list[end - 1])];
  const convert = converterOf(data, runs[0], keys[0]);
  const edge = {
    x: cut(band.x), mode: 'lines', line: { width: 1, color: tinted(theme.text, 0.18) }, hoverinfo: 'skip', showlegend: false,
    meta: { reference: true },
  };
  return [{ ...edge, y: cut(band.low).map(convert) }, { ...edge, y: cut(band.high).map(convert), fill: 'tonexty', fillcolor: tinted(theme.text, 0.08) }];
}

// What happened at one place stands one above the other.
function markTrace(marks) {
  const each = (name) => marks.map((mark) => mark[name]);
  const below = (mark, index) => marks.slice(0, index).filter(({ x }) => x === mark.x).length;
  return {
    x: each('x'), y: marks.map((mark, index) => 0.015 + 0.045 * below(mark, index)), yaxis: 'y2', mode: 'markers', showlegend: false, meta: { marks: true },
    text: marks.map((mark) => escaped(mark.label)), hovertemplate: '%{text}<extra></extra>', customdata: each('step'),
    marker: {
      symbol: each('symbol'), size: each('size'), color: each('color'), line: { width: 0 }, opacity: marks.map((mark) => mark.ghost ? 0.35 : 0.8),
    },
  };
}

// Everything that is drawn, with names at ends of curves, and marks.
function pictureOf(data, answers, theme) {
  const several = data.runs.length > 1;
  const lines = [], ghosts = [], ends = [], marks = [];
  for (const run of data.runs) {
    const answer = answers.get(run.id);
    for (const series of answer?.series ?? []) {
      const { traces, end } = curveTraces(data, run, series, theme, several);
      lines.push(...traces);
      if (end) ends.push(end);
    }
    ghosts.push(...ghostTraces(data, run, answer?.ghosts ?? [], theme));
    // Where runs are compared, everybody's checkpoints would only crowd.
    for (const mark of (answer?.marks ?? []).filter(({ kind }) => !several || kind !== 'checkpoint')) {
      const [symbol, size] = MARKS[mark.kind] ?? ['circle', 6];
      marks.push({ ...mark, symbol, size, color: ALARMING.includes(mark.kind) ? ALARM : several ? run.color : theme.text });
    }
  }
  const until = Math.max(0, ...lines.map((trace) => trace.x.at(-1) ?? 0));
  const traces = [...referenceTraces(data, until, theme), ...ghosts, ...lines, markTrace(marks)];
  return { traces, ends, marks, named: lines.filter((trace) => trace.name) };
}

// Where a step stands on the axis, by the curve that has most points.
function placeOf(step, answers) {
  const [series] = [...answers.values()].flatMap((answer) => answer.series).filter(({ x }) => x.length).sort((a, b) => b.x.length - a.x.length);
  if (!series || !step) return undefined;
  const { x, steps } = series;
  if (!steps) return step;
  const nearest = steps.reduce((best, at, index) => (Math.abs(at - step) < Math.abs(steps[best] - step) ? index : best), 0);
  return x[nearest];
}

// Names at the ends of curves, moved apart where they overlap.
function spread(ends, place, [low, high], height) {
  let floor = -Infinity;
  return [...ends].sort((a, b) => a.y - b.y).map((end) => {
    const at = high > low ? ((place(end.y) - low) / (high - low)) * (height - 80) : Infinity;
    floor = Math.max(at, floor + 14);
    return { ...end, yshift: at === Infinity ? 0 : floor - at };
  });
}

function layoutOf(data, theme, narrow, { ends, marks, named }, yRange, pickedX) {
  const { axis: xName, log, unit, keys, height, guides } = data;
  const place = (value) => (log ? Math.log10(value) : value);
  const shownEnds = narrow ? [] : ends;
  const showlegend = named.length > 1 && (narrow || !shownEnds.length || (data.runs.length > 1 && keys.length > 1));
  // On a phone the names stand below the picture, in as many lines as there are; the picture keeps its height.
  const below = narrow && showlegend ? 19 * named.length : 0;
  const font = { color: theme.text, size: 11, family: theme.family };
  const axis = { gridcolor: theme.line, linecolor: theme.line, zeroline: false, fixedrange: narrow, automargin: true, tickfont: font };
  const rule = (more, dash, opacity) => ({ type: 'line', layer: 'below', line: { color: theme.text, width: 1, dash }, opacity, ...more });
  const upright = (x, dash, opacity) => rule({ yref: 'paper', y0: 0, y1: 1, x0: x, x1: x }, dash, opacity);
  const label = (more) => ({ showarrow: false, font, ...more });
  return {
    uirevision: 'glassbox', height: height + below, font: { ...font, size: 12 }, paper_bgcolor: theme.ground, plot_bgcolor: 'rgba(0,0,0,0)',
    margin: {
      t: showlegend && !narrow ? 34 : 12, b: 44 + below, l: narrow ? 40 : 56, r: Math.min(220, Math.max(12, ...shownEnds.map((end) => 24 + 7 * end.text.length))),
    },
    shapes: [
      ...guides.map(({ value }) => rule({ xref: 'paper', x0: 0, x1: 1, y0: value, y1: value, name: 'guide' }, 'dot', 0.55)),
      ...marks.filter((mark) => TURNING.includes(mark.kind)).map((mark) => upright(mark.x, 'dash', 0.3)),
      ...marks.filter((mark) => mark.kind === 'changed' && !mark.ghost).map((mark) => upright(mark.x, 'dot', 0.3)),
      ...(pickedX === undefined ? [] : [upright(pickedX, 'solid', 0.7)]),
    ],
    annotations: [
      ...guides.map((guide) => label({
        xref: 'paper', x: 1, xanchor: 'right', y: place(guide.value), yanchor: 'bottom', name: 'guide', text: escaped(guide.label),
        bgcolor: tinted(theme.ground, 0.75),
      })),
      ...spread(shownEnds, place, yRange, height).map((end) => label({ ...end, y: place(end.y), xanchor: 'left', xshift: 6, name: 'end', font: { ...font, color: end.tint } })),
    ],
    hovermode: 'x unified', dragmode: narrow ? false : 'zoom', showlegend,
    hoverlabel: { bgcolor: theme.ground, bordercolor: theme.line, font: { color: theme.text, family: theme.family } },
    legend: { orientation: 'h', x: 0, y: narrow ? -44 / (height - 56) : 1, yanchor: narrow ? 'top' : 'bottom', traceorder: 'normal' },
    xaxis: {
      ...axis, title: { text: data.x_label, standoff: 8 }, showgrid: false, rangemode: 'tozero', uirevision: xName, hoverformat: data.x_hover, tickformat: data.x_tick,
    },
    yaxis: {
      ...axis, title: { text: data.y_label, standoff: 10 }, type: log ? 'log' : 'linear', uirevision: `${unit} ${log} ${keys[0]}`,
      tickformat: data.y_tick, ticksuffix: data.y_suffix, ...(log && { dtick: data.decades ? 1 : undefined }),
    },
    yaxis2: { overlaying: 'y', range: [0, 1], fixedrange: true, visible: false },
  };
}
