'use strict';
// The client library as others get it: installed, found by pkg-config, linked to the README's
// example, which is compiled and run as it stands.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawn, spawnSync } = require('node:child_process');
const { after, before, describe, test } = require('node:test');
const { once } = require('node:events');
const { Program, ROOT, Silent, Swallowing, World, cleanEnvironment, eventually, makeDirectory, removeDirectory } = require('./harness');

const CC = (process.env.CHAT_CC || 'gcc').split(' ').filter(Boolean);

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', ...options });
  assert.equal(done.status, 0, `${command} ${args.join(' ')}: ${done.error || done.stderr}`);
  return done.stdout;
}

describe('the client library', { timeout: 300000 }, () => {
  let world;
  let directory;
  let source;
  before(async () => {
    directory = makeDirectory();
    const variables = (process.env.CHAT_MAKE_VARIABLES || '').split(' ').filter(Boolean);
    run('make', ['-s', 'install', `PREFIX=${directory}`, ...variables], { cwd: ROOT });
    const readme = fs.readFileSync(path.join(ROOT, 'clients/libchat/README.md'), 'utf8');
    source = path.join(directory, 'example.c');
    fs.writeFileSync(source, /```c\n([^]*?)```/.exec(readme)[1]);
    world = await World.start();
  });
  after(async () => {
    if (world) await world.close();
    removeDirectory(directory);
  });

  const packages = (...args) => run('pkg-config', args, {
    env: { ...process.env, PKG_CONFIG_PATH: path.join(directory, 'lib/pkgconfig') },
  }).trim().split(/\s+/);

  async function runExample(program) {
    const child = spawn(program, [], {
      env: cleanEnvironment({ CHAT_NATS_URL: world.broker.url, LD_LIBRARY_PATH: path.join(directory, 'lib') }),
    });
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    const [code] = await once(child, 'close');
    return { code, output: Buffer.concat(output).toString() };
  }

  const flags = ['-std=gnu11', '-Wall', '-Wextra', '-Werror'];

  test('the example runs with the shared library', async () => {
    const program = path.join(directory, 'shared');
    run(CC[0], [...CC.slice(1), ...flags, source, '-o', program, ...packages('--cflags', '--libs', 'libchat')]);
    const { code, output } = await runExample(program);
    assert.equal(code, 0, output);
    assert.deepEqual(output.trim().split('\n').filter((line) => line !== 'live'), ['1 John: Hey Barry']);
  });

  test('the example runs with the static library, beside functions of the same names as its own', async () => {
    const program = path.join(directory, 'static');
    const names = ['connection_start', 'join_init', 'wire_next', 'uuid_make', 'log_write', 'follow_up'];
    const other = path.join(directory, 'other.c');
    fs.writeFileSync(other, names.map((name) => `void ${name}(void);\nvoid ${name}(void)\n{\n}\n`).join('\n'));
    run(CC[0], [...CC.slice(1), ...flags, source, other, '-o', program, ...packages('--cflags', 'libchat'),
      path.join(directory, 'lib/libchat.a'), ...packages('--libs', 'libuv', 'libnats', 'libssl', 'libcrypto')]);
    const { code, output } = await runExample(program);
    assert.equal(code, 0, output);
    assert.deepEqual(output.trim().split('\n').filter((line) => line !== 'live'),
      ['1 John: Hey Barry', '2 John: Hey Barry'], 'the same users are the same chat');
  });

  // Brokers that hang: when asked for a connection, before their first word, in the handshake.
  const HANGING = {
    'swallows everything': () => [new Swallowing()],
    'says nothing': () => Array.from({ length: 10 }, () => new Silent()),
    'leaves the TLS handshake hanging': () => [new Silent('INFO {"server_id":"x","version":"2.9.0","proto":1,"max_payload":1048576,"tls_required":true}\r\n')],
  };
  for (const [what, make] of Object.entries(HANGING)) {
    test(`a broker that ${what} holds up neither the loop, nor libuv's pool, nor the end`, async () => {
      const program = path.join(directory, 'waiting');
      const code = path.join(ROOT, 'tests/integration/fixtures/waiting.c');
      run(CC[0], [...CC.slice(1), ...flags, code, '-o', program, ...packages('--cflags', '--libs', 'libchat')]);
      const brokers = await Promise.all(make().map((one) => one.start()));
      const waiting = new Program('waiting', program, brokers.map(({ url }) => url), {
        stdio: ['ignore', 'pipe', 'pipe'], env: cleanEnvironment({ LD_LIBRARY_PATH: path.join(directory, 'lib') }),
      });
      const output = [];
      require('node:readline').createInterface({ input: waiting.child.stdout }).on('line', (line) => output.push(line));
      try {
        await brokers[0].during(async () => {
          const before = output.length;
          await eventually('the pool works', () => output.length >= before + 5);
        });
        if (brokers[0].beginning) await eventually('all are in the handshake', () => brokers[0].heard >= 6);
        const { code: status } = await waiting.stop();
        assert.equal(status, 0, waiting.tail());
        // What the pool had to do still may be done after that.
        await eventually('all are closed', () => output.includes('closed'));
        assert.deepEqual(waiting.lines, [], 'nothing on standard error');
        // Each client would have gone from one to the next.
        const taken = brokers.reduce((sum, one) => sum + (one.taken || 0), 0);
        if (brokers.length > 1) assert.ok(taken < 6 * brokers.length, `${taken}`);
      } finally {
        if (waiting.running) await waiting.stop('SIGKILL');
        for (const one of brokers) await one.close();
      }
    });
  }

  test('neither library shows more than chat.h declares', () => {
    const header = fs.readFileSync(path.join(directory, 'include/chat.h'), 'utf8');
    const declared = [...header.matchAll(/^CHAT_(?:API|CHECKED) [^;]*?\b(chat_\w+)\(/gm)].map(([, name]) => name).sort();
    assert.ok(declared.length >= 15, `${declared}`);
    for (const [file, ...options] of [['libchat.so', '-D'], ['libchat.a', '--extern-only']]) {
      const symbols = run('nm', [...options, '--defined-only', path.join(directory, 'lib', file)]);
      const names = [...symbols.matchAll(/^[0-9a-f]+ [TDBRVW] (\S+)$/gm)].map(([, name]) => name);
      assert.deepEqual(names.filter((name) => !/^(__asan|__odr_asan)/.test(name)).sort(), declared, file);
    }
  });

  test('the header is C++ as well, on its own', () => {
    run('clang', ['-x', 'c++', '-std=gnu++17', '-Wall', '-Wextra', '-Werror', '-fsyntax-only',
      ...packages('--cflags', 'libchat'), path.join(directory, 'include/chat.h')]);
  });
});
