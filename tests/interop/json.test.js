'use strict';
// The proto3 JSON mapping, as far as the contract has it.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World } = require('../integration/harness');

describe('JSON', { timeout: 300000 }, () => {
  let world;
  let binary;
  let client;
  let chat;
  before(async () => {
    world = await World.start();
    binary = await world.client();
    client = binary.with({ json: true });
    chat = await client.chat('ann', 'bob');
    for (const n of [1, 2, 3, 4, 5]) {
      await client.Send({ chat_id: chat, user_id: 'ann', client_id: `c${n}`, text: `text ${n}` });
    }
  });
  after(() => world && world.close());

  test('says the same as protobuf', async () => {
    const json = await client.History({ chat_id: chat });
    const wire = await binary.History({ chat_id: chat });
    assert.deepEqual(json.messages.map(({ sent_at: _, ...rest }) => rest),
      wire.messages.map(({ sent_at: _, ...rest }) => rest));
    for (const [i, message] of json.messages.entries()) {
      const { seconds, nanos } = wire.messages[i].sent_at;
      const [, whole, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(message.sent_at);
      assert.equal(Date.parse(`${whole}Z`) / 1000, seconds);
      assert.equal(Number(fraction.padEnd(9, '0')), nanos);
    }
  });

  test('names are as in the proto, seq and head_seq are numbers, sent_at is RFC 3339', async () => {
    const page = await client.History({ chat_id: chat, limit: 1 });
    assert.deepEqual(Object.keys(page).sort(), ['head_seq', 'messages', 'more']);
    assert.deepEqual(Object.keys(page.messages[0]).sort(),
      ['chat_id', 'client_id', 'id', 'sent_at', 'seq', 'subject', 'text', 'user_id']);
    assert.equal(page.head_seq, 5);
    assert.equal(page.messages[0].seq, 5);
    assert.equal(page.messages[0].subject, '');
    assert.match(page.messages[0].sent_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
  });

  test('camelCase names are accepted', async () => {
    const made = await client.New({ userIds: ['bob', 'ann'] });
    assert.deepEqual(made, { chat_id: chat, created: false });
    const sent = await client.Send({ chatId: chat, userId: 'ann', clientId: 'c1', text: 'text 1' });
    assert.equal(sent.duplicate, true);
    const page = await client.History({ chatId: chat, fromSeq: 2, beforeSeq: 4 });
    assert.deepEqual(page.messages.map((message) => message.seq), [2, 3]);
  });

  test('numbers may be strings, and whole numbers may have an exponent', async () => {
    for (const [from, before, limit] of [['2', '4', '1'], [2.0, 4, '1e0'], [2, '4', 1]]) {
      const page = await client.History({ chat_id: chat, from_seq: from, before_seq: before, limit });
      assert.deepEqual(page.messages.map((message) => message.seq), [2]);
      assert.equal(page.more, true);
    }
    const written = await client.raw('History', `{"chat_id":"${chat}","from_seq":2.0,"limit":1e0}`);
    assert.deepEqual(written.value.messages.map((message) => message.seq), [2]);
    const last = await client.History({ chat_id: chat, before_seq: '18446744073709551615', limit: 2 });
    assert.deepEqual(last.messages.map((message) => message.seq), [4, 5]);
  });

  test('null and {} stand for defaults', async () => {
    const page = await client.History({ chat_id: chat, from_seq: null, limit: null });
    assert.equal(page.messages.length, 5);
    (await client.raw('New', '{}')).refused(400, 'chat.New.MissingUserIDs');
    (await client.raw('New', '{"user_ids":null}')).refused(400, 'chat.New.MissingUserIDs');
  });

  test('unknown fields are refused by name', async () => {
    for (const [method, fields] of [
      ['New', { user_ids: ['ann'], colour: 'red' }],
      ['Send', { chat_id: chat, user_id: 'ann', text: 'x', colour: 'red' }],
      ['History', { chat_id: chat, colour: 7 }],
    ]) {
      const { detail } = (await client.call(method, fields)).refused(400, `chat.${method}.Malformed`);
      assert.match(detail, /colour/);
    }
    assert.equal((await client.History({ chat_id: chat })).head_seq, 5);
  });

  test('a field that is given twice is refused, in both spellings too', async () => {
    for (const text of [
      `{"chat_id":"${chat}","chat_id":"${chat}"}`,
      `{"chat_id":"${chat}","chatId":"${chat}"}`,
    ]) {
      const { detail } = (await client.raw('History', text)).refused(400, 'chat.History.Malformed');
      assert.match(detail, /chat_?id/i);
    }
  });

  test('what is no such JSON is Malformed', async () => {
    for (const text of [
      '', '{', '[]', '"x"', 'null', '7', `{"chat_id":"${chat}"} x`, `{"chat_id":7}`,
      `{"chat_id":"${chat}","limit":-1}`, `{"chat_id":"${chat}","limit":1.5}`,
      `{"chat_id":"${chat}","limit":4294967296}`, `{"chat_id":"${chat}","limit":"x"}`,
      `{"chat_id":"${chat}","limit":""}`, `{"chat_id":"${chat}","limit":true}`,
      `{"chat_id":"${chat}","from_seq":"18446744073709551616"}`, `{"chat_id":["${chat}"]}`,
      '['.repeat(100000), '{"chat_id":'.repeat(20000),
    ]) {
      const reply = await client.raw('History', text);
      reply.refused(400, 'chat.History.Malformed');
    }
    for (const text of ['{"user_ids":"ann"}', '{"user_ids":[7]}', '{"user_ids":[null]}', '{"user_ids":{}}']) {
      (await client.raw('New', text)).refused(400, 'chat.New.Malformed');
    }
    assert.equal((await client.History({ chat_id: chat })).head_seq, 5);
  });

  test('text keeps every character, escaped or not', async () => {
    const text = 'quote " backslash \\ slash / tab \t newline \r\n escape \u001b delete \u007f emoji 👩‍👩‍👧‍👦 line \u2028 שלום';
    const sent = await client.Send({ chat_id: chat, user_id: 'ann', text });
    assert.equal(sent.message.text, text);
    const escaped = [...Array(text.length).keys()]
      .map((i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('');
    const again = await client.raw('Send', `{"chat_id":"${chat}","user_id":"ann","text":"${escaped}"}`);
    assert.equal(again.value.message.text, text);
    const wire = await binary.History({ chat_id: chat, limit: 2 });
    assert.deepEqual(wire.messages.map((message) => message.text), [text, text]);
  });

  test('half a surrogate pair, and NUL, are refused', async () => {
    const send = (text) => client.raw('Send', `{"chat_id":"${chat}","user_id":"ann","text":"${text}"}`);
    for (const half of ['\\ud83d', '\\ude00', '\\ud83dx']) {
      const { error } = await send(half);
      assert.equal(error && error.code, 400, half);
    }
    (await send('a\\u0000b')).refused(400, 'chat.Send.InvalidText');
  });
});
