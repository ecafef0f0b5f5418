'use strict';
// A full disk: writes get 507, reads go on, and writes resume by themselves when there is space.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { World, eventually, inParallel, makeDirectory, mountTmpfs, removeDirectory, unmount } = require('./harness');
const { range, seqs } = require('./client');

const DISK = '384m';

describe('a full disk', { timeout: 300000 }, () => {
  let world;
  let client;
  let disk;
  let chat;
  const acknowledged = [];
  before(async () => {
    disk = makeDirectory();
    mountTmpfs(disk, DISK);
    world = await World.start({ dataDirectory: path.join(disk, 'data') });
    client = await world.client();
    chat = await client.chat('disk');
  });
  after(async () => {
    try {
      if (world) await world.close();
    } finally {
      unmount(disk);
      removeDirectory(disk);
    }
  });

  const ballast = () => path.join(disk, 'ballast');
  function fill() {
    const handle = fs.openSync(ballast(), 'w');
    const piece = Buffer.alloc(256 * 1024, 1);
    try {
      for (;;) fs.writeSync(handle, piece);
    } catch (error) {
      assert.equal(error.code, 'ENOSPC');
    } finally {
      fs.closeSync(handle);
    }
  }
  let sent = 0;
  const fields = () => ({ chat_id: chat, user_id: 'u', client_id: `${sent++}`, text: 'x'.repeat(60000) });

  async function sendUntilFull() {
    const refused = [];
    for (let rounds = 0; refused.length === 0; rounds++) {
      assert.ok(rounds < 1000, 'the disk is full some time');
      const replies = await inParallel(32, 32, async () => {
        const request = fields();
        return { request, reply: await client.call('Send', request) };
      });
      for (const { request, reply } of replies) {
        if (reply.value) acknowledged.push(reply.value.message);
        else refused.push({ request, reply });
      }
    }
    return refused;
  }

  async function checkReads() {
    const messages = await client.readAll(chat);
    assert.deepEqual(messages, [...acknowledged].sort((a, b) => a.seq - b.seq));
  }

  for (const round of [1, 2]) {
    test(`writes are refused with 507, reads go on, writes resume (round ${round})`, async (t) => {
      await inParallel(50, 8, async () => acknowledged.push((await client.Send(fields())).message));
      fill();
      const refused = await sendUntilFull();
      for (const { reply } of refused) reply.refused(507, 'chat.Send.StorageFull');
      (await client.call('Send', fields(), { json: true })).refused(507, 'chat.Send.StorageFull');
      (await client.call('New', { user_ids: [`another ${round}`] })).refused(507, 'chat.New.StorageFull');
      (await client.call('New', { user_ids: [`another ${round}`] }, { json: true })).refused(507, 'chat.New.StorageFull');
      await checkReads();
      assert.deepEqual(seqs((await client.History({ chat_id: chat, limit: 1 }, { json: true })).messages), [acknowledged.length]);
      (await client.call('Send', { chat_id: chat, user_id: 'u' })).refused(400, 'chat.Send.MissingText');

      fs.rmSync(ballast());
      const freed = Date.now();
      const { request } = refused[0];
      const { message, duplicate } = await eventually('writes resume', async () => {
        const reply = await client.call('Send', request);
        if (reply.error) assert.equal(reply.error.code, 507);
        return reply.value;
      });
      t.diagnostic(`writes resumed after ${Date.now() - freed} ms`);
      assert.equal(duplicate, false, 'what was refused has not been carried out');
      acknowledged.push(message);
      for (const { request: again } of refused.slice(1)) {
        const retried = await client.sendUntilAcknowledged(again);
        assert.equal(retried.duplicate, false);
        acknowledged.push(retried.message);
      }
      await checkReads();
    });
  }

  test('kill -9 and restart on a full disk: everything can be read, and it resumes', async () => {
    fill();
    await sendUntilFull();
    await world.chatd.kill();
    await world.chatd.start();
    await checkReads();
    const reply = await client.call('Send', fields());
    if (reply.value) acknowledged.push(reply.value.message);
    else reply.refused(507, 'chat.Send.StorageFull');
    fs.rmSync(ballast());
    await eventually('writes resume', async () => {
      const { value, error } = await client.call('Send', fields());
      if (error) assert.equal(error.code, 507);
      else acknowledged.push(value.message);
      return value;
    });
    await checkReads();
  });

  test('SIGTERM on a full disk ends well, and nothing is lost', async () => {
    fill();
    await sendUntilFull();
    await world.chatd.stop();
    fs.rmSync(ballast());
    await world.chatd.start();
    await checkReads();
    assert.deepEqual(seqs(acknowledged).sort((a, b) => a - b), range(1, acknowledged.length));
  });
});
