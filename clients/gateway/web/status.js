// The page at /status: reads /metrics every two seconds and draws the last five minutes of it.
//
// What is drawn, and out of which figures, is in the two tables GATEWAY and SERVICE. A figure that is not there
// makes a chart with nothing in it, never an error: the table of all figures shows what there is.

import { Chart } from './charts.js';
import { access } from './memory.js';
import { increase, parseMetrics, quantile } from './prometheus.js';

const PERIOD_MS = 2000;
const SPAN_MS = 5 * 60000;
const PATIENCE_MS = 8000;

const byId = (id) => document.getElementById(id);

/* Values with their units. */

const UNITS = ['', 'k', 'M', 'G', 'T'];

function short(value) {
  let unit = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const digits = scaled === 0 || Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  return `${Number(scaled.toFixed(digits)).toLocaleString()}${UNITS[unit] && ` ${UNITS[unit]}`}`;
}

const perSecond = (value) => (value === 0 ? '0' : `${short(value)}/s`);
const whole = (value) => (value < 10000 ? Math.round(value).toLocaleString() : short(value));
const bytes = (value) => (value < 1000 ? `${short(value)} B` : `${short(value)}B`);

const percent = (value) => `${short(value * 100)} %`;

function duration(seconds) {
  if (seconds === 0) return '0 s';
  if (seconds < 0.001) return `${short(seconds * 1e6)} µs`;
  return seconds < 1 ? `${short(seconds * 1e3)} ms` : `${short(seconds)} s`;
}

function age(seconds) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = units.findIndex(([size]) => seconds >= size);
  if (at < 0) return '0 s';
  const [size, unit] = units[at];
  const rest = units[at + 1] && Math.floor((seconds % size) / units[at + 1][0]);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${units[at + 1][1]}` : ''}`;
}

/* Reading figures. A reading has the figures of now and of before, and the seconds between. */

const matches = (labels, wanted) => Object.entries(wanted).every(([name, value]) => labels[name] === value);

function samplesOf(families, name, wanted) {
  const found = [];
  for (const family of [name, name.replace(/_(?:bucket|sum|count)$/, '')]) {
    for (const sample of families?.get(family)?.samples ?? []) {
      if (sample.name === name && matches(sample.labels, wanted)) found.push(sample);
    }
    if (found.length > 0) break;
  }
  return found;
}

const keyOf = (labels) => JSON.stringify(Object.entries(labels).sort());

class Reading {
  constructor(families, before, seconds) {
    Object.assign(this, { families, before, seconds });
  }

  // The sum of a figure over all its labels; NaN when there is none.
  value(name, wanted = {}) {
    const found = samplesOf(this.families, name, wanted);
    return found.length > 0 ? found.reduce((sum, sample) => sum + sample.value, 0) : NaN;
  }

  // How much each sample of a counter grew.
  #growth(name, wanted) {
    const before = new Map(samplesOf(this.before, name, wanted).map((sample) => [keyOf(sample.labels), sample.value]));
    return samplesOf(this.families, name, wanted).map(({ labels, value }) => {
      // A sample that was not there before began at 0, if anything was there before.
      const then = before.get(keyOf(labels)) ?? (this.before ? 0 : undefined);
      return { labels, growth: increase(value, then) };
    });
  }

  growth(name, wanted = {}) {
    const grown = this.#growth(name, wanted);
    return grown.length > 0 ? grown.reduce((sum, { growth }) => sum + growth, 0) : NaN;
  }

  rate(name, wanted = {}) {
    return this.growth(name, wanted) / this.seconds;
  }

  // { the label's value: what it comes to }, for rates and for values as they are.
  rates(name, label, wanted = {}) {
    const result = {};
    for (const { labels, growth } of this.#growth(name, wanted)) {
      const key = labels[label] ?? '';
      result[key] = (result[key] ?? 0) + growth / this.seconds;
    }
    return result;
  }

  values(name, label, wanted = {}) {
    const result = {};
    for (const { labels, value } of samplesOf(this.families, name, wanted)) {
      const key = labels[label] ?? '';
      result[key] = (result[key] ?? 0) + value;
    }
    return result;
  }

  // Of what was counted since before.
  quantiles(name, wanted = {}) {
    const counts = new Map();
    for (const { labels, growth } of this.#growth(`${name}_bucket`, wanted)) {
      const upTo = labels.le === '+Inf' ? Infinity : Number(labels.le);
      counts.set(upTo, (counts.get(upTo) ?? 0) + growth);
    }
    const buckets = [...counts].map(([upTo, count]) => ({ upTo, count }));
    return { median: quantile(0.5, buckets), p99: quantile(0.99, buckets) };
  }

  // The mean of `sum` for each of `count`, for every value of a label.
  means(sum, count, label, wanted = {}) {
    const sums = this.rates(sum, label, wanted);
    const counts = this.rates(count, label, wanted);
    return Object.fromEntries(Object.keys(counts).map((key) => [key, sums[key] / counts[key]]));
  }

  labelValues(name, label) {
    return [...new Set(samplesOf(this.families, name, {}).map(({ labels }) => labels[label]))].filter(Boolean);
  }
}

/* What is drawn: a title, how values are written, and a reading's series. */

const GATEWAY = [
  ['Requests', perSecond, (r) => r.rates('chat_gateway_http_requests_total', 'route')],
  ['Time to answer', duration, (r) => r.quantiles('chat_gateway_http_request_duration_seconds')],
  ['Refusals and failures', perSecond, (r) => r.rates('chat_gateway_http_errors_total', 'code')],
  ['Connections', whole, (r) => r.values('chat_gateway_connections', 'kind')],
  ['Memory', bytes, (r) => ({ resident: r.value('process_resident_memory_bytes') })],
  ['Processor', percent, (r) => ({ 'of one core': r.rate('process_cpu_seconds_total') })],
];

const SERVICE_KEY = ['chatd_up', 'id'];
const SERVICE = [
  ['Requests', perSecond, (r, of) => r.rates('chatd_requests_total', 'method', of)],
  ['Mean time of a request', duration, (r, of) => r.means('chatd_processing_seconds_total', 'chatd_requests_total', 'method', of)],
  ['Refusals', perSecond, (r, of) => r.rates('chatd_errors_total', 'method', of)],
  ['Mean time of a sync to disk', duration, (r, of) => ({
    'journal batch': r.growth('chatd_journal_sync_seconds_total', of) / r.growth('chatd_journal_batches_total', of),
  })],
  ['Lag: durable, not in the database yet', whole, (r, of) => ({
    commands: r.value('chatd_last_lsn', of) - r.value('chatd_settled_lsn', of),
  })],
  ['Under way', whole, (r, of) => ({
    requests: r.value('chatd_requests_in_flight', of),
    'commands in a batch': r.growth('chatd_journal_commands_total', of) / r.growth('chatd_journal_batches_total', of),
  })],
];

const known = (format, value) => (Number.isFinite(value) ? format(value) : '–');

// The tiles at the top.
function glance(r) {
  return {
    'requests a second': known(short, r.rate('chat_gateway_http_requests_total')),
    connections: known(whole, r.value('chat_gateway_connections')),
    'chats followed': known(whole, r.value('chat_gateway_followed_chats')),
    'chatd answering': known(whole, r.labelValues(...SERVICE_KEY).length),
  };
}

// Beside the name of a chatd.
function serviceFacts(r, of) {
  const [info] = samplesOf(r.families, 'chatd_info', of);
  const started = r.value('chatd_start_time_seconds', of);
  return {
    up: known(age, Date.now() / 1000 - started),
    version: info?.labels.version || '–',
    'memory for messages': known(bytes, r.value('chatd_tail_bytes', of)),
    journal: known(bytes, r.value('chatd_journal_bytes', of)),
    ...(r.value('chatd_disk_full', of) > 0 && { disk: 'full: writes are refused' }),
  };
}

class Panels {
  #panels;

  constructor(place, table) {
    this.#panels = table.map(([title, format, read]) => {
      const chart = new Chart(title, format, SPAN_MS);
      place.append(chart.element);
      return { chart, read, series: new Map() };
    });
  }

  add(reading, now, of) {
    for (const { chart, read, series } of this.#panels) {
      const values = reading ? read(reading, of) : {};
      for (const name of Object.keys(values)) if (!series.has(name)) series.set(name, []);
      for (const [name, points] of series) {
        points.push({ at: now, value: values[name] ?? NaN });
        while (points[0].at < now - SPAN_MS) points.shift();
      }
      chart.show([...series].map(([name, points]) => ({ name, points })), now);
    }
  }
}

function written(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function showFacts(list, facts) {
  list.replaceChildren(...Object.entries(facts).map(([term, fact]) => {
    const pair = written('div');
    pair.append(written('dt', '', term), written('dd', '', fact));
    return pair;
  }));
}

/* A section for each chatd, as they come. */

class Service {
  element = written('section');
  #facts = written('dl', 'facts');
  #panels;
  #of;

  constructor(id) {
    this.#of = { [SERVICE_KEY[1]]: id };
    const title = written('h2', '', `chatd ${id.slice(0, 8)}`);
    title.id = `service-${id}`;
    title.title = id;
    this.element.setAttribute('aria-labelledby', title.id);
    const charts = written('div', 'charts');
    this.element.append(title, this.#facts, charts);
    this.#panels = new Panels(charts, SERVICE);
  }

  add(reading, now) {
    this.#panels.add(reading, now, this.#of);
    if (reading) showFacts(this.#facts, serviceFacts(reading, this.#of));
  }
}

const gateway = new Panels(byId('gateway-charts'), GATEWAY);
const services = new Map();

function showServices(reading, now) {
  const ids = reading.labelValues(...SERVICE_KEY);
  for (const [id, service] of services) {
    if (ids.includes(id)) continue;
    service.element.remove();
    services.delete(id);
  }
  for (const id of ids) {
    if (!services.has(id)) {
      services.set(id, new Service(id));
      byId('services').append(services.get(id).element);
    }
    services.get(id).add(reading, now);
  }
  byId('no-services').hidden = ids.length > 0;
}

// A hole in every line, and no figure that looks like one of now.
function showNothing(now) {
  for (const tile of byId('tiles').querySelectorAll('dd')) tile.textContent = '–';
  gateway.add(null, now, {});
  for (const service of services.values()) service.add(null, now);
}

function showFigures(families) {
  if (!byId('all').open) return;
  const wanted = byId('filter').value.trim().toLowerCase();
  const rows = [];
  for (const { name, help, samples } of families.values()) {
    if (!`${name} ${help}`.toLowerCase().includes(wanted)) continue;
    samples.forEach((sample, i) => {
      const row = written('tr');
      const head = written('th', '', sample.name);
      head.scope = 'row';
      if (i === 0 && help) head.append(written('small', '', help));
      const labels = Object.entries(sample.labels).map(([label, value]) => `${label}=${value}`).join(' ');
      const value = Number.isInteger(sample.value) ? sample.value.toLocaleString() : String(sample.value);
      row.append(head, written('td', '', labels), written('td', 'number', value));
      rows.push(row);
    });
  }
  byId('figures').replaceChildren(...rows);
}

/* Round and round. */

let before = null;
let readAt = 0;
let lastGoodAt = 0;

async function readMetrics() {
  const { token } = access.get();
  const response = await fetch('metrics', {
    cache: 'no-store',
    credentials: 'omit',
    headers: token ? { authorization: `Bearer ${token}` } : {},
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (response.ok) return parseMetrics(await response.text());
  byId('token-form').hidden = response.status !== 401 && response.status !== 403;
  const said = await response.json().catch(() => ({}));
  throw new Error(said.detail || `The gateway answers ${response.status} ${response.statusText}.`);
}

function showTrouble(text) {
  byId('trouble').hidden = text === '';
  if (byId('trouble').textContent !== text) byId('trouble').textContent = text;
}

function showFresh() {
  const seconds = Math.round((Date.now() - lastGoodAt) / 1000);
  const stale = seconds > 3 * PERIOD_MS / 1000;
  byId('fresh').dataset.state = lastGoodAt === 0 ? 'waiting' : stale ? 'stale' : 'fresh';
  if (lastGoodAt > 0) byId('fresh-text').textContent = stale ? `No news for ${age(seconds)}` : 'Live';
}

async function round() {
  try {
    const families = await readMetrics();
    const now = Date.now();
    const reading = new Reading(families, before, (now - readAt) / 1000);
    before = families;
    readAt = now;
    lastGoodAt = now;
    showTrouble('');
    byId('token-form').hidden = true;
    showFacts(byId('tiles'), glance(reading));
    gateway.add(reading, now, {});
    showServices(reading, now);
    showFigures(families);
  } catch (error) {
    const unreachable = error instanceof TypeError || error.name === 'TimeoutError';
    showTrouble(unreachable ? 'The gateway does not answer.' : error.message);
    showNothing(Date.now());
  }
  showFresh();
  setTimeout(round, PERIOD_MS);
}

byId('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  access.set({ ...access.get(), token: byId('token').value.trim() });
});
byId('filter').addEventListener('input', () => before && showFigures(before));
byId('all').addEventListener('toggle', () => before && showFigures(before));
setInterval(showFresh, 1000);
round();
