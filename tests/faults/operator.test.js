'use strict';
// The operator's tool in bad places: killed at any moment, on a full disk and on one that cannot be
// written, twice at once, with nobody who reads what it writes. What it leaves is whole, or can be
// completed by doing the same again; what it reads from is untouched.

const { after, before, describe, test } = require('node:test');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { randomUUID } = require('node:crypto');
const { BIN, World, cleanEnvironment, makeDirectory, mountTmpfs, removeDirectory, unmount } = require('../integration/harness');
const { pause } = require('./judge');
const { assert, fs, path, rounds, run, seeded } = require('./rig');

const CHATS = 12;
const MESSAGES = 100;
const KILLS = rounds(3, 100);

// An export as another service could have written it.
function makeExport() {
  const lines = [{ type: 'export', format: 1 }];
  const at = '2026-01-31T12:00:00.000000001Z';
  for (const id of Array.from({ length: CHATS }, () => randomUUID()).sort()) {
    lines.push({ type: 'chat', chat_id: id, namespace: 'default', created_at: at, user_ids: ['ann', `bob ${id}`], head_seq: MESSAGES });
    for (let seq = 1; seq <= MESSAGES; seq++) {
      lines.push({
        type: 'message', chat_id: id, seq, id: randomUUID(), client_id: `c${seq}`, user_id: 'ann', sent_at: at, subject: '', text: `${seq} `.padEnd(2000, 'x'),
      });
    }
  }
  lines.push({ type: 'end', chats: CHATS, messages: CHATS * MESSAGES });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

describe('chat-store in bad places', { timeout: 3600000 }, () => {
  const lines = makeExport();
  let root;
  let input; // a file with those lines
  let store; // a data directory with what they say
  before(() => {
    root = makeDirectory();
    input = path.join(root, 'input');
    fs.writeFileSync(input, lines);
    store = path.join(root, 'store');
    assert.equal(runStore(['import', '--data-dir', store]).status, 0);
    same(store);
  });
  after(() => removeDirectory(root));

  function options() {
    return { env: cleanEnvironment(), stdio: [fs.openSync(input, 'r'), 'pipe', 'pipe'], encoding: 'utf8', maxBuffer: 1 << 28 };
  }

  function runStore(args) {
    const settings = options();
    const done = spawnSync(path.join(BIN, 'chat-store'), args, settings);
    fs.closeSync(settings.stdio[0]);
    assert.equal(done.signal, null, done.stderr);
    return done;
  }

  function succeed(...args) {
    const { status, stdout, stderr } = runStore(args);
    assert.equal(status, 0, `${args.join(' ')}: ${stdout.slice(0, 1000)}${stderr}`);
    return stdout;
  }

  const exported = (directory) => succeed('export', '--data-dir', directory);
  const verified = (directory) => assert.match(succeed('verify', '--data-dir', directory), /clean/);

  function refused(expected, ...args) {
    const { status, stdout, stderr } = runStore(args);
    assert.equal(status, 1, `${args.join(' ')}: ${stdout.slice(0, 1000)}`);
    assert.match(stderr, expected);
    return stdout;
  }

  function same(directory) {
    assert.ok(exported(directory) === lines, 'it exports what was imported');
  }

  // Starts it, and kills it after some time that is less than what it takes when all is well.
  async function killed(random, tookMs, args) {
    const settings = options();
    const child = spawn(path.join(BIN, 'chat-store'), args, { ...settings, stdio: [settings.stdio[0], 'ignore', 'ignore'] });
    fs.closeSync(settings.stdio[0]);
    const closed = once(child, 'close');
    await pause(random() * tookMs);
    child.kill('SIGKILL');
    const [, signal] = await closed;
    return signal !== null;
  }

  function timed(work) {
    const began = Date.now();
    work();
    return Date.now() - began;
  }

  test(`an import killed ${KILLS} times: repeated, it is complete`, async (t) => {
    const random = seeded(t);
    const target = path.join(root, 'imported');
    let tookMs = 0;
    let kills = 0;
    for (let round = 0; round <= KILLS; round++) {
      if (round > 0 && await killed(random, tookMs, ['import', '--data-dir', target])) kills++;
      tookMs = Math.max(timed(() => succeed('import', '--data-dir', target)), tookMs);
      verified(target);
      same(target);
      // Sometimes it goes on with what was left, having been killed twice.
      if (random() < 0.5 && await killed(random, tookMs, ['import', '--data-dir', target])) kills++;
      if (random() < 0.7) fs.rmSync(target, { recursive: true });
    }
    t.diagnostic(`${kills} kills; ${tookMs} ms for an import that was left alone`);
  });

  test(`a backup killed ${KILLS} times: it is whole or does not have its name, and can be made again`, async (t) => {
    const random = seeded(t);
    const target = path.join(root, 'backup');
    const ends = { whole: 0, unfinished: 0, nothing: 0 };
    let tookMs = timed(() => succeed('backup', '--data-dir', store, target));
    for (let round = 0; round < KILLS; round++) {
      fs.rmSync(target, { recursive: true, force: true });
      await killed(random, tookMs, ['backup', '--data-dir', store, target]);
      if (fs.existsSync(target)) {
        ends.whole++;
        verified(target);
      } else if (fs.existsSync(`${target}.unfinished`)) {
        ends.unfinished++;
        refused(/backup\.unfinished is there: .*remove it/, 'backup', '--data-dir', store, target);
        fs.rmSync(`${target}.unfinished`, { recursive: true });
      } else {
        ends.nothing++;
      }
      if (!fs.existsSync(target)) tookMs = Math.max(timed(() => succeed('backup', '--data-dir', store, target)), tookMs);
      same(target);
    }
    t.diagnostic(Object.entries(ends).map(([end, times]) => `${times} × ${end}`).join(', '));
    fs.rmSync(target, { recursive: true });
  });

  async function onDisk(size, work) {
    const disk = makeDirectory();
    mountTmpfs(disk, size);
    try {
      await work(disk);
    } finally {
      unmount(disk);
      removeDirectory(disk);
    }
  }

  test('on a full disk a backup leaves nothing behind, and an import whole chats', () => onDisk('2m', (disk) => {
    const target = path.join(disk, 'data');
    refused(/No space left/, 'backup', '--data-dir', store, target);
    assert.deepEqual(fs.readdirSync(disk), []);
    verified(store);
    for (const size of ['2m', '3m', '4m', '64m']) {
      run('mount', '-o', `remount,size=${size}`, disk);
      if (size === '64m') succeed('import', '--data-dir', target);
      else refused(/No space left/, 'import', '--data-dir', target);
      verified(target);
      const messages = exported(target).split('\n').filter((line) => line.includes('"type":"message"')).length;
      assert.equal(messages % MESSAGES, 0);
      if (size === '64m') assert.equal(messages, CHATS * MESSAGES);
    }
    same(target);
  }));

  test('on a disk that cannot be written it reads, and says why it cannot write', () => onDisk('64m', async (disk) => {
    const targets = [path.join(disk, 'store'), path.join(disk, 'backup')];
    fs.cpSync(store, targets[0], { recursive: true });
    succeed('backup', '--data-dir', store, targets[1]); // It has no lock file.
    run('mount', '-o', 'remount,ro', disk);
    const world = await World.start({ chatd: false });
    try {
      for (const [i, target] of targets.entries()) {
        verified(target);
        same(target);
        assert.match(succeed('stats', '--data-dir', target), new RegExp(`^messages +${CHATS * MESSAGES}$`, 'm'));
        succeed('backup', '--data-dir', target, path.join(root, `of read-only ${i}`));
        refused(/Read-only file system/, 'import', '--data-dir', target);
        const chatd = world.makeChatd({ dataDirectory: target });
        chatd.spawn();
        assert.deepEqual(await chatd.program.exited, { code: 1, signal: null });
        assert.match(chatd.log.at(-1).detail, /Read-only file system/);
      }
      refused(/Read-only file system/, 'backup', '--data-dir', store, path.join(disk, 'another'));
    } finally {
      await world.close();
    }
  }));

  test('two backups at once to one place: one is made, and the other says so or finds it', async () => {
    const target = path.join(root, 'twice');
    const ends = await Promise.all([1, 2, 3].map(async () => {
      const child = spawn(path.join(BIN, 'chat-store'), ['backup', '--data-dir', store, target], { env: cleanEnvironment() });
      const errors = [];
      child.stderr.on('data', (bytes) => errors.push(bytes));
      child.stdout.resume();
      const [code] = await once(child, 'close');
      return [code, Buffer.concat(errors).toString()];
    }));
    assert.deepEqual(ends.map(([code]) => code).sort(), [0, 1, 1], JSON.stringify(ends));
    for (const [code, said] of ends) assert.match(said, code === 0 ? /^$/ : /is there: another backup|is not empty|in use/);
    assert.deepEqual(fs.readdirSync(root).filter((name) => name.startsWith('twice')), ['twice']);
    verified(target);
    same(target);
  });

  test('what is no line does not take the memory there is', () => {
    const zeros = fs.openSync('/dev/zero', 'r');
    // There is no end of them.
    const done = spawnSync(path.join(BIN, 'chat-store'), ['import', '--data-dir', path.join(root, 'of zeros')], {
      env: cleanEnvironment(), stdio: [zeros, 'pipe', 'pipe'], encoding: 'utf8', timeout: 120000,
    });
    fs.closeSync(zeros);
    assert.equal(done.status, 1, done.error);
    assert.match(done.stderr, /line 1: it is longer than 16 MiB/);
  });

  test('an export that nobody reads, or that cannot be written, is an error', async () => {
    const child = spawn(path.join(BIN, 'chat-store'), ['export', '--data-dir', store], { env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
    child.stderr.resume();
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [code, signal] = await once(child, 'close');
    assert.ok(code === 1 || signal === 'SIGPIPE', `${code} ${signal}`);
    const full = fs.openSync('/dev/full', 'w');
    const done = spawnSync(path.join(BIN, 'chat-store'), ['export', '--data-dir', store], { env: cleanEnvironment(), stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
    fs.closeSync(full);
    assert.equal(done.status, 1);
    assert.match(done.stderr, /No space left/);
    verified(store);
  });
});
