'use strict';
// The earlier service's example, in its order: New, Send, History; by protobuf, by JSON and by the
// command line. Its callers must find the same answers here.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World } = require('../integration/harness');

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

function checkMessage(message, expected, sentAtMs, startedMs) {
  const { id, sent_at: _, ...rest } = message;
  assert.match(id, UUID);
  assert.notEqual(id, expected.client_id);
  assert.deepEqual(rest, expected);
  assert.ok(Math.abs(sentAtMs - startedMs) < 60000, `sent_at is now, not ${sentAtMs}`);
}

describe('the example of the earlier service', { timeout: 300000 }, () => {
  let world;
  before(async () => { world = await World.start(); });
  after(() => world && world.close());

  for (const json of [false, true]) {
    test(json ? 'by JSON' : 'by protobuf', async () => {
      const started = Date.now();
      // A namespace each, so that each creates the chat.
      const client = (await world.client()).with({ json, ns: json ? 'json' : 'protobuf' });
      const created = await client.New({ user_ids: ['JohnBarry'] });
      assert.match(created.chat_id, UUID);
      assert.deepEqual(created, { chat_id: created.chat_id, created: true });

      const fields = {
        client_id: 'fd8e1d9c-c8ef-4a86-a2b6-30c02b5e6f42',
        chat_id: created.chat_id,
        user_id: 'John',
        subject: 'Hello',
        text: 'Hey Barry',
      };
      const sent = await client.Send(fields);
      assert.equal(sent.duplicate, false);
      const sentAt = json ? Date.parse(sent.message.sent_at)
        : sent.message.sent_at.seconds * 1000 + sent.message.sent_at.nanos / 1e6;
      if (json) assert.match(sent.message.sent_at, RFC3339);
      checkMessage(sent.message, { ...fields, seq: 1 }, sentAt, started);

      const history = await client.History({ chat_id: created.chat_id });
      assert.deepEqual(history, { messages: [sent.message], head_seq: 1, more: false });
    });

    test(`Send without chat_id is refused, by ${json ? 'JSON' : 'protobuf'}`, async () => {
      const client = (await world.client()).with({ json });
      const reply = await client.call('Send', { user_id: 'John', subject: 'Hello', text: 'Hey Barry' });
      reply.refused(400, 'chat.Send.MissingChatID');
    });
  }

  for (const words of [[], ['chat']]) {
    test(`by the command line: ${['chat', ...words].join(' ')} new`, async () => {
      const started = Date.now();
      const run = async (...args) => {
        const { code, stdout, stderr } = await world.chat([...words, ...args]);
        assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
        return JSON.parse(stdout);
      };
      const user = words.length ? 'JohnBarry' : 'Barry';
      const created = await run('new', `--user_ids=${user}`);
      assert.match(created.chat_id, UUID);
      assert.equal(created.created, true);

      const sent = await run('send', `--chat_id=${created.chat_id}`, '--user_id=John', '--subject=Hello', '--text=Hey Barry');
      assert.equal(sent.duplicate, false);
      assert.match(sent.message.sent_at, RFC3339);
      const expected = {
        client_id: sent.message.client_id,
        chat_id: created.chat_id,
        user_id: 'John',
        subject: 'Hello',
        text: 'Hey Barry',
        seq: 1,
      };
      assert.match(sent.message.client_id, UUID);
      checkMessage(sent.message, expected, Date.parse(sent.message.sent_at), started);

      const history = await run('history', `--chat_id=${created.chat_id}`);
      assert.deepEqual(history, { messages: [sent.message], head_seq: 1, more: false });
    });

    test(`${['chat', ...words].join(' ')} send without chat_id is refused`, async () => {
      const { code, stdout, stderr } = await world.chat([...words, 'send', '--user_id=John', '--subject=Hello', '--text=Hey Barry']);
      assert.notEqual(code, 0);
      assert.equal(stdout, '');
      assert.match(stderr, /chat_id|MissingChatID/);
    });
  }
});
