'use strict';
// The recipe of proto/README.md for following a chat, run as it stands there, with the official
// client: it misses nothing and repeats nothing, whatever happens to broker, service and follower.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { pathToFileURL } = require('node:url');
const protobuf = require('protobufjs');
const { ROOT, World, eventually, inParallel, makeDirectory, removeDirectory, scaled } = require('../integration/harness');
const { range } = require('../integration/client');
const { Load } = require('../integration/load');

const chat = protobuf.loadSync(path.join(ROOT, 'proto/chat.proto')).lookup('chat');

describe('following by the recipe', { timeout: 300000 }, () => {
  let directory;
  let follow;
  let world;
  let client;
  before(async () => {
    directory = makeDirectory();
    const readme = fs.readFileSync(path.join(ROOT, 'proto/README.md'), 'utf8');
    const file = path.join(directory, 'follow.mjs');
    fs.writeFileSync(file, /```js\n([^]*?)```/.exec(readme)[1]);
    ({ follow } = await import(pathToFileURL(file)));
    world = await World.start();
    client = await world.client();
  });
  after(async () => {
    if (world) await world.close();
    removeDirectory(directory);
  });

  // Hands on to itself until stopped; `next` is then where to resume.
  // Following ends with an error when its connection is closed for good.
  class Follower {
    constructor(connection, chatId, options = {}) {
      Object.assign(this, { connection, chatId, options, next: options.next ?? 1, texts: [] });
    }

    start() {
      this.stopped = false;
      this.running = this.#run();
      this.running.catch((error) => { this.error = error; });
      return this;
    }

    async #run() {
      for await (const message of follow(this.connection, chat, { ...this.options, chatId: this.chatId, next: this.next })) {
        assert.equal(Number(message.seq), this.next);
        this.texts.push(message.text);
        this.next++;
        if (this.stopped) return;
      }
    }

    // With the next message, as a program that ends between two of them.
    async resume() {
      this.stopped = true;
      await this.running;
      this.start();
    }

    async hasShown(seq) {
      await eventually(`message ${seq}, ${this.next} is next`, () => {
        if (this.error) throw this.error;
        return this.next > seq;
      }, 60000);
    }
  }

  test('over restarts of broker and service, and its own', async () => {
    const chatId = await client.chat('recipe');
    const followers = await inParallel(8, 8, async () => new Follower(await world.connect(), chatId, { checkMs: 2000 }).start());
    const load = new Load([chatId]).start([await world.client()], 32);
    const further = scaled(1000);
    for (const disturb of [
      () => world.chatd.kill().then(() => world.chatd.start()),
      () => world.broker.stop('SIGKILL').then(() => world.broker.start()),
      () => world.chatd.kill().then(() => world.chatd.start()),
      () => world.broker.stop('SIGTERM').then(() => world.broker.start()),
    ]) {
      await load.further(further);
      const resumed = Promise.all(followers.filter(() => Math.random() < 0.5).map((follower) => follower.resume()));
      await disturb();
      await load.further(further);
      await resumed;
    }
    await load.stop();
    const total = load.acknowledged.length;
    const texts = load.acknowledged.sort((a, b) => a.seq - b.seq).map(({ text }) => text);
    for (const follower of followers) {
      await follower.hasShown(total);
      assert.deepEqual(follower.texts, texts);
    }
  });

  test('lost events are found, by a later one and by asking', async () => {
    const chatId = await client.chat('recipe, lost');
    const slow = new Follower(await world.connect(), chatId, { checkMs: 5000 }).start();
    const asking = new Follower(await world.connect(), chatId, { checkMs: 300 }).start();
    const send = (n) => client.sendUntilAcknowledged({ chat_id: chatId, user_id: 'u', client_id: `${n}`, text: `${n}` });
    await send(1);
    await Promise.all([slow.hasShown(1), asking.hasShown(1)]);
    const { args } = world.chatd;
    await world.chatd.stop();
    world.chatd.args = [...args, '--events=false'];
    await world.chatd.start();
    for (const n of range(2, 5)) await send(n);
    await asking.hasShown(5);
    await world.chatd.stop();
    world.chatd.args = args;
    await world.chatd.start();
    await send(6);
    await Promise.all([slow.hasShown(6), asking.hasShown(6)]);
    assert.deepEqual(slow.texts, ['1', '2', '3', '4', '5', '6']);
    await asking.connection.close();
    await assert.rejects(asking.running, 'it does not go on without a connection');
  });

  test('a chat that is not there is an error', async () => {
    const follower = new Follower(await world.connect(), '00000000-0000-4000-8000-000000000000').start();
    await assert.rejects(follower.running, /no such chat/);
  });
});
