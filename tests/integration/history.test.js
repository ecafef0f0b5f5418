'use strict';
// History: which messages a page holds, whether there is more, and the head; every combination of
// from_seq, before_seq and limit around the edges, against a model of the contract.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, inParallel } = require('./harness');
const { range, seqs } = require('./client');

// The contract, in the words of arithmetic.
function model(head, from, before, limit) {
  const most = limit === 0 ? 50 : Math.min(limit, 1000);
  const first = from || 1;
  const last = before ? Math.min(before - 1, head) : head;
  const all = range(first, last);
  const page = from ? all.slice(0, most) : all.slice(-most);
  return { seqs: page, more: all.length > page.length, head_seq: head };
}

const MAX64 = '18446744073709551615';
const number = (value) => Number(value);

describe('History', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  async function chatOf(count, name = `chat of ${count}`) {
    const chat = await client.chat(name);
    await inParallel(count, 256, (i) => client.Send({ chat_id: chat, user_id: 'u', client_id: `c${i}`, text: `${i}` }));
    return chat;
  }

  async function check(chat, head, from, before, limit, options) {
    const what = `from_seq ${from}, before_seq ${before}, limit ${limit} of ${head}`;
    const reply = await client.call('History', { chat_id: chat, from_seq: from, before_seq: before, limit }, options);
    if (number(before) > 0 && number(from) > number(before)) {
      reply.refused(400, 'chat.History.InvalidRange');
      return;
    }
    assert.ok(reply.value, `${what}: ${JSON.stringify(reply.error)}`);
    const { messages, more, head_seq } = reply.value;
    assert.deepEqual({ seqs: seqs(messages), more, head_seq },
      model(head, number(from), number(before), limit), what);
  }

  test('an empty chat is an empty page', async () => {
    const chat = await chatOf(0);
    for (const [from, before] of [[0, 0], [1, 0], [0, 1], [1, 1], [5, 0], [0, 5], [2, 9]]) {
      await check(chat, 0, from, before, 0);
      await check(chat, 0, from, before, 10, { json: true });
    }
  });

  for (const head of [1, 3, 50, 51]) {
    test(`every range of a chat of ${head}`, async () => {
      const chat = await chatOf(head);
      const edges = [...new Set([0, 1, 2, 3, 4, head - 1, head, head + 1, head + 2, 1e6, MAX64].filter((n) => n === MAX64 || n >= 0))];
      const limits = [...new Set([0, 1, 2, 3, head - 1, head, head + 1, 1000])];
      const combinations = edges.flatMap((from) => edges.flatMap((before) => limits.map((limit) => [from, before, limit])));
      await inParallel(combinations.length, 64, (i) => check(chat, head, ...combinations[i], { json: i % 5 === 0 }));
    });
  }

  test('limit 0 is 50, and more than 1000 is 1000', async () => {
    const head = 2500;
    const chat = await chatOf(head);
    for (const limit of [0, 49, 50, 51, 999, 1000, 1001, 1002, 5000, 4294967295]) {
      for (const [from, before] of [[0, 0], [1, 0], [0, 2000], [0, 1001], [0, 1002], [1, 1001], [1, 1002],
        [1, 2501], [1500, 0], [1501, 0], [1502, 0], [500, 700], [500, 500]]) {
        await check(chat, head, from, before, limit);
        await check(chat, head, from, before, limit, { json: true });
      }
    }
    await world.chatd.stop();
    await world.chatd.start();
    for (const [from, before] of [[0, 0], [1, 0], [0, 2000], [1, 1002], [2500, 0], [2501, 0]]) {
      await check(chat, head, from, before, 1001);
      await check(chat, head, from, before, 0);
    }
  });

  test('what is in the tail and what is settled make one page', async () => {
    const chat = await chatOf(300, 'half settled');
    await world.chatd.stop();
    await world.chatd.start();
    for (let head = 301; head <= 340; head++) {
      await client.Send({ chat_id: chat, user_id: 'u', text: 'later' });
      await check(chat, head, 0, 0, 100);
      await check(chat, head, 250, 0, 1000);
      await check(chat, head, 290, 310, 15);
      await check(chat, head, 0, 305, 10);
      await check(chat, head, 0, 0, 1000);
    }
  });

  test('a reader that has n asks from n + 1 and misses nothing', async () => {
    const chat = await client.chat('followed');
    const total = 2000;
    const reader = await world.client();
    const sending = inParallel(total, 32, (i) => client.Send({ chat_id: chat, user_id: 'u', text: `${i}` }));
    const seen = [];
    while (seen.length < total) {
      const page = await reader.History({ chat_id: chat, from_seq: seen.length + 1, limit: 100 });
      seen.push(...seqs(page.messages));
    }
    await sending;
    assert.deepEqual(seen, range(1, total));
  });
});
