'use strict';
// kill -9 in the middle of load: acknowledged means durable, and a retry is no second message.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { World, eventually, inParallel } = require('./harness');
const { range } = require('./client');
const { Load } = require('./load');

describe('kill -9', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  test('several times under load, nothing acknowledged is lost, repeated or out of order', async () => {
    const chats = await Promise.all(range(1, 7).map((i) => client.chat(`crash ${i}`)));
    const clients = await inParallel(4, 4, () => world.client());
    const load = new Load(chats).start(clients, 16);
    for (const round of range(1, 6)) {
      await load.further(300 * round);
      await world.chatd.kill();
      await world.chatd.start();
    }
    await load.further(500);
    await load.stop();
    await load.check(client);
    await world.chatd.kill();
    await world.chatd.start();
    await load.check(client);
    await world.chatd.stop();
    await world.chatd.start();
    await load.check(client);
  });

  test('the log says how many records were recovered, and in what time', async () => {
    const chat = await client.chat('recovery line');
    await Promise.all(range(1, 200).map((i) => client.Send({ chat_id: chat, user_id: 'u', text: `${i}` })));
    await world.chatd.kill();
    await world.chatd.start();
    const line = world.chatd.log.find((fields) => /recover/.test(fields.event));
    assert.ok(line, `a line about recovery among ${world.chatd.log.map((fields) => fields.event)}`);
    assert.match(line.records, /^\d+$/);
    assert.ok(Object.entries(line).some(([name, value]) => /^took_(ms|us)$/.test(name) && /^\d+(\.\d+)?$/.test(value)),
      JSON.stringify(line));
  });

  test('every acknowledged message is there when the kill follows the acknowledgement at once', async () => {
    const chat = await client.chat('at once');
    for (const round of range(1, 5)) {
      const { message } = await client.Send({ chat_id: chat, user_id: 'u', client_id: `${round}`, text: 'x' });
      world.chatd.signal('SIGKILL');
      await world.chatd.program.exited;
      await world.chatd.start();
      assert.equal(message.seq, round);
      assert.deepEqual((await client.History({ chat_id: chat, limit: 1 })).messages, [message]);
    }
  });

  test('a kill during recovery or settling does no harm', async () => {
    const chat = await client.chat('again and again');
    const load = new Load([chat]).start([client], 64);
    await load.further(3000);
    await world.chatd.kill();
    // Each start is killed as soon as it says anything, later and later.
    for (const lines of range(1, 4)) {
      const program = world.chatd.spawn();
      await eventually('it says something or is ready', () => program.lines.length >= lines
        || program.lines.some((line) => / event=ready /.test(line)));
      await world.chatd.kill();
    }
    await world.chatd.start();
    await load.further(200);
    await load.stop();
    await load.check(client);
  });

  test('a torn end of the journal is cut off', async () => {
    const chat = await client.chat('torn');
    const sent = await Promise.all(range(1, 50).map((i) => client.Send({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}` })));
    await world.chatd.kill();
    tearJournal(path.join(world.chatd.dataDirectory, 'journal'));
    await world.chatd.start();
    const messages = await client.readAll(chat);
    assert.deepEqual(messages, sent.map((reply) => reply.message).sort((a, b) => a.seq - b.seq));
    const { message } = await client.Send({ chat_id: chat, user_id: 'u', text: 'after' });
    assert.equal(message.seq, 51);
    await world.chatd.kill();
    await world.chatd.start();
    assert.equal((await client.readAll(chat)).length, 51);
  });
});

// Writes garbage where the next record would go, as a crash in the middle of a write may leave it.
function tearJournal(directory) {
  const segments = fs.readdirSync(directory).map((name) => path.join(directory, name)).map((file) => {
    const bytes = fs.readFileSync(file);
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end--;
    return { file, end, size: bytes.length, written: fs.statSync(file).mtimeMs };
  }).filter(({ end, size }) => end > 4096 && end + 64 < size);
  assert.ok(segments.length > 0, 'a journal segment with records');
  // Only the segment that was being written can have a torn end.
  const [{ file, end }] = segments.sort((a, b) => b.written - a.written);
  const handle = fs.openSync(file, 'r+');
  // A record may end in zero bytes of its own: leave room for those.
  fs.writeSync(handle, Buffer.from('torn'.repeat(4)), 0, 16, Math.ceil(end / 8) * 8);
  fs.closeSync(handle);
}
