'use strict';
// While messages move from memory to the database, and chats leave the memory and come back, all
// that is promised holds: with everything as small as it can be set, that happens all the time.

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { World, inParallel, scaled } = require('./harness');
const { range, seqs } = require('./client');
const { Load } = require('./load');

const ARGS = [
  '--settle-ms=1', '--settle-bytes=4KiB', '--tail-bytes=1MiB', '--chat-cache-bytes=64KiB',
  '--journal-segment-bytes=1MiB', '--journal-segments=2', '--settle-slice-bytes=4KiB',
];

describe('settling all the time', { timeout: 300000 }, () => {
  test('retries, pages and new messages at once: one message each, no gap', async () => {
    const world = await World.start({ args: ARGS });
    try {
      const clients = await inParallel(4, 4, () => world.client());
      const chats = await inParallel(50, 50, (i) => clients[0].chat(`settling ${i}`));
      const total = scaled(8000);
      const first = new Map();
      let sent = 0;
      let reading = true;
      // Who retries picks what was just sent, or anything before: known to the tail, to the
      // database, or just on its way from one to the other.
      const fieldsOf = (i) => ({
        chat_id: chats[i % chats.length], user_id: 'u', client_id: `${i}`, text: `text ${i} ${'.'.repeat(i % 300)}`,
      });
      const send = async (i) => {
        const reply = await clients[i % 4].sendUntilAcknowledged(fieldsOf(i), { timeout: 20000 });
        const known = first.get(i);
        if (known) assert.deepEqual(reply.message, known);
        else first.set(i, reply.message);
        return reply;
      };
      const reader = async (chat) => {
        let head = 0;
        const seen = new Map();
        while (reading) {
          const page = await clients[1].History({ chat_id: chat, from_seq: Math.max(1, head - 20), limit: 1000 });
          assert.ok(page.head_seq >= head, 'the head never goes back');
          if (!page.more && page.messages.length) assert.equal(page.messages.at(-1).seq, page.head_seq);
          assert.deepEqual(seqs(page.messages), range(Math.max(1, head - 20), Math.max(1, head - 20) + page.messages.length - 1));
          for (const { seq, id } of page.messages) {
            assert.equal(seen.get(seq) ?? id, id);
            seen.set(seq, id);
          }
          head = page.messages.length ? page.messages.at(-1).seq : head;
          const newest = await clients[2].History({ chat_id: chat, limit: 30 });
          assert.deepEqual(seqs(newest.messages), range(Math.max(1, newest.head_seq - 29), newest.head_seq));
        }
      };
      const readers = Promise.all(chats.slice(0, 3).map(reader));
      const sending = inParallel(total, 256, async () => {
        const i = sent++;
        const again = [i, i, Math.max(0, i - 1), Math.max(0, i - 300), Math.floor(i / 2), i % 7][i % 6];
        await Promise.all([send(i), send(again)]);
      });
      await Promise.race([sending, readers]);
      await sending;
      reading = false;
      await readers;

      let count = 0;
      const check = async () => {
        count = 0;
        for (const chat of chats) {
          const messages = await clients[0].readAll(chat, { limit: 137 });
          assert.deepEqual(seqs(messages), range(1, messages.length));
          for (const message of messages) assert.deepEqual(message, first.get(Number(message.client_id)));
          count += messages.length;
        }
        assert.equal(count, total);
      };
      await check();
      await inParallel(total, 256, async (i) => assert.equal((await send(i)).duplicate, true));
      await world.chatd.kill();
      await world.chatd.start();
      await check();
      await inParallel(total, 256, async (i) => assert.equal((await send(i)).duplicate, true));
      await check();
    } finally {
      await world.close();
    }
  });

  test('kill -9 in the middle of it, again and again', async () => {
    const world = await World.start({ args: ARGS });
    try {
      const client = await world.client();
      const chats = await inParallel(30, 30, (i) => client.chat(`killed ${i}`));
      const load = new Load(chats).start([client, await world.client()], 48);
      for (const round of range(1, 8)) {
        await load.further(137 * round);
        await world.chatd.kill();
        await world.chatd.start();
      }
      await load.stop();
      await load.check(client);
    } finally {
      await world.close();
    }
  });

  test('messages as large as they may be, with a journal as small as it may be', async () => {
    const world = await World.start({ args: ARGS });
    try {
      const client = await world.client();
      const chat = await client.chat('large');
      const total = scaled(500);
      await inParallel(total, 64, (i) => client.sendUntilAcknowledged({
        chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i} `.padEnd(65536, 'x'),
      }, { timeout: 20000 }));
      const messages = await client.readAll(chat);
      assert.deepEqual(seqs(messages), range(1, total));
      assert.equal(new Set(messages.map((message) => message.client_id)).size, total);
    } finally {
      await world.close();
    }
  });
});
