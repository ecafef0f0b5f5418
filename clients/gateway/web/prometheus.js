// Reads the Prometheus text format (version 0.0.4), and makes rates and quantiles of what it says.

const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?/y;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{.*\})?\s+(\S+)(?:\s+-?\d+)?\s*$/s;
const ESCAPES = { n: '\n', '\\': '\\', '"': '"' };

const unescape = (text) => text.replace(/\\(.)/g, (whole, letter) => ESCAPES[letter] ?? whole);

function numberOf(text) {
  if (text === '+Inf' || text === 'Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  return text === 'NaN' ? NaN : Number(text);
}

function labelsOf(text) {
  const labels = {};
  if (!text) return labels;
  const inside = text.slice(1, -1);
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inside.length) {
    const match = LABEL.exec(inside);
    if (!match) throw new SyntaxError(`labels that cannot be read: ${text}`);
    labels[match[1]] = unescape(match[2]);
  }
  return labels;
}

// Samples of a histogram or a summary belong to the family without the ending.
function familyName(families, name) {
  if (families.has(name)) return name;
  const base = name.replace(/_(?:bucket|sum|count)$/, '');
  return families.has(base) ? base : name;
}

// A Map from the family's name to { name, type, help, samples: [{ name, labels, value }] }, in the order
// of the text. Throws a SyntaxError that shows the line it cannot read.
export function parseMetrics(text) {
  const families = new Map();
  const family = (name) => {
    if (!families.has(name)) families.set(name, { name, type: 'untyped', help: '', samples: [] });
    return families.get(name);
  };
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const comment = /^#\s*(HELP|TYPE)\s+(\S+)\s*(.*)$/.exec(line);
    if (comment?.[1] === 'HELP') family(comment[2]).help = unescape(comment[3]);
    else if (comment) family(comment[2]).type = comment[3].trim();
    else if (!line.startsWith('#')) {
      const match = SAMPLE.exec(line);
      if (!match || (match[3] !== 'NaN' && Number.isNaN(numberOf(match[3])))) {
        throw new SyntaxError(`a line of the metrics that cannot be read: ${line.slice(0, 120)}`);
      }
      const [, name, labels, value] = match;
      family(familyName(families, name)).samples.push({ name, labels: labelsOf(labels), value: numberOf(value) });
    }
  }
  return families;
}

// Counters begin at 0 again when their process does; then all of it is new.
export const increase = (now, before) => (before === undefined || Number.isNaN(before) ? NaN
  : now >= before ? now - before : now);

// The q-quantile of a histogram, as Prometheus reckons it: linear within a bucket. `buckets` are
// [{ upTo, count }] with cumulative counts. NaN when nothing was counted.
export function quantile(q, buckets) {
  const sorted = [...buckets].sort((one, other) => one.upTo - other.upTo);
  const total = sorted.length > 0 ? sorted[sorted.length - 1].count : 0;
  if (!(total > 0)) return NaN;
  const rank = q * total;
  const at = sorted.findIndex((bucket) => bucket.count >= rank);
  const below = at > 0 ? sorted[at - 1] : { upTo: 0, count: 0 };
  const bucket = sorted[at];
  if (bucket.upTo === Infinity) return below.upTo;
  const share = bucket.count === below.count ? 1 : (rank - below.count) / (bucket.count - below.count);
  return below.upTo + (bucket.upTo - below.upTo) * share;
}
