// Small line charts in SVG, each with its title, its unit, and a legend that says what is drawn now.
// The legend is text; the drawing has a label that says the same to those who do not see it.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 400;
const HEIGHT = 130;
const LEFT = 46;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;

function drawn(tag, attributes = {}, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function written(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The next of 1, 2, 5, 10, 20, 50, … that is not below.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = [1, 2, 5, 10].find((candidate) => value <= candidate * power * 1.0000001);
  return digit * power;
}

export class Chart {
  element = written('figure', 'chart');
  #title;
  #format;
  #longest;
  #span = 0;
  #legend = written('ul', 'legend');
  #svg = drawn('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' });

  // `format(value)` gives a value with its unit; `longestMs` is how far back it shows at most.
  constructor(title, format, longestMs) {
    this.#title = title;
    this.#format = format;
    this.#longest = longestMs;
    const caption = written('figcaption');
    caption.append(written('h3', '', title), this.#legend);
    this.element.append(caption, this.#svg);
  }

  // `series` are [{ name, points: [{ at, value }] }], oldest first; a value that is NaN is a hole.
  show(series, now) {
    this.#span = this.#wideEnough(series, now);
    const finite = series.flatMap(({ points }) => points.map(({ value }) => value).filter(Number.isFinite));
    const top = roundUp(Math.max(0, ...finite));
    this.#showLegend(series);
    this.#svg.setAttribute('aria-label', this.#described(series));
    this.#svg.replaceChildren(...this.#grid(top), ...series.map((one, i) => this.#line(one, i, top, now)));
  }

  // One minute at first, then two, then all.
  #wideEnough(series, now) {
    const oldest = Math.min(now, ...series.map(({ points }) => points[0]?.at ?? now));
    return [60000, 120000].find((span) => now - oldest <= span) ?? this.#longest;
  }

  #showLegend(series) {
    const items = series.map(({ name, points }, i) => {
      const item = written('li');
      const key = written('span', `key series-${i % 6}`);
      key.setAttribute('aria-hidden', 'true');
      item.append(key, written('span', 'legend-name', name), written('strong', '', this.#last(points)));
      return item;
    });
    this.#legend.replaceChildren(...items);
  }

  #last(points) {
    const value = points.length > 0 ? points[points.length - 1].value : NaN;
    return Number.isFinite(value) ? this.#format(value) : '–';
  }

  #described(series) {
    const parts = series.map(({ name, points }) => {
      const most = Math.max(...points.map(({ value }) => value).filter(Number.isFinite));
      const peak = Number.isFinite(most) ? `, at most ${this.#format(most)}` : '';
      return `${name} ${this.#last(points)} now${peak}`;
    });
    return `${this.#title}, since ${Math.round(this.#span / 60000)} min ago: ${parts.join('; ') || 'nothing yet'}`;
  }

  #x(at, now) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (1 - (now - at) / this.#span);
  }

  #y(value, top) {
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top);
  }

  #grid(top) {
    const parts = [];
    for (const value of [0, top / 2, top]) {
      const y = this.#y(value, top);
      parts.push(drawn('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
      parts.push(drawn('text', { x: LEFT - 6, y: y + 3.5, 'text-anchor': 'end' }, this.#format(value)));
    }
    const y = HEIGHT - 5;
    const minutes = Math.round(this.#span / 60000);
    parts.push(drawn('text', { x: LEFT, y }, `${minutes} min ago`));
    parts.push(drawn('text', { x: WIDTH - RIGHT, y, 'text-anchor': 'end' }, 'now'));
    return parts;
  }

  #line({ points }, i, top, now) {
    let path = '';
    let pen = 'M';
    for (const { at, value } of points) {
      if (!Number.isFinite(value) || now - at > this.#span) {
        pen = 'M';
      } else {
        path += `${pen}${this.#x(at, now).toFixed(1)} ${this.#y(value, top).toFixed(1)}`;
        pen = 'L';
      }
    }
    return drawn('path', { class: `line series-${i % 6}`, d: path || 'M0 0' });
  }
}
