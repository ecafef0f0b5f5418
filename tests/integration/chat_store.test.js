'use strict';
// The operator's tool on real data directories: clean and damaged ones, and that of a chatd at work.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const {
  BIN, World, cleanEnvironment, eventually, inParallel, makeDirectory, removeDirectory, scaled,
} = require('./harness');
const { range } = require('./client');
const { Load } = require('./load');

const PAGE_BYTES = 4096;

// Runs the tool to its end.
async function runStore(args, input = '') {
  const child = spawn(path.join(BIN, 'chat-store'), args, { env: cleanEnvironment(), timeout: 120000 });
  const output = { stdout: [], stderr: [] };
  child.stdout.on('data', (chunk) => output.stdout.push(chunk));
  child.stderr.on('data', (chunk) => output.stderr.push(chunk));
  child.stdin.on('error', () => {}); // It may end without reading all that it is given.
  child.stdin.end(input);
  const [code, signal] = await once(child, 'close');
  const [stdout, stderr] = [output.stdout, output.stderr].map((chunks) => Buffer.concat(chunks).toString());
  assert.equal(signal, null, stderr);
  assert.doesNotMatch(stderr, /Sanitizer|runtime error|Assertion/);
  return { code, stdout, stderr };
}

async function succeed(args, input) {
  const result = await runStore(args, input);
  assert.equal(result.code, 0, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
  return result.stdout;
}

const parseLines = (text) => text.trimEnd().split('\n').map((line) => JSON.parse(line));

// All that is in a directory, by name.
function contents(directory) {
  return Object.fromEntries(fs.readdirSync(directory, { recursive: true, withFileTypes: false })
    .map((name) => path.join(directory, name)).filter((name) => fs.statSync(name).isFile())
    .map((name) => [path.relative(directory, name), fs.readFileSync(name).toString('latin1')]));
}

describe('chat-store', { timeout: 300000 }, () => {
  let world;
  let client;
  let root;
  let sample; // a data directory that was stopped cleanly
  let unsettled; // the same, killed with messages in the journal
  let chats;
  const copyOf = (directory) => {
    const copy = fs.mkdtempSync(path.join(root, 'copy-'));
    fs.cpSync(directory, copy, { recursive: true });
    return copy;
  };

  before(async () => {
    root = makeDirectory();
    world = await World.start();
    client = await world.client();
    chats = await inParallel(40, 8, (i) => client.chat(`store ${i}`));
    await inParallel(scaled(3000), 64, (i) => client.Send({
      chat_id: chats[i % 7], user_id: `u${i % 3}`, client_id: `c${i}`, subject: i % 2 ? 'odd' : '', text: `message ${i} ${'é"\\\n\u0001'.repeat(i % 40)}`,
    }));
    await client.Send({ chat_id: chats[9], user_id: 'u', client_id: 'long', text: 'x'.repeat(60000) });
    await world.chatd.stop();
    sample = copyOf(world.chatd.dataDirectory);
    await world.chatd.start();
    await inParallel(200, 64, (i) => client.Send({ chat_id: chats[i % 9], user_id: 'late', client_id: `l${i}`, text: `late ${i}` }));
    await world.chatd.kill();
    unsettled = copyOf(world.chatd.dataDirectory);
    await world.chatd.start();
  });
  after(async () => {
    if (world) await world.close();
    removeDirectory(root);
  });

  test('help, version and mistakes', async () => {
    assert.match(await succeed(['--help']), /verify[\s\S]*stats[\s\S]*backup[\s\S]*export[\s\S]*import/);
    assert.match(await succeed(['--version']), /^chat-store \d/);
    for (const command of ['verify', 'stats', 'backup', 'export', 'import']) {
      assert.match(await succeed([command, '--help']), /--data-dir DIR/);
      assert.equal((await runStore([command])).code, 2);
      assert.equal((await runStore([command, '--no-such-option'])).code, 2);
    }
    for (const args of [[], ['no-such-command'], ['backup', '--data-dir', sample]]) {
      assert.equal((await runStore(args)).code, 2);
    }
    for (const command of ['verify', 'stats', 'export']) {
      const missing = path.join(root, 'missing');
      const { code, stderr } = await runStore([command, '--data-dir', missing]);
      assert.equal(code, 2);
      assert.match(stderr, /missing/);
      assert.ok(!fs.existsSync(missing), 'nothing is made');
    }
  });

  test('a sound store is clean, and nothing in it changes', async () => {
    for (const [directory, records] of [[sample, 0], [unsettled, 200]]) {
      const before_ = contents(directory);
      const line = await succeed(['verify', '--data-dir', directory]);
      const figures = /^40 chats, (\d+) messages \(\d+ bytes\), (\d+) client ids, \d+ pages, (\d+) journal records .*: clean, 0 problems\n$/.exec(line);
      assert.ok(figures, line);
      // What was not settled when chatd was killed may in part have been settled before.
      assert.ok(Number(figures[1]) >= scaled(3000) + 1);
      assert.equal(figures[1], figures[2]);
      assert.ok(Number(figures[3]) <= records);
      assert.deepEqual({ ...contents(directory), lock: before_.lock }, before_);
    }
  });

  test('a store in use is refused by verify and import, and says by whom', async () => {
    for (const command of ['verify', 'import']) {
      const { code, stderr } = await runStore([command, '--data-dir', world.chatd.dataDirectory]);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(`in use by another process, pid ${world.chatd.program.child.pid}`));
    }
  });

  // Damages a copy and expects the tool to say so.
  async function expectProblem(directory, expected) {
    const { code, stdout, stderr } = await runStore(['verify', '--data-dir', directory]);
    assert.equal(code, 1, stdout + stderr);
    assert.match(stdout, expected);
    assert.match(stdout, / [1-9]\d* problems\n$/);
    fs.rmSync(directory, { recursive: true });
  }

  function edit(directory, name, change) {
    const file = path.join(directory, name);
    const bytes = fs.readFileSync(file);
    fs.writeFileSync(file, change(bytes) || bytes);
    return directory;
  }

  test('a changed byte of a message is found, and named by chat, seq and place', async () => {
    let place;
    const damaged = edit(copyOf(sample), 'chats.mdb', (bytes) => {
      place = bytes.indexOf('x'.repeat(1000));
      assert.ok(place > 0);
      bytes[place] ^= 1;
    });
    await expectProblem(damaged, new RegExp(`byte ${Math.floor(place / PAGE_BYTES) * PAGE_BYTES + 16}, table logs, chat ${chats[9]}, number \\d+, seq 1: the CRC is wrong`));
  });

  test('a truncated, an overwritten and an empty database are found and kill nobody', async () => {
    const { length } = fs.readFileSync(path.join(sample, 'chats.mdb'));
    for (const size of [0, 100, PAGE_BYTES, 2 * PAGE_BYTES, Math.floor(length / 2), length - 20 * PAGE_BYTES]) {
      await expectProblem(edit(copyOf(sample), 'chats.mdb', (bytes) => bytes.subarray(0, size)), /cut short/);
    }
    await expectProblem(edit(copyOf(sample), 'chats.mdb', (bytes) => bytes.fill(0, 2 * PAGE_BYTES)), /damaged|page/);
  });

  test('no overwritten page makes the tool or chatd end by a signal', async () => {
    const pages = fs.statSync(path.join(sample, 'chats.mdb')).size / PAGE_BYTES;
    const other = await World.start({ chatd: false });
    const codes = [];
    for (const i of range(1, scaled(60))) {
      const damaged = edit(copyOf(sample), 'chats.mdb', (bytes) => {
        const page = 2 + (i * 7919) % (pages - 2);
        // The header and the offsets of the nodes: what LMDB follows.
        for (let at = 0; at < 64; at++) bytes[page * PAGE_BYTES + at] = (i * 31 + at * 17) % 256;
      });
      const { code, stdout } = await runStore(['verify', '--data-dir', damaged]);
      codes.push(code);
      assert.ok(code === 0 || code === 1, stdout); // It may be a free page.
      if (i % 6 === 0) {
        const chatd = other.makeChatd({ url: other.broker.url, dataDirectory: damaged });
        const { exited } = chatd.spawn();
        // Rows are looked at when they are read; pages before anything is.
        const expected = /were not looked at/.test(stdout) ? 'refused' : 'ready';
        assert.equal(await Promise.race([chatd.ready().then(() => 'ready'), exited.then(() => 'refused')]), expected, stdout);
        if (expected === 'ready') await chatd.program.stop('SIGKILL');
        else assert.equal((await exited).code, 1, chatd.program.tail());
      }
      fs.rmSync(damaged, { recursive: true });
    }
    await other.close();
    assert.ok(codes.includes(1));
  });

  test('damage in the journal is found where it matters', async () => {
    const journal = path.join(unsettled, 'journal');
    const [segment] = fs.readdirSync(journal).filter((name) => fs.readFileSync(path.join(journal, name)).includes('late 1'));
    await expectProblem(edit(copyOf(unsettled), `journal/${segment}`, (bytes) => {
      bytes[bytes.indexOf('late 0') + 1] ^= 1;
    }), /journal\/\d+\.seg: at byte \d+, record \d+: it is damaged/);
    const without = copyOf(unsettled);
    fs.rmSync(path.join(without, 'journal'), { recursive: true });
    await expectProblem(without, /journal cannot be opened/);
  });

  test('stats, offline and beside chatd, as text and as JSON', async () => {
    for (const directory of [sample, world.chatd.dataDirectory]) {
      const stats = JSON.parse(await succeed(['stats', '--data-dir', directory, '--json']));
      const inUse = directory !== sample;
      assert.equal(stats.in_use, inUse);
      assert.equal(stats.chats, 40);
      assert.equal(stats.messages, scaled(3000) + 1 + (inUse ? 200 : 0));
      assert.deepEqual(stats.namespaces, { default: { chats: 40, messages: stats.messages } });
      assert.equal(stats.unsettled_records, stats.last_lsn - stats.settled_lsn);
      assert.ok(stats.database_bytes > 0 && stats.journal_bytes > 0 && stats.journal_segments > 0);
      assert.match(stats.store_id, /^[0-9a-f-]{36}$/);
      assert.deepEqual([stats.database_format, stats.journal_format], [2, 1]);
      assert.ok(stats.reached_lsn >= stats.settled_lsn);
      assert.match(await succeed(['stats', '--data-dir', directory]), /^chats +40$/m);
    }
  });

  test('what is exported and imported is the same, down to a repeated Send', async () => {
    const lines = await succeed(['export', '--data-dir', unsettled]);
    const copy = path.join(root, 'imported');
    assert.match(await succeed(['import', '--data-dir', copy], lines), /^40 chats and \d+ messages were imported; 0 chats/);
    assert.equal(await succeed(['export', '--data-dir', copy]), lines);
    assert.match(await succeed(['verify', '--data-dir', copy]), /clean/);
    // Once more: all of it is there.
    assert.match(await succeed(['import', '--data-dir', copy], lines), /^0 chats and 0 messages were imported; 40 chats/);
    assert.equal(await succeed(['export', '--data-dir', copy]), lines);

    const parsed = parseLines(lines);
    const original = parsed.find((line) => line.client_id === 'c16');
    const [other, otherClient] = await startOn(copy, 'imported');
    const { seq, id, client_id, user_id, chat_id, subject, text, sent_at } = original;
    const again = await otherClient.Send({ chat_id, user_id, client_id, subject, text });
    assert.equal(again.duplicate, true);
    assert.deepEqual([again.message.id, again.message.seq, again.message.text], [id, seq, text]);
    assert.equal(sent_at.slice(0, 4), String(new Date().getUTCFullYear()));
    const head = parsed.find((line) => line.type === 'chat' && line.chat_id === chat_id).head_seq;
    assert.equal((await otherClient.Send({ chat_id, user_id, client_id: 'new', text: 'after' })).message.seq, head + 1);
    assert.equal(await otherClient.chat('store 3'), chats[3], 'the same users have the same chat');
    await other.close();
    assert.match(await succeed(['verify', '--data-dir', copy]), /clean/);
  });

  // A broker and a chatd of their own on a data directory.
  async function startOn(dataDirectory) {
    const other = await World.start({ dataDirectory });
    return [other, await other.client()];
  }

  test('an export of one namespace, of one chat, and beside chatd', async () => {
    const acme = await world.client({ ns: 'acme' });
    const chat = await acme.chat('acme 1');
    await acme.Send({ chat_id: chat, user_id: 'u', text: 'just now' });
    const running = ['export', '--data-dir', world.chatd.dataDirectory];
    const one = parseLines(await succeed([...running, '--namespace', 'acme']));
    assert.deepEqual(one.map((line) => line.type), ['export', 'chat', 'message', 'end']);
    assert.deepEqual([one[1].chat_id, one[1].namespace, one[2].text], [chat, 'acme', 'just now']);
    assert.deepEqual(parseLines(await succeed([...running, '--chat_id', chat])), one);
    assert.equal((await runStore([...running, '--chat_id', 'nonsense'])).code, 2);
    const { code, stderr } = await runStore([...running, '--chat_id', '00000000-0000-4000-8000-000000000000']);
    assert.equal(code, 1);
    assert.match(stderr, /no such chat/);
  });

  test('bad lines and conflicts are refused by line number, and leave the store as it was', async () => {
    const good = (await succeed(['export', '--data-dir', sample, '--chat_id', chats[1]])).trimEnd().split('\n');
    const change = (line, fields) => good.map((text, i) => (i === line - 1 ? JSON.stringify({ ...JSON.parse(text), ...fields }) : text));
    const cases = [
      [['nonsense'], /line 1: it is no JSON/],
      [good.slice(1), /line 1: an export begins/],
      [good.slice(0, -1), /cut short/],
      [good.slice(0, 1), /cut short/],
      [change(1, { format: 2 }), /line 1: .*format 2/],
      [change(2, { chat_id: 'x' }), /line 2: "chat_id" is no UUID/],
      [change(2, { namespace: 'a b' }), /line 2: "namespace"/],
      [change(2, { user_ids: [] }), /line 2: "user_ids"/],
      [change(2, { user_ids: ['a', 'a'] }), /line 2: "user_ids" holds a user twice/],
      [change(2, { head_seq: 1 }), /the chat of line 2 ends at seq \d+, and its head is 1/],
      [change(4, { seq: 3 }), /line 4: seq 3 comes where 2 is due/],
      [change(4, { sent_at: 'yesterday' }), /line 4: "sent_at"/],
      [change(4, { client_id: JSON.parse(good[2]).client_id, user_id: JSON.parse(good[2]).user_id }), /line 4: line 3 has the same client_id/],
      [change(4, { chat_id: chats[0] }), /line 4: the message does not stand behind its chat/],
      [change(good.length, { chats: 2 }), new RegExp(`line ${good.length}: there were 1 chats`)],
    ];
    for (const [lines, expected] of cases) {
      const target = path.join(root, 'refused');
      const { code, stderr, stdout } = await runStore(['import', '--data-dir', target], `${lines.join('\n')}\n`);
      assert.equal(code, 1, stdout);
      assert.match(stderr, expected);
      assert.match(stdout, /^0 chats and 0 messages were imported/);
      assert.match(await succeed(['verify', '--data-dir', target]), /^0 chats, 0 messages .*clean/);
      fs.rmSync(target, { recursive: true });
    }
    const conflicts = [
      [change(2, { user_ids: ['someone'] }), /line 2: the store has this chat with another namespace, time or users/],
      [change(2, { chat_id: '00000000-0000-4000-8000-000000000000' }).map((line) => line.replaceAll(chats[1], '00000000-0000-4000-8000-000000000000')), /line 2: these users have another chat in this namespace/],
      [change(5, { text: 'other' }), /line 5: the store has another message as seq 3/],
    ];
    const target = copyOf(sample);
    const before_ = await succeed(['export', '--data-dir', target]);
    for (const [lines, expected] of conflicts) {
      const { code, stderr } = await runStore(['import', '--data-dir', target], `${lines.join('\n')}\n`);
      assert.equal(code, 1);
      assert.match(stderr, expected);
      assert.equal(await succeed(['export', '--data-dir', target]), before_);
    }
  });

  test('an import adds what the store does not have yet', async () => {
    const target = copyOf(sample);
    const later = await succeed(['export', '--data-dir', unsettled]);
    assert.match(await succeed(['import', '--data-dir', target], later), /^0 chats and 200 messages were imported; 40 chats/);
    assert.equal(await succeed(['export', '--data-dir', target]), later);
    assert.match(await succeed(['verify', '--data-dir', target]), /clean/);
  });

  test('a backup needs a place of its own', async () => {
    const target = path.join(root, 'taken');
    fs.mkdirSync(target);
    fs.writeFileSync(path.join(target, 'file'), 'x');
    const { code, stderr } = await runStore(['backup', '--data-dir', sample, target]);
    assert.equal(code, 1);
    assert.match(stderr, /not empty/);
    assert.deepEqual(fs.readdirSync(target), ['file']);
    fs.rmSync(path.join(target, 'file'));
    assert.match(await succeed(['backup', '--data-dir', sample, target]), /clean/);
    assert.equal(await succeed(['export', '--data-dir', target]), await succeed(['export', '--data-dir', sample]));
  });

  test('a backup of a damaged store fails and leaves nothing behind', async () => {
    const damaged = edit(copyOf(sample), 'chats.mdb', (bytes) => {
      bytes[bytes.indexOf('x'.repeat(1000))] ^= 1;
    });
    const target = path.join(root, 'of damaged');
    const { code, stderr } = await runStore(['backup', '--data-dir', damaged, target]);
    assert.equal(code, 1);
    assert.match(stderr, /the CRC is wrong/);
    assert.ok(!fs.existsSync(target) && !fs.existsSync(`${target}.unfinished`));
  });

  test('backups under load: each is a prefix of what happened, no older than its beginning', async () => {
    // Small segments and quick settling, so that segments are used again while they are read.
    const busy = await World.start({ args: ['--journal-segment-bytes', '1MiB', '--settle-ms', '50', '--settle-bytes', '262144'] });
    try {
      const sender = await busy.client();
      const ids = await inParallel(5, 5, (i) => sender.chat(`busy ${i}`));
      const clients = await inParallel(4, 4, () => busy.client());
      const load = new Load(ids).start(clients, 16);
      const backups = [];
      for (const round of range(1, 6)) {
        await load.further(scaled(1500));
        const before_ = load.acknowledged.length;
        const target = path.join(root, `backup ${round}`);
        const line = await succeed(['backup', '--data-dir', busy.chatd.dataDirectory, target]);
        assert.match(line, /clean/);
        backups.push({ target, before: before_ });
      }
      await load.further(100);
      await load.stop();
      await load.check(sender);
      await busy.chatd.kill();
      assert.match(await succeed(['verify', '--data-dir', busy.chatd.dataDirectory]), /clean/);
      const whole = new Map();
      for (const chat of ids) {
        for (const { seq, id } of exported(await succeed(['export', '--data-dir', busy.chatd.dataDirectory, '--chat_id', chat]))) whole.set(`${chat} ${seq}`, id);
      }
      for (const { target, before: acknowledged } of backups) {
        assert.deepEqual(fs.readdirSync(target).sort(), ['chats.mdb', 'journal']);
        const messages = exported(await succeed(['export', '--data-dir', target]));
        for (const message of messages) assert.equal(message.id, whole.get(`${message.chat_id} ${message.seq}`));
        const there = new Set(messages.map((message) => message.id));
        for (const message of load.acknowledged.slice(0, acknowledged)) assert.ok(there.has(message.id), `seq ${message.seq}`);
        // Over all chats, too: a worker sends the next message when the one before is acknowledged.
        const turns = new Map();
        for (const { user_id, client_id } of messages) turns.set(user_id, [...(turns.get(user_id) || []), Number(client_id.split('/')[1])]);
        for (const [worker, sent] of turns) assert.deepEqual(sent.sort((a, b) => a - b), range(0, sent.length - 1), worker);
      }
      // The last one serves.
      const { target } = backups.at(-1);
      const expected = exported(await succeed(['export', '--data-dir', target]));
      const [restored, restoredClient] = await startOn(target);
      for (const chat of ids) {
        const messages = await restoredClient.readAll(chat);
        assert.deepEqual(messages.map((message) => message.id), expected.filter((message) => message.chat_id === chat).map((message) => message.id));
      }
      const { chat_id, user_id, client_id, text, id } = expected.at(-1);
      assert.equal((await restoredClient.Send({ chat_id, user_id, client_id, text })).message.id, id);
      await restored.close();
      assert.match(await succeed(['verify', '--data-dir', target]), /clean/);
    } finally {
      await busy.abandon();
    }
  });

  const exported = (text) => parseLines(text).filter((line) => line.type === 'message');

  test('a backup that is killed leaves chatd in order', async () => {
    const target = path.join(root, 'killed');
    const child = spawn(path.join(BIN, 'chat-store'), ['backup', '--data-dir', world.chatd.dataDirectory, target], { env: cleanEnvironment(), stdio: 'ignore' });
    await eventually('it has begun', () => fs.existsSync(`${target}.unfinished`) || child.exitCode !== null);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    const chat = await client.chat('after the kill');
    await inParallel(100, 10, (i) => client.Send({ chat_id: chat, user_id: 'u', text: `${i}` }));
    const second = path.join(root, 'second');
    assert.match(await succeed(['backup', '--data-dir', world.chatd.dataDirectory, second]), /clean/);
    await world.chatd.stop();
    await world.chatd.start();
    assert.equal((await client.readAll(chat)).length, 100);
  });
});
