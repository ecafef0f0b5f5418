'use strict';
// Many followers at once, each killed and resumed again and again, while the broker is restarted
// and chatd is killed: each of them is shown 1 … n, once each and in order, however slow it is.

const { describe, test } = require('node:test');
const { Program, World, cleanEnvironment, eventually, inParallel, makeDirectory, removeDirectory } = require('../integration/harness');
const { Load } = require('../integration/load');
const { LONG, TOOLS, assert, fs, path, seeded } = require('./rig');

const FOLLOWERS = LONG ? 200 : 40;
const MESSAGES = LONG ? 50000 : 4000;
const PROCESSES = 8;
const ROUNDS = LONG ? 40 : 10;
const PATIENCE_MS = LONG ? 900000 : 120000;
const RECORD_BYTES = 16;

// As in crowd.c: FNV-1a over id and text of each message.
function digestOf(messages) {
  let digest = 0n;
  for (const { id, text } of messages) {
    for (const byte of Buffer.from(id + text)) digest = BigInt.asUintN(64, (digest ^ BigInt(byte)) * 0x100000001b3n);
  }
  return digest;
}

class Crowd {
  constructor(url, chat, file, first, count, ...more) {
    Object.assign(this, { url, chat, file, first, count, more, kills: 0 });
  }

  start() {
    this.program = new Program('crowd', path.join(TOOLS, 'crowd'), ['follow', this.chat, this.file, this.first, this.count, ...this.more].map(String), {
      env: cleanEnvironment({ CHAT_NATS_URL: this.url }),
    });
    return this;
  }

  async kill() {
    this.check();
    await this.program.stop('SIGKILL');
    this.kills++;
  }

  check() {
    assert.ok(this.program.running, this.program.tail());
  }

  records() {
    const bytes = Buffer.alloc(this.count * RECORD_BYTES);
    const file = fs.openSync(this.file);
    fs.readSync(file, bytes, 0, bytes.length, this.first * RECORD_BYTES);
    fs.closeSync(file);
    return Array.from({ length: this.count }, (_, i) => ({
      next: Number(bytes.readBigUInt64LE(i * RECORD_BYTES)), digest: bytes.readBigUInt64LE(i * RECORD_BYTES + 8),
    }));
  }

  async hasShown(seq) {
    await eventually(`message ${seq} in crowd ${this.first}`, () => {
      this.check();
      return this.records().every(({ next }) => next === seq + 1);
    }, PATIENCE_MS);
  }

  async end() {
    const { code } = await this.program.stop('SIGTERM');
    assert.equal(code, 0, this.program.tail());
  }
}

describe('following', { timeout: 3600000 }, () => {
  test(`${FOLLOWERS} followers, killed and resumed; the broker restarted twice, chatd killed twice`, async (t) => {
    const random = seeded(t);
    const directory = makeDirectory();
    const world = await World.start();
    const crowds = [];
    try {
      const client = await world.client();
      const chat = await client.chat('crowd');
      const file = path.join(directory, 'state');
      const each = FOLLOWERS / PROCESSES;
      for (let i = 0; i < PROCESSES; i++) crowds.push(new Crowd(world.broker.url, chat, file, i * each, each).start());
      const slow = new Crowd(world.broker.url, chat, path.join(directory, 'slow'), 0, 1, 'slow').start();
      crowds.push(slow);
      const load = new Load([chat]).start(await inParallel(2, 2, () => world.client()), 32);
      const disturbances = [
        () => world.chatd.kill().then(() => world.chatd.start()),
        () => world.broker.stop('SIGKILL').then(() => world.broker.start()),
        () => world.chatd.kill().then(() => world.chatd.start()),
        () => world.broker.stop('SIGTERM').then(() => world.broker.start()),
      ];
      for (let round = 1; round <= ROUNDS; round++) {
        await load.further(Math.ceil(MESSAGES / ROUNDS));
        const chosen = crowds.filter((_, i) => i % ROUNDS === round - 1 || random() < 0.3);
        await Promise.all(chosen.map((crowd) => crowd.kill()));
        const disturbed = round % Math.ceil(ROUNDS / 5) === 0 && disturbances.length ? disturbances.shift()() : null;
        for (const crowd of chosen) crowd.start();
        await disturbed;
      }
      await load.stop();
      assert.equal(disturbances.length, 0);
      const total = load.acknowledged.length;
      assert.ok(total >= MESSAGES);
      const digest = digestOf(load.acknowledged.sort((a, b) => a.seq - b.seq));
      const fast = crowds.filter((crowd) => crowd !== slow);
      for (const crowd of fast) await crowd.hasShown(total);
      const [{ next: slowNext }] = slow.records();
      assert.ok(slowNext > 1 && slowNext <= total, `the slow one is at ${slowNext}, and held nobody up`);
      slow.program.child.kill('SIGUSR1');
      await slow.hasShown(total);
      for (const crowd of crowds) {
        for (const record of crowd.records()) assert.deepEqual(record, { next: total + 1, digest });
        await crowd.end();
      }
      t.diagnostic(`${total} messages, ${crowds.reduce((sum, { kills }) => sum + kills, 0)} kills of ${crowds.length} processes; the slow follower had seen ${slowNext - 1} when all others had seen all`);
    } finally {
      for (const crowd of crowds) if (crowd.program.running) await crowd.program.stop('SIGKILL');
      await world.close();
      removeDirectory(directory);
    }
  });
});
