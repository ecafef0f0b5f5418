'use strict';
// Data directories of formats that were left behind: read, gone on with, and verified. Each fixture
// is what the last program of its format left after kill -9, with messages that are settled and
// others that only the journal has; the JSON beside it is what History said then.

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { BIN, World, makeDirectory, removeDirectory } = require('./harness');

const FIXTURES = path.join(__dirname, 'fixtures');

function stats(directory) {
  return JSON.parse(execFileSync(path.join(BIN, 'chat-store'), ['stats', '--data-dir', directory, '--json']));
}

function verify(directory) {
  execFileSync(path.join(BIN, 'chat-store'), ['verify', '--data-dir', directory]);
}

describe('stores of older formats', { timeout: 120000 }, () => {
  test('format 1 of the database is read, gone on with, and becomes format 2', async () => {
    const directory = makeDirectory();
    const dataDirectory = path.join(directory, 'store');
    const chats = JSON.parse(fs.readFileSync(path.join(FIXTURES, 'store-format-1.json')));
    let world;
    try {
      execFileSync('tar', ['-xzf', path.join(FIXTURES, 'store-format-1.tar.gz'), '-C', directory]);
      verify(dataDirectory);
      assert.equal(stats(dataDirectory).database_format, 1);
      assert.equal(stats(dataDirectory).messages, 49);

      world = await World.start({ dataDirectory });
      for (const { namespace: ns, user_ids, messages } of chats) {
        const client = await world.client({ ns, json: true });
        const { chat_id } = messages[0];
        assert.deepEqual(await client.New({ user_ids }), { chat_id, created: false });
        assert.deepEqual((await client.History({ chat_id, from_seq: 1, limit: 1000 })).messages, messages);
        for (const message of messages) {
          const { user_id, client_id, subject, text } = message;
          assert.deepEqual(await client.Send({ chat_id, user_id, client_id, subject, text }), { message, duplicate: true });
        }
        const { message } = await client.Send({ chat_id, user_id: 'new', client_id: 'new', text: 'goes on' });
        assert.equal(message.seq, messages.length + 1);
      }
      await world.chatd.stop();
      verify(dataDirectory);
      assert.equal(stats(dataDirectory).database_format, 2);
      assert.equal(stats(dataDirectory).messages, 52);
    } finally {
      if (world) await world.close();
      removeDirectory(directory);
    }
  });
});
