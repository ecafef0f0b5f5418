'use strict';
// What "make bench" runs: the figures that the project aims at, each measured as a ratio within one
// run, beside the aim. It is no test: a figure that misses its aim is shown as such, and that is all.
//
//   node clients/bench/figures.js [--short | --brief] [ROW...]     --list shows the rows
//
// Each row has a broker and a chatd of its own, on loopback, with data in a directory of its own
// below CHAT_BENCH_DIRECTORY (or build/), so that the disk is the one to be measured. CHAT_BIN is
// where the programs are. --short takes seconds for each row instead of a minute or more, with
// fewer pairs and, in the rows with millions, with tenths of them; its figures are for a first look.
// --brief has all the pairs and all the millions, and two seconds where it would be six.

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { execFile, spawn } = require('node:child_process');
const { promisify } = require('node:util');

const run = promisify(execFile);
const ROOT = path.resolve(__dirname, '..', '..');
const BIN = path.resolve(ROOT, process.env.CHAT_BIN || 'build/bin');
const BASE = path.resolve(ROOT, process.env.CHAT_BENCH_DIRECTORY || 'build');
const PATIENCE_MS = 120000;
const MIB = 1024 * 1024;

const words = process.argv.slice(2);
const short = words.includes('--short');
const brief = words.includes('--brief');
const millions = short ? 0.1 : 1;
const pairs = short ? 1 : 5;
const durationMs = short ? 1000 : brief ? 2000 : 6000;
const warmupMs = short ? 300 : brief ? 500 : 2000;
const pauseMs = short ? 200 : brief ? 1000 : 3000;

// ---- Processes ----

const children = new Set();
const directories = new Set();
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CHAT_')));
environment.PATH = `${environment.PATH}:/usr/local/sbin:/usr/sbin:/sbin`;

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function start(command, args) {
  const child = spawn(command, args, { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  children.add(child);
  child.ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('exit', (code, signal) => resolve(`${code ?? signal}`));
  }).finally(() => children.delete(child));
  child.errors = readline.createInterface({ input: child.stderr });
  return child;
}

async function end(child, signal = 'SIGTERM') {
  child.kill(signal);
  return child.ended;
}

// Waits for a line on standard error that holds `text`.
function lineOf(child, text) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no "${text}" in time`)), PATIENCE_MS);
    const seen = [];
    child.errors.on('line', (line) => {
      if (seen.length < 20) seen.push(line);
      if (!line.includes(text)) return;
      clearTimeout(timer);
      resolve(line);
    });
    child.ended.then((how) => reject(new Error(`ended with ${how}:\n${seen.join('\n')}`)));
  });
}

// A broker and a chatd, for one row.
class Stand {
  constructor() {
    fs.mkdirSync(BASE, { recursive: true });
    this.directory = fs.mkdtempSync(path.join(BASE, 'figures-'));
    directories.add(this.directory);
    this.data = path.join(this.directory, 'data');
  }

  static async start(args = []) {
    const stand = new Stand();
    stand.broker = start('nats-server', ['-a', '127.0.0.1', '-p', '-1', '--ports_file_dir', stand.directory]);
    stand.url = await stand.#brokerUrl();
    await stand.startChatd(args);
    return stand;
  }

  async #brokerUrl() {
    const file = path.join(this.directory, `nats-server_${this.broker.pid}.ports`);
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(20)) {
      try {
        return JSON.parse(fs.readFileSync(file, 'utf8')).nats[0];
      } catch { /* not yet, or not all of it */ }
    }
    throw new Error('the broker does not start');
  }

  // Resolves to how many milliseconds it took to be ready; `replayed` is how many records that took.
  async startChatd(args = []) {
    const began = process.hrtime.bigint();
    this.chatd = start(path.join(BIN, 'chatd'), ['--nats-url', this.url, '--data-dir', this.data, ...args]);
    this.chatd.errors.on('line', (line) => {
      const found = line.match(/event=store\.recovered records=(\d+)/);
      if (found) this.replayed = Number(found[1]);
    });
    await lineOf(this.chatd, 'event=ready');
    return Number(process.hrtime.bigint() - began) / 1e6;
  }

  // All is in the database afterwards.
  async restartChatd(args) {
    await end(this.chatd);
    return this.startChatd(args);
  }

  async bench(...args) {
    const all = [...args, '--nats-url', this.url, '--json', '--progress=false'];
    const { stdout } = await run(path.join(BIN, 'chat-bench'), all, { env: environment, maxBuffer: 64 * MIB });
    return JSON.parse(stdout);
  }

  // fdatasync (with --direct: write and fdatasync) on the disk that the data is on, in milliseconds.
  async syncMs(...more) {
    const args = ['sync', '--directory', this.directory, '--count', short ? '300' : '2000', '--json', ...more];
    const { stdout } = await run(path.join(BIN, 'chat-bench'), args, { env: environment });
    return Object.fromEntries(Object.entries(JSON.parse(stdout).latency_us).map(([name, us]) => [name, us / 1000]));
  }

  load(workload, options) {
    return this.bench(workload, ...flags({ 'duration-ms': durationMs, 'warmup-ms': warmupMs, ...options }));
  }

  compare(workload, options) {
    return this.bench('compare', workload, ...flags({
      pairs, 'duration-ms': durationMs, 'warmup-ms': warmupMs, 'pause-ms': pauseMs, ...options,
    }));
  }

  // What is resident but for the database's pages, which are the page cache's.
  residentMib() {
    let counts = false;
    let kib = 0;
    for (const line of fs.readFileSync(`/proc/${this.chatd.pid}/smaps`, 'utf8').split('\n')) {
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counts = !line.endsWith('chats.mdb');
      else if (counts && line.startsWith('Rss:')) kib += Number(line.match(/\d+/)[0]);
    }
    return kib / 1024;
  }

  async close() {
    if (children.has(this.chatd)) await end(this.chatd, 'SIGKILL');
    await end(this.broker, 'SIGKILL');
    fs.rmSync(this.directory, { recursive: true, force: true });
    directories.delete(this.directory);
  }
}

const flags = (options) => Object.entries(options).map(([name, value]) => `--${name}=${value}`);

async function diskBytes(file) {
  const { stdout } = await run('du', ['-s', '--block-size=1', file]);
  return Number(stdout.split('\t')[0]);
}

// ---- Figures ----

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const perSecond = (rate) => `${Math.round(rate).toLocaleString('en')}/s`;
const ms = (value) => `${value.toFixed(2)} ms`;

// All return { value, text }: what is compared with the aim, and the same for people.
function ratioOf(report) {
  const spread = report.pairs.map(({ service, responder }) => service.throughput_per_second / responder.throughput_per_second);
  const { service, responder, ratio } = report;
  return {
    value: ratio.throughput,
    text: `${ratio.throughput.toFixed(2)} (pairs ${Math.min(...spread).toFixed(2)} to ${Math.max(...spread).toFixed(2)}; `
      + `${perSecond(service.throughput)} of ${perSecond(responder.throughput)}${report.errors ? `; ${report.errors} ERRORS` : ''})`,
  };
}

async function withStand(work, args) {
  const stand = await Stand.start(args);
  try {
    return await work(stand);
  } finally {
    await stand.close();
  }
}

const sendRatio = (outstanding, args) => () =>
  withStand(async (stand) => ratioOf(await stand.compare('send', { outstanding })), args);

// With one request under way nothing overlaps: the responder's round trip and then a block written
// and synced is what a Send takes at least.
function oneSend() {
  return withStand(async (stand) => {
    const before = (await stand.syncMs('--direct')).mean;
    const report = await stand.compare('send', { outstanding: 1 });
    const disk = (before + (await stand.syncMs('--direct')).mean) / 2;
    const { value, text } = ratioOf(report);
    const round = 1000 / report.responder.throughput;
    return { value, text: `${text}; write and fdatasync of 4 KiB take ${ms(disk)} on average, which alone makes it ${(round / (round + disk)).toFixed(2)} at most` };
  });
}

// ---- Where the time goes ----

// Nanoseconds that the threads of a process have had a processor for, by their names.
function threadTimes(pid) {
  const times = {};
  const tasks = fs.existsSync(`/proc/${pid}/task`) ? fs.readdirSync(`/proc/${pid}/task`) : [];
  for (const task of tasks) {
    try {
      const read = (file) => fs.readFileSync(`/proc/${pid}/task/${task}/${file}`, 'utf8');
      const name = Number(task) === pid ? 'loop' : read('comm').trim();
      times[name] = (times[name] || 0) + Number(read('schedstat').split(' ')[0]);
    } catch { /* the thread has ended */ }
  }
  return times;
}

// Names of chatd's threads. Most of what has none of them is the broker library's.
const THREADS = { loop: 'loop', 'chat-settle': 'settling', 'chat-read': 'reading', 'chat-journal': 'journal' };

// A load, and the processor time that a request took in its window, in microseconds. The window is
// the last thing that the load generator does, but making chats is not: hence the samples.
async function timedLoad(stand, workload, options) {
  const samples = [];
  const sample = () => samples.push({ at: Date.now(), broker: threadTimes(stand.broker.pid), chatd: threadTimes(stand.chatd.pid) });
  const timer = setInterval(sample, 50);
  const report = await stand.load(workload, options).finally(() => clearInterval(timer));
  sample();
  const last = samples.at(-1);
  const first = samples.find(({ at }) => at >= last.at - durationMs) || samples[0];
  const us = (ns) => ns / 1000 / (report.throughput_per_second * (last.at - first.at) / 1000);
  const total = (times) => Object.values(times).reduce((sum, ns) => sum + ns, 0);
  const parts = Object.entries(THREADS).map(([thread, name]) => [name, us((last.chatd[thread] || 0) - (first.chatd[thread] || 0))]);
  return { report, broker: us(total(last.broker) - total(first.broker)), chatd: us(total(last.chatd) - total(first.chatd)), parts };
}

const timesText = ({ broker, chatd, parts }) =>
  `broker ${broker.toFixed(1)}, chatd ${chatd.toFixed(1)} (${parts.map(([name, us]) => `${name} ${us.toFixed(1)}`).join(', ')})`;

// Two workloads in turn on one service; the ratio of the medians of their throughput.
async function inTurn(stand, one, other, times = short ? 1 : 3) {
  const loads = [[], []];
  for (let i = 0; i < times; i++) {
    for (const [side, [workload, options]] of [one, other].entries()) {
      await sleep(pauseMs);
      loads[side].push(await timedLoad(stand, workload, options));
    }
  }
  const [a, b] = loads.map((runs) => median(runs.map(({ report }) => report.throughput_per_second)));
  return { value: a / b, text: `${(a / b).toFixed(2)} (${perSecond(a)} to ${perSecond(b)})`, times: loads };
}

function millionChats() {
  const many = ['send', { chats: Math.round(1000000 * millions), outstanding: 1024, namespace: 'million' }];
  const few = ['send', { chats: 10000, outstanding: 1024, namespace: 'few' }];
  return withStand(async (stand) => {
    const { value, text, times } = await inTurn(stand, many, few);
    const [ofMany, ofFew] = times.map((runs) => runs.sort((a, b) => a.chatd - b.chatd)[runs.length >> 1]);
    return { value, text: `${text}; processor time of a Send in us: ${timesText(ofMany)}; to the few: ${timesText(ofFew)}` };
  });
}

// The rate of the messages from the one numbered `from` to the one numbered `to`.
function rateBetween(seconds, from, to) {
  const when = (number) => {
    let sum = 0;
    for (const [second, count] of seconds.entries()) {
      if (sum + count >= number) return second + (number - sum) / count;
      sum += count;
    }
    return seconds.length;
  };
  return (to - from) / (when(to) - when(from));
}

function sustained() {
  const million = Math.round(1000000 * millions);
  return withStand(async (stand) => {
    const report = await stand.load('send', { count: 5 * million, outstanding: 1024 });
    const seconds = report.per_second;
    const total = seconds.reduce((sum, count) => sum + count, 0);
    const first = rateBetween(seconds, 0, million);
    const last = rateBetween(seconds, total - million, total);
    const middle = median(seconds);
    const lowest = Math.min(...seconds);
    return {
      value: last / first,
      also: lowest >= middle / 2,
      text: `${(last / first).toFixed(2)} (${perSecond(first)}, then ${perSecond(last)}); lowest second ${(lowest / middle).toFixed(2)} of the median`,
    };
  });
}

function deepPages() {
  const prefill = Math.round(1000000 * millions);
  return withStand(async (stand) => {
    await stand.load('history', { chats: 1, prefill, outstanding: 256, 'duration-ms': 100, 'warmup-ms': 0 });
    await stand.restartChatd();
    const options = { chats: 1, prefill, outstanding: 256 };
    return inTurn(stand, ['history', { ...options, page: 'deep' }], ['history', options]);
  });
}

function openLoop() {
  return withStand(async (stand) => {
    const closed = await stand.load('send', { outstanding: 1024 });
    const rate = Math.round(closed.throughput_per_second / 2);
    const { p99: before } = await stand.syncMs();
    const report = await stand.compare('send', { rate });
    const sync = (before + (await stand.syncMs()).p99) / 2;
    const limit = 3 * report.responder.p99 + 2 * sync;
    return {
      value: limit / report.service.p99,
      text: `p99 ${ms(report.service.p99)}, limit ${ms(limit)} (responder ${ms(report.responder.p99)}, fdatasync ${ms(sync)}); `
        + `p99.9 ${ms(report.service['p99.9'])}; at ${perSecond(rate)}`,
    };
  });
}

// 50,000 Sends at once from 100 connections, and again as soon as those are answered, while `work` goes on.
async function flooded(stand, work) {
  let over = false;
  const flood = { clients: 100, outstanding: 50000, count: 50000, 'timeout-ms': 60000, 'warmup-ms': 0 };
  const counts = { floods: 0, answered: 0, refused: 0 };
  const flooding = (async () => {
    while (!over) {
      const report = await stand.bench('send', ...flags(flood));
      const { 503: refused = 0, ...others } = report.errors_by_code;
      if (Object.keys(others).length > 0) throw new Error(`unanswered: ${JSON.stringify(others)}`);
      counts.floods++;
      counts.answered += report.completed;
      counts.refused += refused;
    }
  })();
  flooding.catch(() => {}); // it is awaited below
  try {
    return { counts, result: await work() };
  } finally {
    over = true;
    await flooding;
  }
}

// A quiet caller asks for a page 200 times a second, whatever else goes on; then the same of the
// responder, which sits on a connection of its own beside the same flood: what it takes is what the
// broker and these cores take.
function historyFlood() {
  return withStand(async (stand) => {
    const options = { chats: 1, prefill: 20, limit: 10, rate: 200, namespace: 'quiet', 'timeout-ms': 60000 };
    const calm = await stand.compare('history', options);
    const { counts, result: busy } = await flooded(stand, () => stand.compare('history', options));
    const times = (side) => busy[side].p99 / calm[side].p99;
    const line = (side) => `p50 ${ms(busy[side].p50)} p99 ${ms(busy[side].p99)} with the flood, ${ms(calm[side].p50)} ${ms(calm[side].p99)} without`;
    return {
      value: times('service'),
      text: `${times('service').toFixed(1)} times (${line('service')}); the responder ${times('responder').toFixed(1)} times (${line('responder')}); `
        + `${counts.floods} floods, ${counts.answered} Sends done, ${counts.refused} refused`,
    };
  });
}

const against = (system, outstanding) => async () => {
  const args = ['--raw', '--outstanding', `${outstanding}`, '--seconds', `${durationMs < 5000 ? durationMs / 1000 : 5}`, '--rounds', short ? '1' : '5', 'chatd', system, 'responder'];
  const { stdout } = await run(path.join(__dirname, 'alternatives.sh'), args, {
    env: { ...environment, CHAT_BIN: BIN, CHAT_BENCH_DIRECTORY: BASE },
  });
  const rates = Object.fromEntries(stdout.trim().split('\n').map((line) => line.split(' ')).map(([name, , rate]) => [name, Number(rate)]));
  return {
    value: rates.chatd / rates[system],
    text: `${(rates.chatd / rates[system]).toFixed(2)} (${perSecond(rates.chatd)} to ${perSecond(rates[system])}); `
      + `the responder, which does nothing: ${(rates.responder / rates[system]).toFixed(2)} (${perSecond(rates.responder)})`,
  };
};

// A gateway beside the stand's chatd; `work` gets its address and its process.
async function withGateway(stand, work) {
  const gateway = start(path.join(BIN, 'chat-gateway'), [
    '--nats-url', stand.url, '--listen', '127.0.0.1:0', '--max-connections-per-address', '10000', '--access-log=false']);
  try {
    const line = await lineOf(gateway, 'event=ready');
    return await work(`http://127.0.0.1:${line.match(/ port=(\d+)/)[1]}`, gateway);
  } finally {
    if (children.has(gateway)) await end(gateway);
  }
}

async function benchGateway(command, options) {
  const { stdout } = await run(path.join(BIN, 'chat-bench'), [command, '--json', ...flags(options)], { env: environment });
  return JSON.parse(stdout);
}

// The same Sends, by HTTP and by NATS, in turn.
function gatewaySends() {
  return withStand((stand) => withGateway(stand, async (url) => {
    const rates = [[], []];
    const options = { chats: 1000, 'duration-ms': durationMs, 'warmup-ms': warmupMs };
    for (let i = 0; i < pairs; i++) {
      await sleep(pauseMs);
      const { throughput_per_second: rate } = await benchGateway('gateway', { 'gateway-url': url, clients: 256, ...options });
      rates[0].push(rate);
      await sleep(pauseMs);
      rates[1].push((await stand.load('send', { outstanding: 256, ...options })).throughput_per_second);
    }
    const [a, b] = rates.map(median);
    return { value: a / b, text: `${(a / b).toFixed(2)} (${perSecond(a)} to ${perSecond(b)})` };
  }));
}

// As many messages as get through without falling behind is another question; this is a steady chat.
function gatewayFanout() {
  return withStand((stand) => withGateway(stand, async (url) => {
    const report = await benchGateway('fanout', { 'gateway-url': url, watchers: 1000, rate: short ? 20 : 50, 'duration-ms': durationMs });
    return {
      value: report.deliveries_per_second,
      text: `${perSecond(report.deliveries_per_second)} delivered, p99 ${ms(report.latency_us.p99 / 1000)}; ${report.missing} missing`,
    };
  }));
}

// Connections that are there and say nothing.
function gatewayIdle() {
  return withStand((stand) => withGateway(stand, async (url, gateway) => {
    await benchGateway('fanout', { 'gateway-url': url, watchers: 5000, rate: 1, 'duration-ms': 3000 });
    const peak = Number(fs.readFileSync(`/proc/${gateway.pid}/status`, 'utf8').match(/VmHWM:\s+(\d+)/)[1]) / 1024;
    return { value: peak, text: `${peak.toFixed(1)} MiB at most` };
  }));
}

function idleMemory() {
  return withStand(async (stand) => {
    await sleep(1000);
    const value = stand.residentMib();
    return { value, text: `${value.toFixed(1)} MiB` };
  });
}

function loadedMemory() {
  const chats = Math.round(1000000 * millions);
  return withStand(async (stand) => {
    let value = 0;
    const timer = setInterval(() => { value = Math.max(value, stand.residentMib()); }, 250);
    try {
      await stand.load('mixed', { chats, outstanding: 1024, prefill: 0, mix: 'send=80,history=20' });
    } finally {
      clearInterval(timer);
    }
    return { value, text: `${value.toFixed(1)} MiB at most, with ${chats} chats` };
  });
}

function settledDisk() {
  const count = Math.round(1000000 * millions);
  return withStand(async (stand) => {
    const report = await stand.load('send', { count, outstanding: 1024, 'warmup-ms': 0 });
    await end(stand.chatd);
    // A reply to Send is a tag, a length of two bytes and the message.
    const bytes = report.completed * (report.kinds.send.reply_bytes_mean - 3);
    const database = await diskBytes(path.join(stand.data, 'chats.mdb'));
    const all = await diskBytes(stand.data);
    return {
      value: database / bytes,
      text: `${(database / bytes).toFixed(2)} (database ${(database / MIB).toFixed(0)} MiB for ${(bytes / MIB).toFixed(0)} MiB of Message; `
        + `the journal's segments, used again and again, take ${((all - database) / MIB).toFixed(0)} MiB besides)`,
    };
  });
}

// As much as the journal holds, and nothing of it settled; then the power goes.
function startTime() {
  const chats = Math.round(1000000 * millions);
  const count = Math.round(800000 * millions);
  return withStand(async (stand) => {
    await stand.load('new', { count: 1, chats, 'warmup-ms': 0 });
    await stand.restartChatd(['--settle-ms=3600000', '--settle-bytes=1GiB', '--tail-bytes=1GiB']);
    await stand.load('send', { chats, count, outstanding: 1024, 'warmup-ms': 0 });
    await end(stand.chatd, 'SIGKILL');
    const journal = await diskBytes(path.join(stand.data, 'journal'));
    const took = await stand.startChatd();
    return { value: took / 1000, text: `${(took / 1000).toFixed(2)} s, ${stand.replayed} records replayed from ${(journal / MIB).toFixed(0)} MiB of journal, ${chats} chats` };
  });
}

const atLeast = (limit) => ({ text: `≥ ${limit.toFixed(2)}`, met: (value) => value >= limit });
const atMost = (limit, unit) => ({ text: `≤ ${limit} ${unit}`, met: (value) => value <= limit });

const rows = [
  ['send-1024', 'Send, 10,000 chats, 1024 outstanding, to the responder', atLeast(0.6), sendRatio(1024)],
  ['send-64', 'the same, 64', atLeast(0.55), sendRatio(64)],
  ['send-16', 'the same, 16', atLeast(0.5), sendRatio(16)],
  ['send-1', 'the same, 1', atLeast(0.45), oneSend],
  ['send-1024-no-events', '1024 without events: what the broker takes for those that nobody hears', null,
    sendRatio(1024, ['--events=false'])],
  ['send-million-chats', 'Send to 1,000,000 chats, to the rate with 10,000', atLeast(0.85), millionChats],
  ['send-sustained', '5 million Sends: last million to the first', atLeast(0.85), sustained],
  ['history-newest', 'History, newest 50, 256 outstanding, to the responder', atLeast(0.85),
    () => withStand(async (stand) => ratioOf(await stand.compare('history', { outstanding: 256 })))],
  ['history-deep', 'random page of a million messages, to the newest', atLeast(0.8), deepPages],
  ['open-loop', 'open loop at half the maximum: Send p99', { text: '3 × responder + 2 × fdatasync', met: (value) => value >= 1 }, openLoop],
  ['history-flood', 'History beside 50,000 Sends at once: p99 to that without', atMost(10, 'times'), historyFlood],
  ['redis-16', 'to Redis, appendfsync always, 16 outstanding', atLeast(1), against('redis', 16)],
  ['redis-1024', 'the same, 1024 (a connection each)', atLeast(3), against('redis', 1024)],
  ['redis-pipelined-1024', 'the same, 1024 (64 connections, 16 each)', null, against('redis-pipelined', 1024)],
  ['jetstream-1024', 'to JetStream synced per message, 1024', atLeast(25), against('jetstream-synced', 1024)],
  ['memory-idle', 'resident, idle and empty', atMost(32, 'MiB'), idleMemory],
  ['memory-loaded', 'resident, a million chats, full load', atMost(150, 'MiB'), loadedMemory],
  ['disk', 'disk, settled, for a byte of Message', atMost(1.5, 'bytes'), settledDisk],
  ['start', 'start with a million chats and a full journal', atMost(2, 's'), startTime],
  ['gateway-send', 'Send by HTTP, 256 connections, to Send by NATS, 256 outstanding', atLeast(0.4), gatewaySends],
  ['gateway-fanout', 'one chat to 1,000 WebSockets', null, gatewayFanout],
  ['gateway-memory', 'resident, 5,000 WebSockets', atMost(100, 'MiB'), gatewayIdle],
];

// ---- The table ----

function verdict(aim, { value, also }) {
  if (!aim) return '';
  return aim.met(value) && also !== false ? 'met' : 'MISSED';
}

async function measure([name, what, aim, work]) {
  const began = Date.now();
  let result;
  try {
    result = await work();
  } catch (error) {
    result = { value: NaN, text: `not measured: ${String(error.stderr || error.message).trim().split('\n').pop()}` };
  }
  const line = `| ${name} | ${what} | ${aim ? aim.text : '(no aim)'} | ${result.text} | ${Number.isNaN(result.value) ? '' : verdict(aim, result)} |`;
  console.log(line);
  process.stderr.write(`${name}: ${Math.round((Date.now() - began) / 1000)} s\n`);
}

async function main() {
  const names = words.filter((word) => !word.startsWith('--'));
  const unknown = names.filter((name) => !rows.some((row) => row[0] === name));
  if (words.includes('--list') || unknown.length > 0) {
    if (unknown.length > 0) console.error(`no such row: ${unknown.join(' ')}`);
    for (const [name, what] of rows) console.log(`${name.padEnd(22)}${what}`);
    return;
  }
  if (short) console.log('A short run: seconds for each row, tenths of the millions.\n');
  console.log('| row | what | aim | measured | |\n|---|---|---|---|---|');
  for (const row of rows) if (names.length === 0 || names.includes(row[0])) await measure(row);
}

main();
