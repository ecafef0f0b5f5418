'use strict';
// A second chatd on the same broker would split the chats between the two: it is found, at the
// start and while both run, and refused.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const { Broker, Chatd, World, eventually, makeDirectory, removeDirectory } = require('./harness');

describe('another chatd on the same broker', { timeout: 120000 }, () => {
  let world;
  let client;
  let directory;
  before(async () => {
    world = await World.start();
    client = await world.client();
    directory = makeDirectory();
  });
  after(async () => {
    if (world) await world.close();
    removeDirectory(directory);
  });

  const ping = async (id) => (await client.connection.request(`$SRV.PING.chat${id ? `.${id}` : ''}`, '', { timeout: 20000 })).json();
  const of = (chatd, event) => chatd.log.filter((line) => line.event === event);

  async function refused(chatd) {
    chatd.spawn();
    const { code } = await chatd.program.exited;
    assert.equal(code, 1, chatd.program.tail());
    assert.deepEqual(of(chatd, 'ready'), [], 'it never took requests');
    chatd.checkOutput();
    const [line] = of(chatd, 'other_instance');
    assert.equal(line.level, 'error');
    return line;
  }

  test('with a store of its own is refused at the start, and told what to do', async () => {
    const first = await ping();
    const second = world.makeChatd({ dataDirectory: `${directory}/second` });
    const line = await refused(second);
    assert.deepEqual([line.id, line.store_id], [first.id, first.metadata.store_id]);
    assert.notEqual(line.own_store_id, line.store_id);
    assert.match(line.problem, /split/);
    assert.match(line.advice, /chat ping/);
    assert.equal((await ping(first.id)).id, first.id, 'the first one goes on');
    assert.equal(of(world.chatd, 'stopping').length, 0);
  });

  test('with a copy of the same store as well', async () => {
    const { metadata } = await ping();
    await world.chatd.kill();
    fs.cpSync(world.chatd.dataDirectory, `${directory}/copy`, { recursive: true });
    await world.chatd.start();
    const line = await refused(world.makeChatd({ dataDirectory: `${directory}/copy` }));
    assert.equal(line.store_id, metadata.store_id);
    assert.equal(line.own_store_id, metadata.store_id);
    assert.match(line.problem, /copy/);
  });

  test('in a NATS account of its own is none of our business', async () => {
    const broker = new Broker({
      accounts: '{ A: { users: [ { user: a, password: x } ] }, B: { users: [ { user: b, password: x } ] } }',
    });
    broker.probe = { user: 'a', pass: 'x' };
    await broker.start();
    const chatds = ['a', 'b'].map((user) => new Chatd({
      url: `nats://${user}:x@127.0.0.1:${broker.port}`, dataDirectory: `${directory}/${user}`,
    }));
    try {
      await Promise.all(chatds.map((chatd) => chatd.start()));
      for (const chatd of chatds) await chatd.stop();
    } finally {
      for (const chatd of chatds) if (chatd.program.running) await chatd.program.stop('SIGKILL');
      await broker.close();
    }
  });

  test('somebody else of that name, who is not this service, does not matter', async () => {
    const other = await world.connect();
    const answers = [
      { name: 'chat', id: 'x', version: '1.0.0', type: 'io.nats.micro.v1.ping_response', metadata: {} },
      { name: 'chat', id: 'x', type: 'something else', metadata: { store_id: 'x' } },
      'no object', '', '{',
    ];
    other.subscribe('$SRV.PING.chat', {
      callback: (_, message) => {
        for (const answer of answers) other.publish(message.reply, typeof answer === 'string' ? answer : JSON.stringify(answer));
      },
    });
    await other.flush();
    await world.chatd.stop();
    await world.chatd.start();
    assert.deepEqual(of(world.chatd, 'other_instance'), []);
    assert.equal(of(world.chatd, 'other_instance.unknown').length, 1, 'that nobody of us answered is said');
    await other.close();
  });

  test('of several that start together one stays', async () => {
    const broker = new Broker();
    await broker.start();
    const chatds = [1, 2, 3].map((n) => new Chatd({ url: broker.url, dataDirectory: `${directory}/together-${n}` }));
    try {
      for (const chatd of chatds) chatd.spawn();
      await eventually('two have given up', () => chatds.filter((chatd) => !chatd.program.running).length === 2);
      const [last] = chatds.filter((chatd) => chatd.program.running);
      for (const chatd of chatds.filter((one) => one !== last)) assert.equal((await chatd.program.exited).code, 1);
      await last.ready();
      await last.stop();
    } finally {
      for (const chatd of chatds) if (chatd.program.running) await chatd.program.stop('SIGKILL');
      await broker.close();
    }
  });

  test('two that ran apart and meet: the one that started later answers what it has, and goes', async () => {
    const brokers = [new Broker(), new Broker()];
    for (const broker of brokers) await broker.start();
    const [older, younger] = brokers.map((broker, i) => new Chatd({ url: broker.url, dataDirectory: `${directory}/apart-${i}` }));
    try {
      await older.start();
      await younger.start();
      // The network grows together: the younger one's broker comes back as a part of the other's cluster.
      const [port] = await freePorts(1);
      const cluster = (name, routes) => `{ name: c, listen: "127.0.0.1:${name}", routes: [${routes}] }`;
      await brokers[0].stop();
      await brokers[1].stop();
      brokers[0].settings = { cluster: cluster(port, '') };
      brokers[1].settings = { cluster: cluster(-1, `"nats://127.0.0.1:${port}"`) };
      for (const broker of brokers) await broker.start();
      const { code } = await younger.program.exited;
      assert.equal(code, 1, younger.program.tail());
      const [line] = of(younger, 'other_instance');
      assert.equal(line.action, 'this one stops');
      assert.equal(of(younger, 'stopped').length, 1, 'in an orderly way');
      assert.ok(older.program.running);
      assert.ok(of(older, 'other_instance').every(({ action }) => action === 'the other one should stop by itself'));
      await older.stop();
    } finally {
      for (const chatd of [older, younger]) if (chatd.program.running) await chatd.program.stop('SIGKILL');
      for (const broker of brokers) await broker.close();
    }
  });
});

// Ports that nobody has just now.
async function freePorts(count) {
  const net = require('node:net');
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
