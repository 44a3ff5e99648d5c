// The live chart: asks the server for the visible stretch of each run and draws it with Plotly.react into one lasting node.
// Not here: smoothing and thinning (the server does both), what is shown (the page says so in `data`).

const charts = new WeakMap();
const NARROW = 640;
const RETRY_MS = [1000, 2000, 4000, 8000, 15000];
const MARKS = { checkpoint: ['triangle-up', 8], resumed: ['diamond', 9], nan: ['x', 9] };
const PHASES = ['reading text', 'cutting tokens', 'building', 'first step'];
const WAITING = { queued: 'Waiting in the queue' };

function loadPlotly(src) {
  window.glassboxPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = src;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { window.glassboxPlotly = undefined; reject(new Error(src)); };
    document.head.append(script);
  });
  return window.glassboxPlotly;
}

// Plotly reads markup in names and labels, and a run may be called anything.
const escaped = (text) => String(text).replace(/[&<>$]/g, (c) => `&#${c.charCodeAt(0)};`);

function tinted(color, alpha) {
  return `rgba(${[1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16))},${alpha})`;
}

class LiveChart {
  constructor(root) {
    this.root = root;
    [this.box, this.plot, this.phases, this.line] = ['box', 'plot', 'phases', 'line'].map((name) => root.querySelector(`.gb-${name}`));
    this.answers = new Map(); // run → what is drawn
    this.whole = new Map(); // run → its whole curve, to fall back to when a zoom ends
    this.caches = [this.answers, this.whole];
    this.range = null;
    this.failures = this.asked = 0;
    this.onVisible = () => document.hidden || this.schedule(0);
    document.addEventListener('visibilitychange', this.onVisible);
    this.resizes = new ResizeObserver(() => {
      cancelAnimationFrame(this.frame);
      if (this.drawn) this.frame = requestAnimationFrame(() => this.draw());
    });
    this.resizes.observe(this.box);
    this.box.onkeydown = (event) => this.pressed(event);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.resizes.disconnect();
    document.removeEventListener('visibilitychange', this.onVisible);
    if (this.drawn) window.Plotly.purge(this.plot);
  }

  update(data) {
    const before = this.data;
    this.data = data;
    this.box.style.height = `${data.height}px`;
    const question = (d) => JSON.stringify([d.runs.map((run) => [run.id, run.state]), d.keys, d.x, d.smooth]);
    if (before && (before.x !== data.x || before.keys.join() !== data.keys.join())) {
      if (before.x !== data.x) this.range = null;
      for (const known of this.caches) known.clear();
    }
    for (const known of this.caches) {
      for (const id of known.keys()) if (!data.runs.some((run) => run.id === id)) known.delete(id);
    }
    if (!before || question(before) !== question(data)) this.refresh(0);
    if (this.drawn) this.draw();
  }

  refresh(milliseconds) {
    for (const answer of this.answers.values()) answer.revision = '';
    this.schedule(milliseconds);
  }

  schedule(milliseconds) {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.poll(), milliseconds);
  }

  async poll() {
    if (document.hidden) return;
    const turn = ++this.asked;
    const waits = [];
    try {
      const replies = await Promise.all(this.data.runs.map((run) => this.ask(run)));
      if (this.stopped || turn !== this.asked) return;
      this.failures = 0;
      this.problem = replies.find((reply) => reply.error)?.error ?? '';
      for (const { id, answer, error } of replies) {
        if (answer) this.answers.set(id, answer);
        if (answer && !this.range) this.whole.set(id, answer);
        if (!error) waits.push(this.answers.get(id)?.next_poll_ms ?? Infinity);
      }
      if (!this.drawn || replies.some((reply) => reply.answer)) await this.draw();
    } catch {
      if (this.stopped || turn !== this.asked) return;
      waits.push(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
    }
    this.say();
    const wait = Math.min(...waits);
    if (Number.isFinite(wait)) this.schedule(wait);
  }

  async ask({ id }) {
    const { keys, x, smooth, runs } = this.data;
    const pixels = Math.max(100, Math.round((this.box.clientWidth || 900) / runs.length));
    const query = new URLSearchParams({ keys, x, smooth, pixels, revision: this.answers.get(id)?.revision ?? '' });
    if (this.range) { query.set('from', this.range[0]); query.set('to', this.range[1]); }
    const response = await fetch(`/api/runs/${encodeURIComponent(id)}/series?${query}`, { cache: 'no-store' });
    if (response.status === 304) return { id };
    if (response.status === 401) return { id, error: 'Signed out. Reload the page and sign in.' };
    if (response.status >= 500) throw new Error(response.status);
    const answer = await response.json();
    return response.ok ? { id, answer } : { id, error: `${answer.error.what}. ${answer.error.remedy}` };
  }

  say() {
    const [text, state] = this.failures ? ['reconnecting…', 'reconnecting'] : [this.problem, this.problem && 'problem'];
    this.line.textContent = text;
    this.line.dataset.state = state;
  }

  pressed(event) {
    const [from, to] = (this.plot.layout?.xaxis?.range ?? []).map(Number);
    const part = (to - from) / 4;
    const moves = { ArrowLeft: [-part, -part], ArrowRight: [part, part], '+': [part, -part], '-': [-2 * part, 2 * part] };
    const all = event.key === '0' && { 'xaxis.autorange': true, 'yaxis.autorange': true };
    const move = moves[event.key] && { 'xaxis.range': [from + moves[event.key][0], to + moves[event.key][1]] };
    if (!part || event.target !== this.box || !(all || move)) return;
    event.preventDefault();
    window.Plotly.relayout(this.plot, all || move);
  }

  zoomed(change) {
    let range = this.range;
    if (change['xaxis.autorange']) range = null;
    else if (change['xaxis.range']) range = change['xaxis.range'].map(Number);
    else if ('xaxis.range[0]' in change) range = [0, 1].map((end) => Number(change[`xaxis.range[${end}]`]));
    if (String(range) === String(this.range)) return;
    this.range = range;
    if (!range) {
      for (const [id, answer] of this.whole) this.answers.set(id, answer);
      this.draw();
    }
    this.refresh(120);
  }

  converter(run, key) {
    if (!key.endsWith('_loss') || this.data.unit === 'nats') return (y) => y;
    if (this.data.unit === 'perplexity') return (y) => y === null ? null : Math.exp(y);
    return (y) => y === null ? null : y / (Math.LN2 * run.bytes_per_token);
  }

  theme() {
    const style = getComputedStyle(this.root);
    const [ground, text, line, family] = ['background-color', 'text-color', 'border-color', 'font'].map((name) => style.getPropertyValue(`--st-${name}`).trim());
    return { ground, text, line, family, isDark: parseInt(ground.slice(3, 5), 16) < 110 };
  }

  traces(theme, several) {
    const traces = [], ends = [], marks = [];
    for (const run of this.data.runs) {
      const answer = this.answers.get(run.id);
      for (const series of answer?.series ?? []) {
        const convert = this.converter(run, series.key);
        const exact = this.data.exact.includes(series.key);
        const label = this.data.labels[series.key];
        const name = escaped(several ? `${run.name} · ${label}` : label);
        const common = { x: series.x, connectgaps: exact, meta: { run: run.id, key: series.key } };
        if (series.low) {
          // Gaps are bridged here: a fill between two lines with gaps comes out wrong.
          const there = (list) => list.filter((_, index) => series.low[index] !== null);
          const shade = tinted(run.color, theme.isDark ? 0.4 : 0.25);
          const edge = {
            ...common, x: there(series.x), mode: 'lines', line: { width: 1, color: shade }, hoverinfo: 'skip', showlegend: false,
            meta: { ...common.meta, band: true },
          };
          traces.push({ ...edge, y: there(series.low).map(convert) });
          traces.push({ ...edge, y: there(series.high).map(convert), fill: 'tonexty', fillcolor: shade });
        }
        const y = series.y.map(convert);
        traces.push({
          ...common, y, name, cliponaxis: !exact, mode: exact || y.length === 1 ? 'lines+markers' : 'lines',
          line: { color: run.color, width: exact ? 1.5 : 2, dash: exact ? 'dot' : run.dash },
          marker: { color: exact ? theme.ground : run.color, size: y.length > 80 ? 3 : 7, line: { color: run.color, width: 2 } },
          hovertemplate: `%{y:.4~g}<extra>${name}</extra>`,
        });
        const last = y.findLastIndex((value) => value !== null);
        if (several && series.key === this.data.keys[0] && last >= 0) {
          ends.push({ x: series.x[last], y: y[last], text: escaped(run.name), tint: run.color });
        }
      }
      for (const mark of answer?.marks ?? []) {
        const [symbol, size] = MARKS[mark.kind] ?? ['circle', 6];
        marks.push({ ...mark, symbol, size, color: mark.kind === 'nan' ? '#D55E00' : several ? run.color : theme.text });
      }
    }
    const each = (name) => marks.map((mark) => mark[name]);
    traces.push({
      x: each('x'), y: marks.map(() => 0.015), yaxis: 'y2', mode: 'markers', showlegend: false, meta: { marks: true },
      text: marks.map((mark) => escaped(mark.label)), hovertemplate: '%{text}<extra></extra>',
      marker: { symbol: each('symbol'), size: each('size'), color: each('color'), line: { width: 0 }, opacity: 0.75 },
    });
    return { traces, ends, marks };
  }

  layout(theme, narrow, ends, marks, showlegend) {
    const { x, log, unit, keys, height, guides, x_label: xTitle, y_label: yTitle } = this.data;
    const place = (value) => (log ? Math.log10(value) : value);
    const font = { color: theme.text, size: 11, family: theme.family };
    const axis = { gridcolor: theme.line, linecolor: theme.line, zeroline: false, fixedrange: narrow, automargin: true, tickfont: font };
    const rule = (more, dash, opacity) => ({ type: 'line', layer: 'below', line: { color: theme.text, width: 1, dash }, opacity, ...more });
    const label = (more) => ({ showarrow: false, font, ...more });
    return {
      uirevision: 'glassbox', height, font: { ...font, size: 12 }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      margin: { t: showlegend ? 34 : 12, b: 44, l: narrow ? 40 : 56, r: Math.min(220, Math.max(12, ...ends.map((end) => 24 + 7 * end.text.length))) },
      shapes: [
        ...guides.map(({ value }) => rule({ xref: 'paper', x0: 0, x1: 1, y0: value, y1: value, name: 'guide' }, 'dot', 0.55)),
        ...marks.filter((mark) => mark.kind === 'resumed').map((mark) => rule({ yref: 'paper', y0: 0, y1: 1, x0: mark.x, x1: mark.x }, 'dash', 0.3)),
      ],
      annotations: [
        ...guides.map((guide) => label({
          xref: 'paper', x: 1, xanchor: 'right', y: place(guide.value), yanchor: 'bottom', name: 'guide', text: escaped(guide.label),
          bgcolor: tinted(theme.ground, 0.5),
        })),
        ...this.spread(ends, place).map((end) => label({ ...end, y: place(end.y), xanchor: 'left', xshift: 6, name: 'end', font: { ...font, color: end.tint } })),
      ],
      hovermode: 'x unified', dragmode: narrow ? false : 'zoom', showlegend,
      hoverlabel: { bgcolor: theme.ground, bordercolor: theme.line, font: { color: theme.text, family: theme.family } },
      legend: { orientation: 'h', x: 0, y: 1, yanchor: 'bottom', traceorder: 'normal' },
      xaxis: { ...axis, title: { text: xTitle, standoff: 8 }, showgrid: false, rangemode: 'tozero', uirevision: x, hoverformat: x === 'seconds' ? ',.1f' : ',d', tickformat: x === 'tokens' ? '~s' : ',' },
      yaxis: { ...axis, title: { text: yTitle, standoff: 10 }, type: log ? 'log' : 'linear', uirevision: `${unit} ${log} ${keys[0]}` },
      yaxis2: { overlaying: 'y', range: [0, 1], fixedrange: true, visible: false },
    };
  }

  // Names at the ends of curves, moved apart where they overlap.
  spread(ends, place) {
    const [low, high] = this.plot.layout?.yaxis?.range ?? [0, 0];
    let floor = -Infinity;
    return [...ends].sort((a, b) => a.y - b.y).map((end) => {
      const at = high > low ? ((place(end.y) - low) / (high - low)) * (this.data.height - 80) : Infinity;
      floor = Math.max(at, floor + 14);
      return { ...end, yshift: at === Infinity ? 0 : floor - at };
    });
  }

  async draw() {
    const Plotly = await loadPlotly(this.data.plotly);
    if (this.stopped) return;
    const narrow = window.innerWidth < NARROW;
    const theme = this.theme();
    const { traces, ends, marks } = this.traces(theme, this.data.runs.length > 1);
    const lines = traces.filter((trace) => trace.name);
    const hasPoints = lines.some((trace) => trace.x.length);
    this.showPhase(hasPoints);
    if (!hasPoints && !this.drawn) return;
    const layout = () => this.layout(theme, narrow, narrow ? [] : ends, marks, lines.length > 1 && (narrow || this.data.keys.length > 1 || !ends.length));
    const config = { displaylogo: false, displayModeBar: narrow ? false : 'hover', modeBarButtonsToRemove: ['select2d', 'lasso2d'] };
    await Plotly.react(this.plot, traces, layout(), config);
    if (!this.drawn) {
      this.drawn = true;
      this.plot.on('plotly_relayout', (change) => this.zoomed(change));
      if (ends.length) await Plotly.react(this.plot, traces, layout(), config);
    }
    const words = lines.filter((trace) => trace.y.length).map(({ name, x, y }) => `${name} ${y.at(-1)?.toPrecision(4) ?? 'not a number'} at ${x.at(-1)}`);
    this.box.ariaLabel = `${this.data.y_label} by ${this.data.x_label}: ${words.join(', ')}. Arrow keys move, plus and minus zoom, 0 shows all.`;
  }

  showPhase(hasPoints) {
    const answer = this.answers.values().next().value;
    this.phases.hidden = hasPoints || !answer;
    if (this.phases.hidden) return;
    const { phase, detail, fraction, reason, remedy } = answer.progress ?? {};
    const ended = answer.next_poll_ms === null;
    const now = ended ? reason || 'This run ended before its first point' : phase || WAITING[answer.state] || 'Starting';
    const at = ended ? -1 : PHASES.findIndex((step) => now.startsWith(step));
    const steps = PHASES.map((step, index) => (index < at ? `${step} ✓` : index === at ? `${step} …` : step)).join(' · ');
    const share = typeof fraction === 'number' ? `${Math.round(fraction * 100)} %` : '';
    const texts = [now[0].toUpperCase() + now.slice(1), at < 0 ? '' : steps, ended ? remedy : [detail, share].filter(Boolean).join(' · ')];
    texts.forEach((text, index) => { this.phases.children[index].textContent = text ?? ''; });
  }
}

export default function ({ data, parentElement }) {
  const chart = charts.get(parentElement) ?? new LiveChart(parentElement);
  charts.set(parentElement, chart);
  chart.update(data);
  return () => { chart.stop(); charts.delete(parentElement); };
}
