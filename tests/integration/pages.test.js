'use strict';
// A page never exceeds what the broker can carry, and says so with `more`.

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { World, inParallel, scaled } = require('./harness');
const { range, seqs } = require('./client');

const TEXT_BYTES = 64 * 1024;
const marked = (i, filler) => `${i} `.padEnd(TEXT_BYTES, filler);

// Walks a chat page by page and checks each page against what must be there.
async function walk(client, chat, total, { backward, limit, maxPayload, checkText }) {
  let done = 0;
  let pages = 0;
  while (done < total) {
    const left = total - done;
    const reply = await client.call('History', backward
      ? { chat_id: chat, before_seq: done === 0 ? 0 : left + 1, limit }
      : { chat_id: chat, from_seq: done + 1, limit });
    assert.ok(reply.value, JSON.stringify(reply.error));
    const { messages, more, head_seq } = reply.value;
    assert.ok(reply.bytes.length <= maxPayload, `${reply.bytes.length} bytes in a page`);
    assert.equal(head_seq, total);
    assert.ok(messages.length > 0 && messages.length <= limit);
    const expected = backward ? range(left - messages.length + 1, left) : range(done + 1, done + messages.length);
    assert.deepEqual(seqs(messages), expected);
    for (const message of messages) checkText(message);
    done += messages.length;
    pages++;
    assert.equal(more, done < total, `more after ${done} of ${total}`);
    // A page that is cut early is full, or nearly: a reader is not to come back for each message.
    const one = reply.bytes.length / messages.length;
    if (more && messages.length < limit) {
      assert.ok(reply.bytes.length + one + 2048 > maxPayload * 0.9, `a page of ${reply.bytes.length} bytes`);
    }
  }
  return pages;
}

describe(`${scaled(1000)} messages of 64 KiB`, { timeout: 300000 }, () => {
  test('come back in several pages, both ways, in both encodings', async () => {
    const world = await World.start();
    try {
      const client = await world.client();
      const chat = await client.chat('big');
      const total = scaled(1000);
      const texts = new Map();
      await inParallel(total, 32, async (i) => {
        const { message } = await client.Send({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: marked(i, 'x') });
        texts.set(message.seq, i);
      });
      const checkText = (message) => assert.ok(message.text === marked(texts.get(message.seq), 'x'), `text of ${message.seq}`);
      for (const json of [false, true]) {
        for (const backward of [false, true]) {
          const pages = await walk(client.with({ json }), chat, total, {
            backward, limit: 1000, maxPayload: client.connection.info.max_payload, checkText,
          });
          assert.ok(pages > total / 16.5 && pages < total / 12.5, `${pages} pages of 1 MiB`);
        }
      }
      await world.chatd.stop();
      await world.chatd.start();
      await walk(client, chat, total, { backward: false, limit: 3, maxPayload: 1 << 20, checkText });
      await walk(client, chat, total, { backward: true, limit: 1000, maxPayload: 1 << 20, checkText });
    } finally {
      await world.close();
    }
  });
});

describe('characters that JSON writes in six bytes', { timeout: 300000 }, () => {
  test('make JSON pages shorter, not too large', async () => {
    const world = await World.start();
    try {
      const client = await world.client();
      const chat = await client.chat('escaped');
      const total = 12;
      const text = '\u0001'.repeat(TEXT_BYTES / 2) + '"'.repeat(TEXT_BYTES / 2);
      for (let i = 0; i < total; i++) await client.Send({ chat_id: chat, user_id: 'u', text });
      const checkText = (message) => assert.ok(message.text === text);
      const maxPayload = client.connection.info.max_payload;
      for (const backward of [false, true]) {
        await walk(client, chat, total, { backward, limit: 1000, maxPayload, checkText });
        await walk(client.with({ json: true }), chat, total, { backward, limit: 1000, maxPayload, checkText });
      }
    } finally {
      await world.close();
    }
  });
});

describe('a broker with a small maximum payload', { timeout: 300000 }, () => {
  for (const [kib, count] of [[128, 40], [64, 40]]) {
    test(`${kib} KiB: pages fit`, async () => {
      const world = await World.start({ broker: { max_payload: kib * 1024 } });
      try {
        const client = await world.client();
        assert.equal(client.connection.info.max_payload, kib * 1024);
        const chat = await client.chat('small');
        const text = (i) => `${i} `.padEnd(i % 3 ? 20000 : 500, 'y');
        for (let i = 0; i < count; i++) await client.Send({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: text(i) });
        const checkText = (message) => assert.equal(message.text, text(Number(message.client_id)));
        for (const json of [false, true]) {
          for (const backward of [false, true]) {
            let done = 0;
            while (done < count) {
              const reply = await client.with({ json }).call('History', backward
                ? { chat_id: chat, before_seq: count - done + 1 } : { chat_id: chat, from_seq: done + 1 });
              const { messages, more } = reply.value;
              assert.ok(reply.bytes.length <= kib * 1024);
              messages.forEach(checkText);
              assert.deepEqual(seqs(messages), backward
                ? range(count - done - messages.length + 1, count - done) : range(done + 1, done + messages.length));
              done += messages.length;
              assert.equal(more, done < count);
            }
          }
        }
      } finally {
        await world.close();
      }
    });

    test(`${kib} KiB: whatever is asked is answered, and what was acknowledged can be read`, async () => {
      const maxPayload = kib * 1024;
      const world = await World.start({ broker: { max_payload: maxPayload } });
      try {
        const client = await world.client();
        const chat = await client.chat('edge');
        const kept = [];
        for (const json of [false, true]) {
          for (const filler of ['z', '"']) {
            for (let size = 63000; size <= 65536; size += size < 64900 ? 400 : 37) {
              const fields = { chat_id: chat, user_id: 'u', client_id: `${json}${filler}${size}`, text: filler.repeat(size) };
              let reply;
              try {
                reply = await client.call('Send', fields, { json });
              } catch (error) {
                // The request itself is more than this broker carries: the client does not send it.
                assert.equal(error.code, 'MAX_PAYLOAD_EXCEEDED', `${size} bytes: ${error}`);
                continue;
              }
              if (reply.error) reply.refused(413, 'chat.Send.TooLarge');
              else kept.push(reply.value.message);
            }
          }
        }
        assert.ok(kept.length > 0);
        assert.deepEqual(seqs(kept), range(1, kept.length), 'what was refused has taken no number');
        for (const { seq, text } of kept) {
          const { value } = await client.call('History', { chat_id: chat, from_seq: seq, limit: 1 });
          assert.ok(value.messages[0].text === text);
        }
      } finally {
        await world.close();
      }
    });
  }

  test('a broker that takes 600 bytes: a message whose reply it would not take is not kept', async () => {
    const world = await World.start({ broker: { max_payload: 600 } });
    try {
      await world.chatd.waitForEvent('broker.max_payload_small');
      const client = await world.client();
      const chat = await client.chat('small');
      for (let size = 350; size <= 520; size += 10) {
        const reply = await client.call('Send', { chat_id: chat, user_id: 'u', client_id: `${size}`, text: 'z'.repeat(size) });
        if (reply.error) reply.refused(413, 'chat.Send.TooLarge');
        const { head_seq: head } = await client.History({ chat_id: chat, from_seq: 100 });
        assert.equal(head, (size - (reply.error ? 350 : 340)) / 10, `${size} bytes`);
        if (reply.error) break;
        assert.ok(size < 520, 'one was too large');
      }
    } finally {
      await world.close();
    }
  });

  test('messages that came in by a larger broker are answered for: a page or a clear error', async () => {
    const world = await World.start();
    try {
      const client = await world.client();
      const chat = await client.chat('shrunk');
      const text = '\u0001'.repeat(TEXT_BYTES);
      for (const each of ['small', text, 'small again']) {
        await client.Send({ chat_id: chat, user_id: 'u', text: each });
      }
      await world.chatd.stop();
      await world.broker.stop();
      world.broker.settings = { max_payload: 64 * 1024 };
      await world.broker.start();
      await world.chatd.start();
      const reader = await world.client();
      for (const json of [false, true]) {
        const reading = reader.with({ json });
        assert.equal((await reading.History({ chat_id: chat, from_seq: 1, limit: 1 })).messages[0].text, 'small');
        assert.equal((await reading.History({ chat_id: chat, from_seq: 3 })).messages[0].text, 'small again');
        const page = await reading.History({ chat_id: chat, from_seq: 1 });
        assert.deepEqual([seqs(page.messages), page.more], [[1], true]);
        const middle = await reading.call('History', { chat_id: chat, from_seq: 2 });
        assert.ok(middle.error, 'a message of 64 KiB cannot be carried');
        assert.ok(middle.error.code === 413 || middle.error.code === 500, `${middle.error.code}`);
      }
    } finally {
      await world.close();
    }
  });
});
