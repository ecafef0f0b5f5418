'use strict';
// A disk that is full at any moment, one that fails at any call, and a slow one.

const { after, before, describe, test } = require('node:test');
const { World, eventually, inParallel, makeDirectory, removeDirectory } = require('../integration/harness');
const { isPassing } = require('../integration/client');
const { Disk } = require('./disk');
const { Judge, Load, pause } = require('./judge');
const { CALLS, Shim } = require('./shim');
const { LONG, assert, path, rounds, seeded, sendEndpoint, verify } = require('./rig');

let world;
before(async () => { world = await World.start({ chatd: false }); });
after(() => world && world.close());

async function killAll() {
  for (const chatd of world.chatds) {
    if (chatd.program && chatd.program.running) await chatd.program.stop('SIGKILL');
  }
}

describe('a disk that is full at any moment', { timeout: 3600000 }, () => {
  const ROUNDS = rounds(4, 60);

  test(`${ROUNDS} times: writes are refused, reads go on, writes resume by themselves, nothing is lost`, async (t) => {
    const random = seeded(t);
    const disk = new Disk('512M');
    try {
      const chatd = world.makeChatd({ dataDirectory: path.join(disk.directory, 'data') });
      const judge = new Judge();
      const checker = await world.client();
      const load = new Load(judge, [await world.connect()], { random, sizes: [300, 20000] });
      const args = () => [
        `--reserve-bytes=${random.pick(['0', '64KiB', '4MiB'])}`,
        `--settle-ms=${random.pick([1, 50, 2000])}`,
        `--settle-bytes=${random.pick(['64KiB', '16MiB'])}`,
        `--settle-slice-bytes=${random.pick(['16KiB', '4MiB'])}`,
        '--journal-segment-bytes=1MiB',
        `--journal-segments=${random.pick([3, 6])}`,
      ];
      const tally = { 'killed while full': 0, refused: 0 };
      const resumed = [];
      chatd.args = args();
      await chatd.start();
      await load.start();
      for (let round = 1; round <= ROUNDS; round++) {
        await pause(random.upTo(200));
        disk.fill();
        const { refused } = judge.counts;
        await eventually('writes are refused', () => { load.ok(); return judge.counts.refused > refused + 10; });
        await judge.check(checker);
        if (random() < 0.3) {
          await chatd.kill();
          chatd.args = args();
          await chatd.start();
          await judge.check(checker);
          tally['killed while full']++;
        }
        await pause(random.upTo(200));
        const { messages } = judge;
        const freed = Date.now();
        disk.empty();
        await eventually('writes resume', () => { load.ok(); return judge.messages > messages + 5; });
        resumed.push(Date.now() - freed);
        await judge.check(checker);
      }
      await load.stop();
      await judge.checkAll(checker);
      await chatd.stop();
      verify(chatd.dataDirectory);
      tally.refused = judge.counts.refused;
      resumed.sort((a, b) => a - b);
      t.diagnostic(`${ROUNDS} rounds: ${Object.entries(tally).map(([what, count]) => `${count} ${what}`).join(', ')}; `
        + `writes resumed after ${resumed[resumed.length >> 1]} ms (median), ${resumed.at(-1)} ms (slowest)`);
      t.diagnostic(String(judge));
      // In the short form, other tests run at the same time.
      if (LONG) assert.ok(resumed[resumed.length >> 1] < 1000, 'they resume within a second');
    } finally {
      await killAll();
      disk.close();
    }
  });
});

describe('a call that fails', { timeout: 7200000 }, () => {
  let directory;
  let shim;
  let client;
  before(async () => {
    directory = makeDirectory();
    shim = new Shim(directory);
    client = await world.client();
  });
  after(async () => {
    await killAll();
    shim.close();
    removeDirectory(directory);
  });

  // Starts, sends enough for another segment, settles all the while, reads, and stops. Goes on as
  // long as the process is there. Returns how it ended.
  async function life(judge, chatd) {
    const load = new Load(judge, [client.connection], { width: 8, chats: 3, sizes: [60000], tolerate: [500, 503, 507], timeout: () => 300 });
    chatd.spawn();
    await Promise.race([chatd.ready(), chatd.program.exited]).catch(() => {});
    if (chatd.program.running) {
      const loading = load.start();
      await Promise.race([loading.then(() => load.further(40, 2000)), chatd.program.exited, pause(2000)]);
      load.stopping = true;
      await loading.catch(() => {});
      await load.stop();
    }
    // Whatever failed: as long as it is there, it answers what is read.
    if (chatd.program.running) {
      const reading = judge.check(client).catch((error) => {
        if (!isPassing(error) || chatd.program.running) throw error;
      });
      await Promise.race([reading, chatd.program.exited]);
    }
    return chatd.program.stop('SIGTERM');
  }

  async function trial(call, at, error, count) {
    const what = `${call} ${at}${count > 1 ? ' and all behind it' : ''} fails with ${error}`;
    const dataDirectory = path.join(directory, 'data');
    const chatd = world.makeChatd({ dataDirectory, environment: shim.environment, args: [
      '--settle-ms=1', '--settle-bytes=64KiB', '--settle-slice-bytes=16KiB', '--journal-segment-bytes=1MiB', '--journal-segments=3',
    ] });
    try {
      const judge = new Judge();
      shim.reset();
      if (call) shim.fail(call, at, error, count);
      const { code, signal } = await life(judge, chatd);
      const failed = shim.get('failed');
      chatd.checkOutput();
      assert.equal(signal, null, `${what}: ${chatd.program.tail()}`);
      assert.ok([0, 1, 70].includes(code), `${what}: status ${code}; ${chatd.program.tail()}`);
      if (code !== 0) {
        const last = chatd.log.filter((fields) => fields.level === 'error').at(-1);
        assert.ok(last && (last.detail || last.error), `${what}: it says why; ${chatd.program.tail()}`);
      }
      const counted = shim.get('counted');
      shim.reset();
      await chatd.start();
      await judge.checkAll(client);
      const chat = await client.chat('afterwards');
      await client.Send({ chat_id: chat, user_id: 'u', text: 'and it goes on' });
      await chatd.stop();
      verify(dataDirectory);
      return { code, failed, counted };
    } catch (failure) {
      throw new Error(`${what}: ${failure.message}`, { cause: failure });
    } finally {
      await killAll();
      world.chatds = world.chatds.filter((other) => other !== chatd);
      removeDirectory(dataDirectory);
    }
  }

  for (const call of Object.keys(CALLS)) {
    test(`each ${call} in turn, with EIO and ENOSPC: 507 or an end with a reason, and all is well afterwards`, async (t) => {
      const random = seeded(t);
      const { counted } = await trial(call, 1e9, 'EIO', 1);
      const ends = {};
      const ats = LONG
        ? Array.from({ length: counted }, (_, i) => i + 1).filter((at) => at <= 40 || random() < 60 / counted)
        : [1 + random.upTo(Math.min(counted, 10)), 1 + random.upTo(counted)];
      if (counted > 0) {
        for (const at of ats) {
          for (const [error, count] of [['EIO', 1], ['ENOSPC', 1], ['ENOSPC', 1e9]]) {
            if (!LONG && count > 1 && at === ats[0]) continue;
            const { code, failed } = await trial(call, at, error, count);
            const end = failed === 0 ? 'not reached' : `${error}${count > 1 ? ' for good' : ''}: status ${code}`;
            ends[end] = (ends[end] || 0) + 1;
          }
        }
      }
      t.diagnostic(`${counted} calls; ${Object.entries(ends).map(([end, times]) => `${times} × ${end}`).join(', ')}`);
    });
  }
});

describe('a slow disk', { timeout: 120000 }, () => {
  const SYNC_MS = 200;
  let directory;
  let shim;
  before(() => {
    directory = makeDirectory();
    shim = new Shim(directory);
  });
  after(async () => {
    await killAll();
    shim.close();
    removeDirectory(directory);
  });

  async function start(timeout, args = []) {
    const chatd = world.makeChatd({ dataDirectory: path.join(directory, 'data'), environment: shim.environment, args });
    await chatd.start();
    const judge = new Judge();
    const client = await world.client();
    const load = await new Load(judge, [await world.connect()], { width: 200, sizes: [300], timeout: () => timeout }).start();
    await load.further(1000);
    const figures = async () => (await sendEndpoint(client)).data;
    const finish = async () => {
      shim.set({ syncDelayUs: 0 });
      await load.stop();
      await judge.checkAll(client);
      await chatd.stop();
    };
    return { judge, client, load, figures, finish };
  }

  test('while a sync lasts, History is answered, and what waits goes into one batch', async (t) => {
    const { judge, client, load, figures, finish } = await start(120000, ['--settle-ms=3600000']);
    // While the disk is fast, the loop may sync by itself, and be held by the first one that is not.
    shim.set({ syncDelayUs: 2000 });
    const fast = shim.get('syncsDone');
    await eventually('the disk is known to be slow', () => shim.get('syncsDone') > fast + 30);
    shim.set({ syncDelayUs: 600e6 });
    await eventually('a sync is held', () => shim.get('syncs') > shim.get('syncsDone'));
    await eventually('Sends wait for it', async () => (await figures()).requests_in_flight > 150);
    // All of these while one sync lasts; at first, one may still end that was not held.
    for (let done = -1; done !== shim.get('syncsDone');) {
      done = shim.get('syncsDone');
      for (const chat of judge.chats.values()) {
        for (let i = 0; i < 10; i++) await client.History({ chat_id: chat.id, limit: 20 });
      }
    }
    const first = await figures();
    load.pause();
    shim.set({ syncDelayUs: 0 });
    await eventually('they are answered', async () => (await figures()).requests_in_flight === 0);
    const last = await figures();
    load.resume();
    await finish();
    const commands = last.commands - first.commands;
    const batches = last.batches - first.batches;
    t.diagnostic(`${first.requests_in_flight} waited: ${commands} commands in ${batches} batches`);
    assert.ok(commands > 150 && commands / batches > 30);
  });

  // With nothing else on the machine, its figures are those that count.
  test(`${SYNC_MS} ms for each sync: latency of History, size of batches`, { skip: !LONG && 'in the long form' }, async (t) => {
    const { judge, client, figures, finish } = await start(10000);
    shim.set({ syncDelayUs: SYNC_MS * 1000 });
    await pause(SYNC_MS * 2);
    const first = await figures();
    const [chat] = judge.chats.values();
    const took = [];
    const until = Date.now() + 5000;
    while (Date.now() < until) {
      const began = performance.now();
      await client.History({ chat_id: chat.id, limit: 20 });
      took.push(performance.now() - began);
      await pause(2);
    }
    const last = await figures();
    await finish();
    took.sort((a, b) => a - b);
    const batch = (last.commands - first.commands) / (last.batches - first.batches);
    t.diagnostic(`${took.length} times History: median ${took[took.length >> 1].toFixed(1)} ms, 99 of 100 within ${took[Math.floor(took.length * 0.99)].toFixed(1)} ms; ${batch.toFixed(0)} commands in a batch`);
    assert.ok(took[took.length >> 1] < SYNC_MS / 2);
    assert.ok(batch > 50, 'what waits goes into one batch');
  });

  // Settled in slices of a page each, all of it would take minutes.
  test('SIGTERM leaves to the journal what cannot be settled in time', async () => {
    const dataDirectory = path.join(directory, 'stopped');
    const chatd = world.makeChatd({
      dataDirectory, environment: shim.environment, args: ['--settle-ms=3600000', '--settle-slice-bytes=4KiB'],
    });
    await chatd.start();
    const client = await world.client();
    const chats = await inParallel(30, 30, (i) => client.chat(`left ${i}`));
    await inParallel(6000, 200, (i) => client.Send({ chat_id: chats[i % 30], user_id: 'u', text: `${i}` }));
    shim.set({ syncDelayUs: SYNC_MS * 1000 });
    await chatd.stop();
    const { records } = chatd.log.find(({ event }) => event === 'store.left_in_journal');
    shim.set({ syncDelayUs: 0 });
    await chatd.start();
    assert.equal((await chatd.waitForEvent('store.recovered')).records, records);
    for (const chat of chats) assert.equal((await client.readAll(chat)).length, 200);
    await chatd.stop();
    verify(dataDirectory);
  });

  // More than the journal has room for: the rest would wait for settling, which takes minutes.
  test('SIGTERM answers with 503 what waits for room too long', async () => {
    const dataDirectory = path.join(directory, 'hurried');
    const chatd = world.makeChatd({
      dataDirectory,
      environment: shim.environment,
      args: ['--settle-slice-bytes=4KiB', '--tail-bytes=1MiB', '--journal-segment-bytes=1MiB', '--journal-segments=2'],
    });
    await chatd.start();
    const client = await world.client();
    const chats = await inParallel(30, 30, (i) => client.chat(`hurried ${i}`));
    const fields = (i) => ({ chat_id: chats[i % 30], user_id: 'u', client_id: `${i}`, text: `${i} `.padEnd(4000, '.') });
    shim.set({ syncDelayUs: SYNC_MS * 1000 });
    const begun = inParallel(1000, 1000, (i) => client.Send(fields(i), { timeout: 60000 }).then(() => true, (error) => {
      assert.equal(error.code, 503, error);
      return false;
    }));
    await eventually('they are in flight', async () => (await sendEndpoint(client)).data.requests_in_flight > 500);
    await chatd.stop();
    const acknowledged = await begun;
    shim.set({ syncDelayUs: 0 });
    assert.ok(chatd.log.some(({ event }) => event === 'stop.hurried'));
    assert.ok(acknowledged.includes(true) && acknowledged.includes(false));
    await chatd.start();
    const again = await inParallel(1000, 100, (i) => client.Send(fields(i), { timeout: 20000 }));
    assert.deepEqual(again.map(({ duplicate }) => duplicate), acknowledged, 'those are there, and no others');
    await chatd.stop();
    verify(dataDirectory);
  });

  test('Sends after a slow sync are acknowledged only when theirs is done', async () => {
    const chatd = world.makeChatd({ dataDirectory: path.join(directory, 'data'), environment: shim.environment });
    await chatd.start();
    const client = await world.client();
    const chat = await client.chat('slow');
    shim.set({ syncDelayUs: SYNC_MS * 1000 });
    await inParallel(8, 8, async (i) => {
      await pause(i * 20);
      const began = Date.now();
      await client.Send({ chat_id: chat, user_id: 'u', text: `${i}` });
      assert.ok(Date.now() - began >= SYNC_MS - 5, 'not before a sync that began after it came');
    });
    shim.set({ syncDelayUs: 0 });
    await chatd.stop();
  });
});
