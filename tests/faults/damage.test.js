'use strict';
// Damaged files: bits flipped, bytes overwritten, files cut short. Many times over in the store alone
// (damage.c), and some times with the whole program. What is damaged is refused and named, or it
// does no harm; no wrong byte is ever served.

const { isDeepStrictEqual } = require('node:util');
const { after, before, describe, test } = require('node:test');
const { spawnSync } = require('node:child_process');
const { World, makeDirectory, removeDirectory } = require('../integration/harness');
const { isPassing } = require('../integration/client');
const { Judge, Load } = require('./judge');
const { TOOLS, assert, fs, path, rounds, seeded } = require('./rig');

const TRIALS = rounds(150, 10000);
const STARTS = rounds(5, 200);

test(`${TRIALS} damaged stores: refused and named, or harmless`, { timeout: 3600000 }, (t) => {
  const random = seeded(t);
  const done = spawnSync(path.join(TOOLS, 'damage'), [String(TRIALS), String(random.upTo(1e9))], { encoding: 'utf8' });
  const said = done.stdout.trim().split('\n');
  t.diagnostic(said.filter((line) => /^\d+ /.test(line)).join(', '));
  assert.equal(done.status, 0, `${done.stdout}${done.stderr}`);
});

describe('chatd on damaged files', { timeout: 3600000 }, () => {
  let world;
  let directory;
  let client;
  let judge;
  before(async () => {
    directory = makeDirectory();
    world = await World.start({ chatd: false });
    client = await world.client();
    judge = new Judge();
    await makeData();
  });
  after(async () => {
    if (world) await world.close();
    removeDirectory(directory);
  });

  const original = () => path.join(directory, 'original');
  const dataDirectory = () => path.join(directory, 'data');

  // Some of it is settled, some is in the journal alone.
  async function makeData() {
    for (const [settings, messages] of [[['--settle-ms=1'], 600], [['--settle-ms=3600000'], 100]]) {
      const chatd = world.makeChatd({ dataDirectory: original(), args: ['--journal-segment-bytes=1MiB', ...settings] });
      await chatd.start();
      const load = await new Load(judge, [client.connection], { width: 16, sizes: [100, 4000], timeout: () => 5000 }).start();
      await load.further(messages);
      await load.stop();
      await judge.check(client);
      await chatd.kill();
    }
  }

  function damage(random) {
    fs.rmSync(dataDirectory(), { recursive: true, force: true });
    fs.cpSync(original(), dataDirectory(), { recursive: true });
    const journal = fs.readdirSync(path.join(original(), 'journal')).map((name) => `journal/${name}`);
    const file = path.join(dataDirectory(), random() < 0.5 ? 'chats.mdb' : random.pick(journal));
    const bytes = fs.readFileSync(file);
    let end = bytes.length;
    while (end > 1 && bytes[end - 1] === 0) end--;
    const offset = random.upTo(end);
    if (random() < 0.15) {
      fs.truncateSync(file, offset);
      return `${file} cut at ${offset}`;
    }
    bytes[offset] ^= 1 << random.upTo(8);
    fs.writeFileSync(file, bytes);
    return `${file}: a bit at ${offset}`;
  }

  // Reads all that can be read; a refusal for damage is passed over, seq by seq.
  async function readChat(chat, torn) {
    const known = chat.messages.length - 1;
    let refusals = 0;
    let next = 1;
    for (let more = true; more && next <= known;) {
      const reply = await client.call('History', { chat_id: chat.id, from_seq: next, limit: 100 });
      if (reply.error) {
        reply.refused(500, 'chat.History.Internal');
        refusals++;
        next++;
      } else {
        ({ next, more } = judge.page(chat, reply, next, torn ? 0 : known));
      }
    }
    return refusals;
  }

  const contents = (folder) => Object.fromEntries(fs.readdirSync(folder, { recursive: true })
    .filter((name) => name !== 'lock' && !name.endsWith('-lock') && fs.statSync(path.join(folder, name)).isFile())
    .map((name) => [name, fs.readFileSync(path.join(folder, name), 'latin1')]));

  test('half a store is refused, and left as it is', async () => {
    for (const [gone, left] of [['chats.mdb', /a journal and no chats\.mdb/], ['journal', /a chats\.mdb and no journal/]]) {
      fs.rmSync(dataDirectory(), { recursive: true, force: true });
      fs.cpSync(original(), dataDirectory(), { recursive: true });
      fs.rmSync(path.join(dataDirectory(), gone), { recursive: true });
      const found = contents(dataDirectory());
      const chatd = world.makeChatd({ dataDirectory: dataDirectory() });
      chatd.spawn();
      assert.deepEqual(await chatd.program.exited, { code: 1, signal: null });
      assert.match(chatd.log.at(-1).detail, left);
      assert.ok(isDeepStrictEqual(contents(dataDirectory()), found), 'nothing was changed');
      world.chatds.pop();
    }
    // Who makes an empty one means it.
    fs.mkdirSync(path.join(dataDirectory(), 'journal'));
    const chatd = world.makeChatd({ dataDirectory: dataDirectory() });
    await chatd.start();
    await chatd.kill();
    world.chatds.pop();
  });

  test(`${STARTS} starts: no wrong byte, no crash, no hang, and the log says what is damaged`, async (t) => {
    const random = seeded(t);
    const ends = {};
    const count = (end) => { ends[end] = (ends[end] || 0) + 1; };
    for (let i = 0; i < STARTS; i++) {
      const what = damage(random);
      const chatd = world.makeChatd({ dataDirectory: dataDirectory(), args: ['--journal-segment-bytes=1MiB', '--settle-ms=3600000'] });
      try {
        chatd.spawn();
        await Promise.race([chatd.ready(), chatd.program.exited]).catch(() => {});
        if (chatd.program.running) {
          const torn = chatd.log.find(({ event }) => event === 'store.recovered').torn_bytes !== '0';
          let refusals = 0;
          let ended = false;
          for (const chat of judge.chats.values()) {
            refusals += await readChat(chat, torn).catch((error) => {
              if (!isPassing(error)) throw error;
              ended = true;
              return 1;
            });
          }
          assert.ok(refusals === 0 || chatd.log.some(({ level }) => level === 'error'), 'what is refused is named');
          if (ended) assert.deepEqual(await chatd.program.exited, { code: 70, signal: null });
          count(ended ? 'ended with a reason' : refusals > 0 ? 'named' : torn ? 'torn end' : 'harmless');
          if (!ended) await chatd.kill();
        } else {
          const { code, signal } = chatd.program.exit;
          assert.deepEqual({ code, signal }, { code: 1, signal: null });
          const last = chatd.log.at(-1);
          assert.ok(last.level === 'error' && last.detail, 'it says why');
          count('did not start');
        }
        chatd.checkOutput();
      } catch (error) {
        throw new Error(`${what}: ${error.message}\n${chatd.program.tail()}`, { cause: error });
      }
      world.chatds.pop();
    }
    t.diagnostic(Object.entries(ends).map(([end, times]) => `${times} ${end}`).join(', '));
  });
});
