// The live chart: asks the server for the visible stretch of each run and draws it with Plotly.react into one lasting node.
// Not here: smoothing and thinning (the server), what is shown (the page says so in `data`), what it looks like (live_plot_picture.js).

const charts = new WeakMap();
const RETRY_MS = [1000, 2000, 4000, 8000, 15000];
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
    this.box.style.minHeight = `${data.height}px`;
    const question = (d) => JSON.stringify([d.runs.map((run) => [run.id, run.state, run.scale]), d.keys, d.x, d.smooth]);
    if (before && (before.axis !== data.axis || before.keys.join() !== data.keys.join())) {
      if (before.axis !== data.axis) this.range = null;
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

  async ask({ id, scale }) {
    const { keys, x, smooth, runs } = this.data;
    const pixels = Math.max(100, Math.round((this.box.clientWidth || 900) / runs.length));
    const query = new URLSearchParams({ keys, x, scale, smooth, pixels, revision: this.answers.get(id)?.revision ?? '' });
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

  async draw() {
    const Plotly = await loadPlotly(this.data.plotly);
    if (this.stopped) return;
    const narrow = window.innerWidth < NARROW;
    const theme = themeOf(this.root);
    const picture = pictureOf(this.data, this.answers, theme);
    const hasPoints = picture.named.some((trace) => trace.x.length);
    this.showPhase(hasPoints);
    if (!hasPoints && !this.drawn) return;
    const pickedX = placeOf(this.data.picked, this.answers);
    const layout = () => layoutOf(this.data, theme, narrow, picture, this.plot.layout?.yaxis?.range ?? [0, 0], pickedX);
    const config = this.configFor(Plotly, narrow);
    await Plotly.react(this.plot, picture.traces, layout(), config);
    if (!this.drawn) {
      this.drawn = true;
      this.plot.on('plotly_relayout', (change) => this.zoomed(change));
      this.plot.on('plotly_click', (click) => this.clicked(click));
      if (picture.ends.length) await Plotly.react(this.plot, picture.traces, layout(), config);
    }
    const words = picture.named.filter((trace) => trace.y.length).map(({ name, x, y }) => `${name} ${y.at(-1)?.toPrecision(4) ?? 'not a number'} at ${x.at(-1)}`);
    this.box.ariaLabel = `${this.data.y_label} by ${this.data.x_label}: ${words.join(', ')}. Arrow keys move, plus and minus zoom, 0 shows all.`;
  }

  // Kept: with a new function in its config Plotly builds the chart anew, and the zoom is lost.
  configFor(Plotly, narrow) {
    const filename = this.data.runs.map((run) => run.name).join(' ').replace(/[^\w-]+/g, '-').slice(0, 80);
    const click = (plot) => Plotly.downloadImage(plot, { format: 'svg', filename });
    this.configs ??= {};
    return this.configs[`${narrow} ${filename}`] ??= {
      displaylogo: false, displayModeBar: narrow ? false : 'hover', modeBarButtonsToRemove: ['select2d', 'lasso2d'],
      modeBarButtonsToAdd: [{ name: 'svg', title: 'Download plot as an SVG', icon: Plotly.Icons.disk, click }],
      toImageButtonOptions: { filename, scale: 2 }, showSendToCloud: false, plotlyServerURL: '', // "Share chart" would send the curve away
    };
  }

  // All curves answer to a click: what lies nearest to the pointer is meant.
  clicked({ points, event }) {
    const left = this.plot.getBoundingClientRect().left;
    const distance = ({ xaxis, x }) => Math.abs(left + xaxis._offset + xaxis.d2p(x) - event.clientX);
    const [point] = points.filter(({ customdata }) => Number.isFinite(customdata)).sort((a, b) => distance(a) - distance(b));
    if (this.data.picks && point) this.tellPicked(point.customdata);
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

export default function ({ data, parentElement, setTriggerValue }) {
  const chart = charts.get(parentElement) ?? new LiveChart(parentElement);
  charts.set(parentElement, chart);
  chart.tellPicked = (step) => setTriggerValue('picked', step);
  chart.update(data);
  return () => { chart.stop(); charts.delete(parentElement); };
}
