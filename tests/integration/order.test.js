'use strict';
// One order without gaps, whoever sends and whoever reads, and while both go on.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, inParallel, scaled } = require('./harness');
const { range, seqs } = require('./client');

const CLIENTS = 8;
const EACH = scaled(1000);
const TOTAL = CLIENTS * EACH;
const LIMITS = [1, 7, 50, 1000];

describe(`${CLIENTS} clients send ${EACH} messages each to one chat`, { timeout: 300000 }, () => {
  let world;
  let chat;
  let reader;
  const sent = [];
  before(async () => {
    world = await World.start();
    reader = await world.client();
    chat = await reader.chat('crowd');
  });
  after(() => world && world.close());

  // A chain of pages is right if each starts where the one before it ended.
  async function follow(limit, isOver) {
    const client = await world.client();
    const seen = [];
    for (;;) {
      const over = isOver();
      const page = await client.History({ chat_id: chat, from_seq: seen.length + 1, limit });
      assert.deepEqual(seqs(page.messages), range(seen.length + 1, seen.length + page.messages.length));
      assert.ok(page.messages.length <= limit);
      seen.push(...page.messages);
      assert.ok(page.head_seq >= seen.length);
      assert.equal(page.more, page.head_seq > seen.length);
      if (page.more) assert.equal(page.messages.length, limit, 'a page with more behind it is full');
      if (over && !page.more) return seen;
      // With a limit of 1 the reader would never catch up; what it saw is what counts.
      if (over && limit < 50) return seen;
    }
  }

  async function walkBack(limit, isOver) {
    const client = await world.client();
    do {
      let before = 0;
      const newest = (await client.History({ chat_id: chat, limit: 1 })).head_seq;
      for (let pages = 0; pages < 40; pages++) {
        const page = await client.History({ chat_id: chat, before_seq: before, limit });
        const first = page.messages.length ? page.messages[0].seq : 1;
        const last = before === 0 ? page.head_seq : before - 1;
        if (before === 0) assert.ok(last >= newest, 'what was there stays there');
        assert.deepEqual(seqs(page.messages), range(first, last));
        assert.equal(page.messages.length, Math.min(limit, last));
        assert.equal(page.more, first > 1);
        if (!page.more) break;
        before = first;
      }
    } while (!isOver());
  }

  test('while sending goes on, pages forward and backward have no gap and no repeat', async () => {
    let over = false;
    const readers = LIMITS.flatMap((limit) => [follow(limit, () => over), walkBack(limit, () => over)]);
    const senders = await inParallel(CLIENTS, CLIENTS, () => world.client());
    const sending = Promise.all(senders.map(async (client, c) => {
      await inParallel(EACH, 8, async (i) => {
        const { message } = await client.Send({
          chat_id: chat, user_id: `u${c}`, client_id: `${c}-${i}`, text: `${c} ${i}`,
        });
        sent.push(message);
      });
    }));
    // A reader that fails must not be waited for.
    await Promise.race([sending, Promise.all(readers)]);
    await sending;
    over = true;
    const seen = await Promise.all(readers);
    for (const messages of seen.filter(Boolean)) {
      const bySeq = new Map(sent.map((message) => [message.seq, message]));
      for (const message of messages) assert.deepEqual(message, bySeq.get(message.seq));
    }
  });

  test(`seq 1 to ${TOTAL} is there once each`, () => {
    assert.deepEqual(seqs(sent).sort((a, b) => a - b), range(1, TOTAL));
    assert.equal(new Set(sent.map((message) => message.id)).size, TOTAL);
  });

  for (const limit of LIMITS) {
    test(`pages of ${limit} give exactly what was acknowledged, both ways`, async () => {
      const expected = [...sent].sort((a, b) => a.seq - b.seq);
      if (limit > 1) {
        assert.deepEqual(await reader.readAll(chat, { limit }), expected);
        assert.deepEqual(await reader.readAll(chat, { limit, backward: true }), expected);
        return;
      }
      // One by one, many at a time: each page is asked for by its own seq.
      const forward = await inParallel(TOTAL, 64, async (i) => reader.History({ chat_id: chat, from_seq: i + 1, limit }));
      assert.deepEqual(forward.flatMap((page) => page.messages), expected);
      assert.deepEqual(forward.map((page) => page.more), range(1, TOTAL).map((seq) => seq < TOTAL));
      const backward = await inParallel(TOTAL, 64, async (i) => reader.History({ chat_id: chat, before_seq: i + 2, limit }));
      assert.deepEqual(backward.flatMap((page) => page.messages), expected);
      assert.deepEqual(backward.map((page) => page.more), range(1, TOTAL).map((seq) => seq > 1));
    });
  }

  test('the same after a restart, from the disk alone', async () => {
    await world.chatd.stop();
    await world.chatd.start();
    const expected = [...sent].sort((a, b) => a.seq - b.seq);
    assert.deepEqual(await reader.readAll(chat), expected);
    assert.deepEqual(await reader.readAll(chat, { backward: true, limit: 333 }), expected);
  });
});
