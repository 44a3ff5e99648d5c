// Text as tokens: tinted, focusable, each telling what else could have stood there; still, or arriving while it is written.
// Every character of a model or a text enters the page through textContent, so none of it is ever markup.
// Not here: how text is cut or sampled (the server does both).

const views = new WeakMap();
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const RUNNING_MS = 120;
const TINTS = 8;
// 7 bits of surprise, a chance of 1 in 128, is as red as it gets.
const DEEPEST_BITS = 7;
const MARKS = { ' ': 'space', '\n': 'newline', '\t': 'tab', '\r': 'return' };
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]/;

function element(tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}

// The real characters stay in a text, so that it can be copied; styles draw the signs for white space beside them.
// On a single line (`isOneLine`) the sign stands alone.
function spell(node, text, isOneLine = false) {
  let plain = '';
  const flush = () => { if (plain) node.append(plain); plain = ''; };
  for (const character of text) {
    const mark = MARKS[character] ?? (HIDDEN.test(character) ? 'hidden' : '');
    if (!mark) { plain += character; continue; }
    flush();
    const sign = element('span', `gt-${mark}`, isOneLine && mark !== 'space' ? '' : character);
    if (mark === 'hidden') sign.dataset.code = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
    node.append(sign);
  }
  flush();
}

const percent = (p) => (p >= 0.9995 ? '100 %' : p >= 0.1 ? `${(100 * p).toFixed(0)} %` : p >= 0.001 ? `${(100 * p).toFixed(1)} %` : '< 0.1 %');

function spoken(text) {
  const words = { ' ': 'space', '\n': 'line end', '\t': 'tab' };
  return words[text] ?? (text.trim() || 'blank');
}

class TokenView {
  constructor(root) {
    for (const name of ['prompt', 'text', 'card', 'line', 'stop', 'legend', 'note', 'filled', 'whole']) this[name] = root.querySelector(`.gt-${name}`);
    this.root = root;
    this.tokens = [];
    this.failures = 0;
    root.onpointerover = (event) => event.pointerType !== 'touch' && this.reach(event.target);
    root.onpointerleave = () => this.hide();
    root.onclick = (event) => this.press(event.target) || this.reach(event.target) || this.card.contains(event.target) || this.hide();
    // These two have no property to set; they end with the view.
    this.ended = new AbortController();
    root.addEventListener('focusin', (event) => this.reach(event.target), { signal: this.ended.signal });
    root.addEventListener('focusout', (event) => root.contains(event.relatedTarget) || this.hide(), { signal: this.ended.signal });
    root.onkeydown = (event) => this.pressed(event);
    this.stop.onclick = () => this.end();
  }

  update(data) {
    const content = JSON.stringify(data);
    if (content === this.content) return;
    this.content = content;
    this.data = data;
    clearTimeout(this.timer);
    this.turn = (this.turn ?? 0) + 1;
    this.hide();
    this.tokens = [];
    this.text.replaceChildren();
    this.prompt.replaceChildren();
    spell(this.prompt, data.prompt ?? '');
    this.tell('', '');
    this.root.dataset.mode = data.mode;
    this.root.toggleAttribute('data-presses', Boolean(data.presses));
    this.startWhole();
    this.root.dataset.state = data.generation ? 'running' : '';
    this.stop.hidden = !data.generation;
    this.stop.disabled = false;
    this.legend.hidden = data.mode !== 'probability' || !(data.generation || data.tokens.some((token) => token.p !== undefined));
    [this.legend.firstChild.textContent, this.legend.lastChild.textContent] = data.presses ? ['sure', 'unsure'] : ['expected', 'surprising'];
    if (data.generation) this.poll();
    else this.add(data.tokens);
  }

  close() {
    this.turn += 1;
    this.ended.abort();
    clearTimeout(this.timer);
  }

  add(tokens) {
    const fragment = document.createDocumentFragment();
    for (const token of tokens) {
      const index = this.tokens.push(token) - 1;
      const node = element('span', 'gt-token');
      node.dataset.index = index;
      node.tabIndex = index ? -1 : 0;
      node.setAttribute('role', 'button');
      if (token.special) node.classList.add('gt-special');
      if (token.gap) node.classList.add('gt-gap');
      if (token.text) spell(node, token.text);
      else node.append(element('span', 'gt-bytes', token.bytes || '…'));
      if (this.data.mode === 'ids') {
        const isKnown = token.id !== undefined;
        if (isKnown) node.dataset.tint = token.id % TINTS;
        else node.classList.add('gt-unknown');
        node.ariaLabel = `${spoken(token.text)}, ${isKnown ? `number ${token.id}` : 'unknown'}`;
      } else if (typeof token.p === 'number') {
        const bits = token.p > 0 ? -Math.log2(token.p) : Infinity;
        node.style.setProperty('--gt-depth', Math.min(1, bits / DEEPEST_BITS).toFixed(3));
        node.ariaLabel = `${spoken(token.text)}, ${percent(token.p)}`;
        if (this.data.presses) node.classList.add('gt-place');
      } else if (this.data.presses) node.ariaLabel = `hide ${spoken(token.text)}`;
      fragment.append(node);
      this.addToWhole(token, node);
    }
    this.text.append(fragment);
  }

  // The source of an answer again; what the answer says of a gap goes there, once.
  startWhole() {
    const stretches = this.data.source ?? [];
    this.filled.hidden = stretches.length < 2;
    this.gap = null;
    this.whole.replaceChildren();
    this.places = stretches.slice(1).map((_, index) => element('span', 'gt-empty', `⟨gap ${index + 1}⟩`));
    stretches.forEach((text, index) => this.whole.append(text, ...this.places.slice(index, index + 1)));
  }

  addToWhole(token, node) {
    if (token.gap) {
      const place = this.places[token.gap - 1];
      this.gap = place?.className === 'gt-empty' ? place : null;
      if (!this.gap) return;
      this.gap.className = 'gt-place';
      this.gap.replaceChildren();
    } else if (this.gap) {
      const before = this.gap.previousSibling;
      if (!this.gap.firstChild && token.text.startsWith(' ')) before.textContent = before.textContent.replace(/ $/, '');
      const copy = node.cloneNode(true);
      copy.tabIndex = -1;
      this.gap.append(copy);
    }
  }

  reach(target) {
    const node = target instanceof Element ? target.closest('.gt-token') : null;
    if (node && this.root.contains(node)) this.show(node);
    return Boolean(node);
  }

  // True when a token that can be hidden was asked to be.
  press(target) {
    const node = this.data.presses && target instanceof Element ? target.closest('.gt-token') : null;
    const token = node && this.tokens[node.dataset.index];
    if (!token || token.p !== undefined || !token.text.trim()) return false;
    this.hide();
    this.tellPressed(Number(node.dataset.index));
    return true;
  }

  pressed(event) {
    if (event.key === 'Escape') return this.hide();
    if ((event.key === 'Enter' || event.key === ' ') && this.press(event.target)) return event.preventDefault();
    const node = event.target.closest?.('.gt-token');
    const at = node ? Number(node.dataset.index) : -1;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.tokens.length - 1 }[event.key];
    const next = node && to !== undefined && this.text.children[to];
    if (!next) return;
    event.preventDefault();
    node.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  hide() {
    this.shown?.classList.remove('gt-shown');
    this.shown = null;
    this.card.hidden = true;
  }

  show(node) {
    if (this.shown === node) return;
    this.hide();
    this.shown = node;
    node.classList.add('gt-shown');
    const token = this.tokens[node.dataset.index];
    const head = element('div', 'gt-head');
    const name = element('span', 'gt-name');
    if (token.text) spell(name, token.text, true);
    else name.textContent = token.bytes || 'no character of its own';
    head.append(name, element('span', 'gt-facts', this.facts(token)));
    const rows = (token.alternatives ?? []).map((other) => this.row(other, token));
    this.card.replaceChildren(head, ...rows);
    this.card.hidden = false;
    this.place(node);
  }

  facts(token) {
    const facts = [];
    if (typeof token.p === 'number') facts.push(percent(token.p));
    if (token.id !== undefined) facts.push(`number ${token.id}`);
    else if (this.data.mode === 'ids') facts.push('unknown');
    if (token.bytes) facts.push(`bytes ${token.bytes}`);
    if (token.special) facts.push('special');
    if (this.data.presses && token.p === undefined && token.text.trim()) facts.push('click to hide it');
    return facts.join(' · ');
  }

  row(other, token) {
    const isIt = other.id === undefined ? other.text === token.text : other.id === token.id;
    const row = element('div', isIt ? 'gt-row gt-chosen' : 'gt-row');
    const name = element('span', 'gt-name');
    spell(name, other.text || '…', true);
    const track = element('span', 'gt-track');
    const bar = element('span', 'gt-bar');
    bar.style.width = `${Math.max(0.5, 100 * other.p).toFixed(1)}%`;
    track.append(bar);
    row.append(name, track, element('span', 'gt-share', percent(other.p)));
    return row;
  }

  place(node) {
    const [box, at] = [this.root.getBoundingClientRect(), node.getClientRects()[0] ?? node.getBoundingClientRect()];
    const left = Math.max(0, Math.min(at.left - box.left, box.width - this.card.offsetWidth));
    const below = at.bottom - box.top + 6;
    const above = at.top - box.top - this.card.offsetHeight - 6;
    const fits = at.bottom + this.card.offsetHeight + 12 < window.innerHeight || at.top - this.card.offsetHeight < 0;
    this.card.style.transform = `translate(${left}px, ${fits ? below : above}px)`;
  }

  async poll() {
    const turn = this.turn;
    let wait = RUNNING_MS;
    try {
      const id = encodeURIComponent(this.data.generation);
      const response = await fetch(`/api/generations/${id}?after=${this.tokens.length}`, { cache: 'no-store' });
      if (response.status >= 500) throw new Error(response.status);
      const answer = response.status === 401 ? { error: { what: 'Signed out', remedy: 'Reload the page and sign in' } } : await response.json();
      if (turn !== this.turn) return;
      this.failures = 0;
      if (!response.ok) return this.finish('failed', `${answer.error.what}. ${answer.error.remedy}.`);
      this.add(answer.tokens);
      this.tell(this.figures(answer), '');
      if (answer.state !== 'running') return this.finish(answer.state, answer.error || '');
      if (!answer.tokens.length) wait = 2 * RUNNING_MS;
    } catch {
      if (turn !== this.turn) return;
      wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
      this.tell(this.line.textContent, 'reconnecting…');
    }
    this.timer = setTimeout(() => this.poll(), document.hidden ? 1000 : wait);
  }

  figures(answer) {
    const parts = [`${answer.prompt_tokens} tokens of ${this.data.source ? 'source' : 'prompt'}`, `${answer.new_tokens} new`];
    if (answer.tokens_per_second) parts.push(`${Number(answer.tokens_per_second.toPrecision(3)).toLocaleString('en')} tokens/s`);
    if (answer.first_token_seconds) parts.push(`first after ${Number(answer.first_token_seconds.toPrecision(2))} s`);
    if (answer.seed !== null && answer.seed !== undefined) parts.push(`seed ${answer.seed}`);
    if (typeof answer.step === 'number') parts.push(`${this.data.step} ${answer.step.toLocaleString('en')}`);
    const ends = { length: 'ended at the length asked for', context: 'ended where the context does', stop: 'ended at a stop string', eos: 'ended by the model', cancelled: 'stopped' };
    if (answer.state !== 'running' && answer.finish) parts.push(ends[answer.finish] ?? answer.finish);
    if (answer.truncated) parts.push('older text left the context');
    return parts.join(' · ');
  }

  finish(state, problem) {
    this.root.dataset.state = state;
    this.stop.hidden = true;
    this.tell(this.line.textContent, problem);
  }

  tell(line, note) {
    this.line.textContent = line;
    this.note.textContent = note;
  }

  async end() {
    this.stop.disabled = true;
    const address = `/api/generations/${encodeURIComponent(this.data.generation)}/stop`;
    const response = await fetch(address, { method: 'POST' }).catch(() => null);
    if (response?.ok) return;
    this.stop.disabled = false;
    const answer = await response?.json().catch(() => null);
    this.tell(this.line.textContent, answer?.error ? `${answer.error.what}. ${answer.error.remedy}.` : 'The server did not answer. Try again.');
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const view = views.get(parentElement) ?? new TokenView(parentElement.querySelector('.gt-root'));
  views.set(parentElement, view);
  view.tellPressed = (index) => setTriggerValue('pressed', index);
  view.update(data);
  return () => { view.close(); views.delete(parentElement); };
}
