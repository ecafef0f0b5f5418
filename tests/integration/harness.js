'use strict';
// Starts and stops the real programs for the tests: a broker of its own on a free loopback port, a
// chatd with a data directory of its own, the command line.
//
// Whoever starts something here need not clean up by hand: a World ends what it started, and
// whatever is still alive when the test process exits, for whatever reason, is killed and its
// directories are removed. Nothing here sleeps for a fixed time: it waits for a line, an answer or
// an exit, with an upper bound.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const readline = require('node:readline');
const nats = require('nats');
const { Client } = require('./client');

const ROOT = path.resolve(__dirname, '..', '..');
const BIN = path.resolve(ROOT, process.env.CHAT_BIN || 'build/bin');
const NATS_SERVER = process.env.NATS_SERVER || 'nats-server';

// Sanitized programs on a busy machine are slow; nothing waits this long when all is well.
const PATIENCE_MS = 30000;

// A shorter run, for programs that sanitizers make slow: a tenth of what is big.
const scaled = (count) => (process.env.CHAT_TEST_SHORT ? Math.ceil(count / 10) : count);

const children = new Set();
const directories = new Set();
const mounts = new Set();

function endEverything() {
  for (const child of children) child.kill('SIGKILL');
  for (const mount of mounts) spawnSync('umount', ['-l', mount]);
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
}
process.on('exit', endEverything);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

function makeDirectory() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'chat-test-'));
  directories.add(directory);
  return directory;
}

function removeDirectory(directory) {
  fs.rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

// A file system of its own in memory. Throws when that is not permitted: the tests that need one
// must not pass without.
function mountTmpfs(directory, size) {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory]);
  if (mounted.error || mounted.status !== 0) {
    throw new Error(`this test has to mount a tmpfs (run it as root): ${mounted.error || mounted.stderr}`);
  }
  mounts.add(directory);
}

function unmount(directory) {
  const done = spawnSync('umount', [directory]);
  assert.equal(done.status, 0, String(done.stderr));
  mounts.delete(directory);
}

// Our own variables of the caller's environment must not decide what a test sees.
function cleanEnvironment(extra = {}) {
  const environment = { ...process.env };
  for (const name of Object.keys(environment)) {
    if (name.startsWith('CHAT_')) delete environment[name];
  }
  return { ...environment, ...extra };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks until `probe` returns something true, and returns that; fails after `patience` ms.
async function eventually(what, probe, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  let lastError;
  for (;;) {
    try {
      const found = await probe();
      if (found) return found;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not within ${patience} ms: ${what}`, { cause: lastError });
    }
    await pause(5);
  }
}

async function within(promise, what, patience = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${patience} ms: ${what}`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// A child process whose standard error is kept line by line.
class Program {
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.lines = [];
    this.waiters = new Set();
    this.child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options });
    children.add(this.child);
    const errors = readline.createInterface({ input: this.child.stderr });
    errors.on('line', (line) => {
      this.lines.push(line);
      for (const waiter of [...this.waiters]) waiter();
    });
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => resolve({ code: null, signal: null, error }));
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    }).then((exit) => {
      children.delete(this.child);
      this.exit = exit;
      for (const waiter of [...this.waiters]) waiter();
      return exit;
    });
  }

  get running() {
    return this.exit === undefined;
  }

  tail() {
    return `${this.name} said:\n${this.lines.slice(-30).join('\n')}`;
  }

  // The first line, of those there are and those to come, for which `find` returns something.
  async waitForLine(what, find, patience = PATIENCE_MS) {
    let waiter;
    const found = new Promise((resolve, reject) => {
      let next = 0;
      waiter = () => {
        while (next < this.lines.length) {
          const result = find(this.lines[next++]);
          if (result) return resolve(result);
        }
        if (!this.running) {
          const { code, signal, error } = this.exit;
          reject(new Error(`${this.name} ended (${error || `${code} ${signal}`}) before ${what}\n${this.tail()}`));
        }
        return undefined;
      };
      this.waiters.add(waiter);
      waiter();
    });
    try {
      return await within(found, `${what} of ${this.name}`, patience);
    } catch (error) {
      if (!this.running) throw error;
      throw new Error(`${error.message}\n${this.tail()}`);
    } finally {
      this.waiters.delete(waiter);
    }
  }

  async stop(signal = 'SIGTERM', patience = PATIENCE_MS) {
    if (this.running) this.child.kill(signal);
    try {
      return await within(this.exited, `end of ${this.name} after ${signal}`, patience);
    } catch (error) {
      this.child.kill('SIGKILL');
      await this.exited;
      throw new Error(`${error.message}\n${this.tail()}`);
    }
  }
}

// Takes connections and says nothing, or no more than the beginning: what a host is like that hangs.
class Silent {
  constructor(beginning = '') {
    this.beginning = beginning;
    this.sockets = new Set(); // open at the other end
    this.taken = 0;
    this.heard = 0; // connections that have said something
    this.server = net.createServer((socket) => this.take(socket));
  }

  take(socket) {
    this.taken++;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.once('data', () => { this.heard++; });
    socket.resume();
    socket.write(this.beginning);
  }

  async start(host = '127.0.0.1') {
    await new Promise((resolve) => { this.server.listen(0, host, resolve); });
    this.url = `nats://${host}:${this.server.address().port}`;
    return this;
  }

  // Whether `work` has been done while one and the same connection waited for a word.
  async during(work) {
    return eventually('somebody waits', async () => {
      const [socket] = this.sockets;
      if (!socket) return false;
      await work();
      return this.sockets.has(socket);
    });
  }

  async close() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

// An address that swallows whatever asks for a connection: the queue of one that listens is full.
class Swallowing {
  async start() {
    const script = "const s = require('net').createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => console.error(s.address().port))";
    this.program = new Program('listener', process.execPath, ['-e', script]);
    this.port = Number(await this.program.waitForLine('its port', (line) => /^\d+$/.test(line) && line));
    this.url = `nats://127.0.0.1:${this.port}`;
    this.program.child.kill('SIGSTOP');
    this.fillers = [];
    await eventually('its queue is full', () => {
      if (this.waiting() > 0) return true;
      const socket = net.connect(this.port, '127.0.0.1');
      socket.on('error', () => {});
      this.fillers.push(socket);
      return false;
    });
    this.own = new Set(this.#asking());
    return this;
  }

  // The ports that have asked for a connection and have no answer.
  #asking() {
    const remote = `0100007F:${this.port.toString(16).toUpperCase().padStart(4, '0')}`;
    return fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
      .filter(([, , to, state]) => to === remote && state === '02').map(([, from]) => from);
  }

  waiting() {
    return this.#asking().length;
  }

  async during(work) {
    return eventually('somebody waits', async () => {
      const from = this.#asking().find((one) => !this.own.has(one));
      if (!from) return false;
      await work();
      return this.#asking().includes(from);
    });
  }

  async close() {
    for (const socket of this.fillers) socket.destroy();
    await this.program.stop('SIGKILL');
  }
}

class Broker {
  // `settings` are lines of the server's configuration, such as { max_payload: 65536 }; `include` is
  // a file that comes before them. `probe` is what the official client needs to be let in.
  constructor({ include, ...settings } = {}, probe = {}) {
    this.settings = settings;
    this.include = include;
    this.probe = probe;
    this.directory = makeDirectory();
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  async start() {
    const configuration = path.join(this.directory, 'nats.conf');
    const settings = {
      host: '"127.0.0.1"',
      port: this.port || -1,
      ports_file_dir: JSON.stringify(this.directory),
      ...this.settings,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}: ${value}`);
    // All of the file but where it listens: a port of its own may be taken, and the server does not
    // say which of two counts.
    if (this.include) lines.unshift(fs.readFileSync(this.include, 'utf8').replace(/^listen:.*$/m, ''));
    fs.writeFileSync(configuration, `${lines.join('\n')}\n`);
    this.program = new Program('nats-server', NATS_SERVER, ['-c', configuration]);
    if (!this.port) this.port = await this.#readPort();
    await eventually('the broker takes connections', () => this.#probe());
  }

  // The server picks a free port itself and writes it down, so that no two tests race for one.
  #readPort() {
    const file = path.join(this.directory, `${path.basename(NATS_SERVER)}_${this.program.child.pid}.ports`);
    return eventually('the broker has a port', () => {
      if (!this.program.running) throw new Error(this.program.tail());
      const { nats: urls } = JSON.parse(fs.readFileSync(file, 'utf8'));
      return Number(new URL(urls[0]).port);
    });
  }

  // Where its monitoring is, if its settings have `http`.
  async monitoringUrl() {
    const file = fs.readdirSync(this.directory).find((name) => name.endsWith('.ports'));
    return JSON.parse(fs.readFileSync(path.join(this.directory, file), 'utf8')).monitoring[0];
  }

  async #probe() {
    if (!this.program.running) throw new Error(this.program.tail());
    const probe = await nats.connect({ servers: this.url, reconnect: false, timeout: 2000, ...this.probe });
    await probe.close();
    return true;
  }

  async stop(signal = 'SIGTERM') {
    await this.program.stop(signal);
  }

  async close() {
    if (this.program && this.program.running) await this.stop('SIGKILL');
    removeDirectory(this.directory);
  }
}

// time=… level=info event=ready nats_url="nats://…" as an object; null for any other line.
function parseLogLine(line) {
  const fields = {};
  const pattern = /([A-Za-z0-9_]+)=("(?:[^"\\]|\\.)*"|[^ "]*)(?: |$)/y;
  while (pattern.lastIndex < line.length) {
    const match = pattern.exec(line);
    if (!match) return null;
    const [, name, value] = match;
    fields[name] = value.startsWith('"') ? JSON.parse(value.replace(/\\x/g, '\\u00')) : value;
  }
  return fields.event ? fields : null;
}

class Chatd {
  constructor({ url, dataDirectory, args = [], environment = {} }) {
    Object.assign(this, { url, dataDirectory, args, environment });
  }

  // Starts the process and does not wait for anything.
  spawn() {
    const args = ['--nats-url', this.url, '--data-dir', this.dataDirectory, ...this.args];
    this.program = new Program('chatd', path.join(BIN, 'chatd'), args, {
      env: cleanEnvironment(this.environment),
    });
    return this.program;
  }

  async start() {
    this.spawn();
    return this.ready();
  }

  ready() {
    return this.waitForEvent('ready');
  }

  // The fields of the first log line of this process whose event is `event` (a name or a pattern).
  waitForEvent(event, patience) {
    return this.program.waitForLine(`event ${event}`, (line) => {
      const fields = parseLogLine(line);
      if (!fields) return null;
      return (event instanceof RegExp ? event.test(fields.event) : fields.event === event) && fields;
    }, patience);
  }

  get log() {
    return this.program.lines.map(parseLogLine).filter(Boolean);
  }

  signal(name) {
    this.program.child.kill(name);
  }

  // Ends with SIGTERM and insists on a clean exit.
  async stop() {
    const { code, signal, error } = await this.program.stop('SIGTERM');
    assert.deepEqual({ code, signal, error }, { code: 0, signal: null, error: undefined }, this.program.tail());
    this.checkOutput();
  }

  async kill() {
    await this.program.stop('SIGKILL');
    this.checkOutput();
  }

  // Whatever is no log line comes from a sanitizer, an assertion or a library that prints.
  checkOutput() {
    const strange = this.program.lines.filter((line) => !parseLogLine(line));
    assert.deepEqual(strange, [], 'standard error holds nothing but log lines');
  }
}

// A broker, a chatd and clients, ended together.
class World {
  constructor() {
    this.connections = [];
    this.chatds = [];
  }

  static async start({ broker = {}, probe = {}, args = [], environment = {}, dataDirectory, chatd = true } = {}) {
    const world = new World();
    try {
      world.broker = new Broker(broker, probe);
      await world.broker.start();
      world.ownDirectory = dataDirectory ? null : makeDirectory();
      world.chatd = world.makeChatd({
        args, environment, dataDirectory: dataDirectory || path.join(world.ownDirectory, 'data'),
      });
      if (chatd) await world.chatd.start();
      return world;
    } catch (error) {
      await world.abandon();
      throw error;
    }
  }

  makeChatd(options) {
    const chatd = new Chatd({ url: this.broker.url, ...options });
    this.chatds.push(chatd);
    return chatd;
  }

  // A connection of its own, which comes back by itself when the broker does.
  async connect(options = {}) {
    const connection = await nats.connect({
      servers: this.broker.url,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      reconnectJitter: 20,
      timeout: PATIENCE_MS,
      ...options,
    });
    this.connections.push(connection);
    return connection;
  }

  async client(defaults = {}) {
    return new Client(await this.connect(), defaults);
  }

  // Runs the command line to its end.
  async chat(args, { input = '', environment = {}, url = this.broker.url } = {}) {
    return runChat(args, { input, environment: { CHAT_NATS_URL: url, ...environment } });
  }

  // The end of a test: all that ran must also end well.
  async close() {
    try {
      for (const chatd of this.chatds) {
        if (chatd.program && chatd.program.running) {
          chatd.signal('SIGCONT');
          await chatd.stop();
        }
      }
    } finally {
      await this.abandon();
    }
  }

  async abandon() {
    for (const connection of this.connections) {
      // A client that is waiting for its broker has nothing to say goodbye to.
      await connection.close().catch(() => {});
    }
    for (const chatd of this.chatds) {
      if (chatd.program && chatd.program.running) await chatd.program.stop('SIGKILL');
    }
    if (this.broker) await this.broker.close();
    if (this.ownDirectory) removeDirectory(this.ownDirectory);
  }
}

// The command line as a child process, whose streams are the caller's business.
function spawnChat(args, environment = {}) {
  const child = spawn(path.join(BIN, 'chat'), args, {
    env: cleanEnvironment(environment),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  child.stdin.on('error', () => {}); // It may end without reading all that it is given.
  return child;
}

// Starts the command line; `finished` resolves to { code, signal, stdout, stderr }.
function startChat(args, { input = '', environment = {} } = {}) {
  const child = spawnChat(args, environment);
  const output = { stdout: [], stderr: [] };
  child.stdout.on('data', (chunk) => output.stdout.push(chunk));
  child.stderr.on('data', (chunk) => output.stderr.push(chunk));
  child.stdin.end(input);
  const finished = once(child, 'close').then(([code, signal]) => ({
    code,
    signal,
    stdout: Buffer.concat(output.stdout).toString(),
    stderr: Buffer.concat(output.stderr).toString(),
  }));
  return { child, finished };
}

async function runChat(args, options) {
  const { child, finished } = startChat(args, options);
  try {
    return await within(finished, `end of chat ${args.join(' ')}`, 60000);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

// Runs `work(i)` for i = 0 … count - 1, `width` at a time; the results in order of i.
async function inParallel(count, width, work) {
  const results = new Array(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const i = next++;
      results[i] = await work(i);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
  return results;
}

module.exports = {
  BIN, ROOT, Broker, Chatd, Program, Silent, Swallowing, World,
  cleanEnvironment, eventually, inParallel, makeDirectory, mountTmpfs, parseLogLine,
  removeDirectory, runChat, scaled, spawnChat, startChat, unmount, within,
};
