'use strict';
// The NATS service API (ADR-32), by the official client's own service tools.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, eventually } = require('../integration/harness');

const all = async (iterator) => {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
};

describe('the service API', { timeout: 300000 }, () => {
  let world;
  let client;
  let services;
  before(async () => {
    world = await World.start();
    client = await world.client();
    services = client.connection.services.client({ strategy: 'timer', maxWait: 1000 });
  });
  after(() => world && world.close());

  const request = async (subject) => (await client.connection.request(subject, '', { timeout: 5000 })).json();

  test('PING, INFO and STATS are answered under all three subjects', async () => {
    const { id } = await request('$SRV.PING');
    const bodies = {};
    for (const verb of ['PING', 'INFO', 'STATS']) {
      for (const subject of [`$SRV.${verb}`, `$SRV.${verb}.chat`, `$SRV.${verb}.chat.${id}`]) {
        const body = await request(subject);
        assert.equal(body.name, 'chat');
        assert.equal(body.id, id);
        assert.match(body.version, /^\d+\.\d+\.\d+/);
        assert.equal(body.type, `io.nats.micro.v1.${verb.toLowerCase()}_response`);
        bodies[verb] = body;
      }
    }
    assert.deepEqual(bodies.INFO.endpoints.map((endpoint) => endpoint.subject.replace(/\.[*>]$/, ''))
      .filter((subject, i, subjects) => subjects.indexOf(subject) === i).sort(),
    ['chat.History', 'chat.New', 'chat.Send']);
    for (const endpoint of bodies.INFO.endpoints) assert.equal(endpoint.queue_group, 'q');
    assert.equal(typeof bodies.INFO.description, 'string');
    assert.ok(Date.parse(bodies.STATS.started) <= Date.now());
  });

  test('the official client finds exactly one instance', async () => {
    for (const found of [await all(await services.ping('chat')), await all(await services.info('chat')),
      await all(await services.stats('chat'))]) {
      assert.equal(found.length, 1);
      assert.equal(found[0].name, 'chat');
    }
    await assert.rejects(request('$SRV.PING.nobody'), { code: '503' });
    await assert.rejects(request('$SRV.PING.chat.nobody'), { code: '503' });
  });

  test('two instances have two ids', async () => {
    const { id } = await request('$SRV.PING');
    const second = world.makeChatd({ dataDirectory: `${world.chatd.dataDirectory}-second` });
    await second.start();
    try {
      const found = await all(await services.ping('chat'));
      assert.equal(new Set(found.map((instance) => instance.id)).size, 2);
      assert.ok(found.some((instance) => instance.id === id));
    } finally {
      await second.stop();
    }
  });

  test('STATS counts requests and errors of each endpoint', async () => {
    const count = async () => {
      const totals = {};
      for (const endpoint of (await request('$SRV.STATS.chat')).endpoints) {
        const method = endpoint.subject.split('.')[1];
        totals[method] ??= { requests: 0, errors: 0, processing: 0, lastError: '' };
        totals[method].requests += endpoint.num_requests;
        totals[method].errors += endpoint.num_errors;
        totals[method].processing += endpoint.processing_time;
        totals[method].lastError ||= endpoint.last_error || '';
      }
      return totals;
    };
    const start = await count();
    const chat = await client.chat('ann');
    for (let i = 0; i < 5; i++) await client.Send({ chat_id: chat, user_id: 'ann', text: 'x' });
    (await client.call('Send', { chat_id: chat, user_id: 'ann' })).refused(400, 'chat.Send.MissingText');
    await client.with({ ns: 'other' }).chat('ann');
    const end = await eventually('the counts are there', async () => {
      const now = await count();
      return now.Send.requests === start.Send.requests + 6 && now;
    });
    assert.equal(end.Send.errors, start.Send.errors + 1);
    assert.equal(end.New.requests, start.New.requests + 2);
    assert.equal(end.New.errors, start.New.errors);
    assert.equal(end.History.requests, start.History.requests);
    assert.ok(end.Send.processing > start.Send.processing);
    assert.match(end.Send.lastError, /400|text/i);
  });
});
