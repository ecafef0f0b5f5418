'use strict';
// The NATS service API (ADR-32), by the official client's own service tools.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const fs = require('node:fs');
const path = require('node:path');
const transport = require('@nats-io/transport-node');
const { Svcm } = require('@nats-io/services');
const { ROOT, World, eventually } = require('../integration/harness');

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

  test('the answers have the fields of the service API, and no others', async () => {
    const known = {
      PING: { name: 'string', id: 'string', version: 'string', metadata: 'object', type: 'string' },
      INFO: { description: 'string', endpoints: 'object' },
      STATS: { started: 'string', endpoints: 'object' },
      endpoints: { name: 'string', subject: 'string', queue_group: 'string' },
      INFOendpoints: { metadata: 'object' },
      STATSendpoints: {
        num_requests: 'number', num_errors: 'number', last_error: 'string', processing_time: 'number',
        average_processing_time: 'number',
      },
    };
    const has = (object, ...fields) => {
      const expected = Object.assign({}, ...fields);
      assert.deepEqual(Object.keys(object).sort(), Object.keys(expected).sort());
      for (const [name, type] of Object.entries(expected)) assert.equal(typeof object[name], type, name);
    };
    for (const verb of ['PING', 'INFO', 'STATS']) {
      const body = await request(`$SRV.${verb}.chat`);
      has(body, known.PING, verb === 'PING' ? {} : known[verb]);
      for (const [name, value] of Object.entries(body.metadata)) assert.equal(typeof value, 'string', name);
      for (const { data, ...endpoint } of body.endpoints || []) {
        has(endpoint, known.endpoints, known[`${verb}endpoints`]);
        if (verb === 'STATS' && endpoint.name === 'Send') assert.equal(typeof data, 'object');
        else assert.equal(data, undefined);
      }
    }
    const { metadata } = await request('$SRV.PING.chat');
    assert.equal(metadata.store_id, world.chatd.log.find(({ event }) => event === 'ready').store_id);
    assert.deepEqual([metadata.max_text_bytes, metadata.max_users, metadata.journal_format, metadata.database_format],
      ['65536', '1000', '1', '2']);
    const { started } = await request('$SRV.STATS.chat');
    assert.match(started, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  });

  test('the client of the newer packages finds it as well', async () => {
    const newer = await transport.connect({ servers: world.broker.url });
    try {
      const finder = new Svcm(newer).client({ strategy: 'timer', maxWait: 1000 });
      const { id } = await request('$SRV.PING');
      for (const verb of ['ping', 'info', 'stats']) {
        const found = await all(await finder[verb]('chat'));
        assert.deepEqual(found.map((instance) => [instance.name, instance.id]), [['chat', id]]);
        assert.equal((await all(await finder[verb]('chat', id))).length, 1);
      }
      assert.ok((await all(await finder.ping())).some((instance) => instance.id === id));
    } finally {
      await newer.close();
    }
  });

  test('STATS has the health of the inside, each figure as the README has it', async () => {
    const readme = fs.readFileSync(path.join(ROOT, 'service/README.md'), 'utf8');
    const section = readme.split(/^## /m).find((part) => part.startsWith('Health of the inside'));
    const documented = [...section.matchAll(/^\| `([a-z_]+)` \| [^|]+ \| [^|]+ \|$/gm)].map(([, name]) => name);
    const data = async () => (await request('$SRV.STATS.chat')).endpoints.find(({ name }) => name === 'Send').data;
    const start = await data();
    assert.deepEqual(Object.keys(start).sort(), documented.sort());
    const chat = await client.chat('health');
    for (let i = 0; i < 3; i++) await client.Send({ chat_id: chat, user_id: 'health', text: 'x' });
    (await client.call('Send', { chat_id: chat, user_id: 'health' })).refused(400, 'chat.Send.MissingText');
    const end = await data();
    const more = (name) => end[name] - start[name];
    assert.deepEqual(['commands', 'last_lsn', 'events', 'connections_lost'].map(more), [4, 4, 3, 0]);
    assert.ok(more('batches') >= 1 && more('batches') <= 4);
    assert.equal(Object.values(end.batch_sizes).reduce((sum, count) => sum + count), end.batches);
    assert.ok(end.sync_us_max > 0 && end.sync_us_max <= end.sync_us_total);
    assert.equal(end.refused.MissingText, start.refused.MissingText + 1);
    assert.equal(end.settle_lag_commands, end.last_lsn - end.settled_lsn);
    await eventually('all is settled', async () => (await data()).settle_lag_commands === 0);
    await world.chatd.kill();
    const again = world.makeChatd({ dataDirectory: world.chatd.dataDirectory, args: ['--settle-ms=3600000'] });
    await again.start();
    const other = await client.chat('ann', 'health');
    await client.Send({ chat_id: other, user_id: 'health', text: 'x' });
    await again.kill();
    await world.chatd.start();
    const recovered = await data();
    assert.ok(recovered.recovered_records >= 2 && recovered.recovery_us > 0);
    await eventually('both connections', async () => (await data()).connections === 2);
    await world.broker.stop();
    await world.broker.start();
    await world.chatd.waitForEvent('broker.reconnected');
    await eventually('the loss is counted', async () => (await data()).connections_lost === 2);
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
