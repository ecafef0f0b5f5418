'use strict';
// Who may do what through the gateway: tokens of a file, JSON Web Tokens, limits; and that none of
// it is ever in the log.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { World, eventually, makeDirectory, removeDirectory, within } = require('./harness');
const { Gateway, jwt, sha256 } = require('./gateway');
const { Raw } = require('./raw');

const NO_CHAT = '00000000-0000-4000-8000-000000000000';
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

const TOKENS = {
  john: ['acme', 'John'],
  barry: ['acme', 'Barry'],
  eve: ['acme', 'Eve Ω'],
  blue: ['blue', 'John'],
  acme: ['acme', '*'],
  any: ['*', '*'],
};
const token = (name) => `token-of-${name}-which-nobody-guesses`;
const lines = (names) => names.map((name) => `${sha256(token(name))} ${TOKENS[name].join(' ')}\n`).join('');

let world;
let directory;
let gateway;
const file = (name) => path.join(directory, name);

before(async () => {
  world = await World.start();
  directory = makeDirectory();
});
after(async () => {
  if (world) await world.close();
  if (directory) removeDirectory(directory);
});

describe('tokens of a file', () => {
  let chatId;

  before(async () => {
    fs.writeFileSync(file('tokens'), `# who may do what\n\n${lines(Object.keys(TOKENS))}`);
    gateway = await Gateway.start(world.broker.url, ['--auth-tokens', file('tokens'), '--log-level', 'debug']);
    const made = await gateway.post('New', { user_ids: ['John', 'Barry'] }, token('john'));
    assert.equal(made.status, 200, made.text);
    chatId = made.body.chat_id;
  });
  after(async () => {
    if (!gateway) return;
    await gateway.stop();
    const log = gateway.program.lines.join('\n');
    assert.match(log, /event=access\.refused/);
    for (const name of [...Object.keys(TOKENS), 'nobody']) {
      assert.ok(!log.includes(token(name)), `the token of ${name} is in the log`);
      assert.ok(!log.includes(sha256(token(name))), `the SHA-256 of ${name}'s token is in the log`);
    }
    assert.ok(!log.includes('access_token='));
  });

  const calls = () => [
    ['POST', '/chat/New', { user_ids: ['John', 'Barry'] }],
    ['POST', '/chat/Send', { chat_id: chatId, user_id: 'John', text: 'hey', client_id: 'c1' }],
    ['POST', '/chat/History', { chat_id: chatId }],
    ['GET', `/chat/History?chat_id=${chatId}`],
  ];

  test('without one that counts nothing is done: 401', async () => {
    for (const bearer of [undefined, token('nobody'), sha256(token('john')), `${token('john')}x`]) {
      for (const [method, target, body] of calls()) {
        const { status, headers, body: error } = await gateway.call(method, target, { body, bearer });
        assert.equal(status, 401, target);
        assert.equal(error.id, 'gateway.Unauthorized');
        assert.match(headers.get('www-authenticate'), bearer ? /^Bearer realm="chat", error="invalid_token"$/ : /^Bearer realm="chat"$/);
      }
    }
    const basic = { authorization: `Basic ${Buffer.from('John:x').toString('base64')}` };
    assert.equal((await gateway.post('New', { user_ids: ['John'] }, undefined, basic)).status, 401);
  });

  test('another namespace than the token\'s is 403', async () => {
    for (const [method, target, body] of calls()) {
      const headers = { 'micro-namespace': 'acme' };
      const { status, body: error } = await gateway.call(method, target, { body, headers, bearer: token('blue') });
      assert.equal(status, 403, target);
      assert.equal(error.id, 'gateway.WrongNamespace');
    }
    const byQuery = await gateway.call('GET', `/chat/History?chat_id=${chatId}&namespace=acme`, { bearer: token('blue') });
    assert.equal(byQuery.status, 403);
    const own = await gateway.post('History', { chat_id: chatId }, token('blue'));
    assert.deepEqual([own.status, own.body.id], [404, 'chat.History.InvalidChatID']);
    const none = await gateway.post('New', { user_ids: ['John'] }, token('any'), { 'micro-namespace': 'a.b' });
    assert.deepEqual([none.status, none.body.id], [400, 'gateway.InvalidNamespace']);
  });

  test('a token for one user acts for that user only', async () => {
    const refused = async (name, body, bearer, id) => {
      const answer = await gateway.post(name, body, token(bearer));
      assert.deepEqual([answer.status, answer.body.id], [403, id], JSON.stringify(answer.body));
    };
    await refused('New', { user_ids: ['Barry', 'Eve Ω'] }, 'john', 'chat.New.NotAMember');
    await refused('Send', { chat_id: chatId, user_id: 'Barry', text: 'x' }, 'john', 'chat.Send.WrongUser');
    await refused('Send', { chat_id: chatId, user_id: 'Eve Ω', text: 'x' }, 'eve', 'chat.Send.NotAMember');
    await refused('Send', { chat_id: chatId, text: 'x' }, 'eve', 'chat.Send.NotAMember');
    await refused('History', { chat_id: chatId }, 'eve', 'chat.History.NotAMember');
    const sent = await gateway.post('Send', { chat_id: chatId, text: 'without a name' }, token('barry'));
    assert.equal(sent.status, 200, sent.text);
    assert.equal(sent.body.message.user_id, 'Barry');
  });

  test('a token for any user and any namespace is a trusted caller\'s', async () => {
    const headers = { 'micro-namespace': 'acme' };
    const sent = await gateway.post('Send', { chat_id: chatId, user_id: 'a robot', text: 'beep' }, token('any'), headers);
    assert.equal(sent.status, 200, sent.text);
    assert.equal((await gateway.post('History', { chat_id: chatId }, token('acme'))).status, 200);
    assert.equal((await gateway.post('History', { chat_id: chatId }, token('any'))).status, 404);
  });

  test('access_token in the address does not count for calls', async () => {
    const answer = await gateway.call('GET', `/chat/History?chat_id=${chatId}&access_token=${token('john')}`);
    assert.equal(answer.status, 401);
    assert.match(answer.body.detail, /authorization: Bearer/);
  });

  test('following: 401, 403 and then messages', async () => {
    const ask = async (query, headers) => {
      const events = await gateway.call('GET', `/chat/Events?${new URLSearchParams(query)}`, { headers });
      if (events.response) await events.response.body.cancel();
      const connect = await gateway.connect({ ...query, from_seq: 1 }, headers);
      connect.socket?.terminate();
      return [events.status, connect.status, events.body?.id, connect.body?.id];
    };
    assert.deepEqual(await ask({ chat_id: chatId }), [401, 401, 'gateway.Unauthorized', 'gateway.Unauthorized']);
    assert.deepEqual(await ask({ chat_id: chatId, access_token: token('nobody') }),
      [401, 401, 'gateway.Unauthorized', 'gateway.Unauthorized']);
    assert.deepEqual(await ask({ chat_id: chatId, access_token: token('blue'), namespace: 'acme' }),
      [403, 403, 'gateway.WrongNamespace', 'gateway.WrongNamespace']);
    assert.deepEqual(await ask({ chat_id: chatId, access_token: token('eve') }),
      [403, 403, 'chat.Events.NotAMember', 'chat.Connect.NotAMember']);
    assert.deepEqual(await ask({ chat_id: NO_CHAT, access_token: token('john') }),
      [404, 404, 'chat.Events.InvalidChatID', 'chat.Connect.InvalidChatID']);
    assert.deepEqual(await ask({ chat_id: chatId, access_token: token('john') }), [200, 101, undefined, undefined]);
    assert.deepEqual(await ask({ chat_id: chatId }, { authorization: `Bearer ${token('john')}` }),
      [200, 101, undefined, undefined]);
    const other = await gateway.connect({ chat_id: chatId, user_id: 'Barry', access_token: token('john') });
    assert.deepEqual([other.status, other.body.id], [403, 'chat.Connect.WrongUser']);
  });

  test('SIGHUP: a broken file changes nothing, a good one ends what it takes away', async () => {
    const { socket } = await gateway.connect({ chat_id: chatId, access_token: token('john') });
    const stays = await gateway.connect({ chat_id: chatId, access_token: token('barry') });
    fs.writeFileSync(file('tokens'), `${lines(['barry', 'any'])}\nnonsense\n`);
    const { detail } = await gateway.reload('access.not_reloaded');
    assert.match(detail, /tokens: line 4: a line begins with the SHA-256 of a token/);
    assert.equal((await gateway.post('History', { chat_id: chatId }, token('john'))).status, 200);
    fs.writeFileSync(file('tokens'), lines(['barry', 'any', 'eve']));
    assert.equal((await gateway.reload('access.reloaded')).tokens, '3');
    assert.equal((await gateway.post('History', { chat_id: chatId }, token('john'))).status, 401);
    assert.equal(await within(socket.ended, 'the end of what the token had opened'), 1008);
    assert.equal((await gateway.post('History', { chat_id: chatId }, token('barry'))).status, 200);
    assert.equal(stays.socket.readyState, stays.socket.OPEN);
    stays.socket.terminate();
  });
});

describe('JSON Web Tokens', () => {
  const pairs = {
    RS256: crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: crypto.generateKeyPairSync('ed25519'),
  };
  const pem = (algorithm) => pairs[algorithm].publicKey.export({ type: 'spki', format: 'pem' });
  const claims = (more = {}) => ({ sub: 'John', namespace: 'acme', iss: 'https://id.example', aud: ['mail', 'chat'], exp: inAnHour(), ...more });

  async function withGateway(algorithm, key, check, more = []) {
    fs.writeFileSync(file('key'), key);
    const started = await Gateway.start(world.broker.url, [
      '--auth-jwt-key', file('key'), '--auth-jwt-alg', algorithm, '--auth-jwt-issuer', 'https://id.example',
      '--auth-jwt-audience', 'chat', '--log-level', 'debug', ...more,
    ]);
    const used = [];
    try {
      await check(started, async (bearer) => {
        used.push(bearer);
        return started.post('New', { user_ids: ['John'] }, bearer);
      });
    } finally {
      await started.stop();
    }
    const log = started.program.lines.join('\n');
    for (const bearer of used) {
      for (const part of bearer.split('.').filter((text) => text.length > 20)) {
        assert.ok(!log.includes(part), 'a token is in the log');
      }
    }
  }

  for (const algorithm of Object.keys(pairs)) {
    test(`${algorithm}: what its key signed counts, and nothing else`, () => withGateway(algorithm, pem(algorithm), async (at, ask) => {
      assert.equal((await ask(jwt(algorithm, pairs[algorithm].privateKey, claims()))).status, 200);
      for (const [other, { privateKey }] of Object.entries(pairs)) {
        if (other !== algorithm) assert.equal((await ask(jwt(other, privateKey, claims()))).status, 401, other);
      }
      assert.equal((await ask(jwt('HS256', pem(algorithm), claims()))).status, 401);
      assert.equal((await ask(jwt('HS256', pem(algorithm), claims(), { alg: algorithm }))).status, 401);
      const [head, body] = jwt(algorithm, pairs[algorithm].privateKey, claims()).split('.');
      const unsigned = Buffer.from('{"alg":"none"}').toString('base64url');
      for (const wrong of [`${unsigned}.${body}.`, `${unsigned}.${body}`, `${head}.${body}.`, `${head}.${body}`]) {
        assert.equal((await ask(wrong)).status, 401, wrong);
      }
    }));
  }

  test('claims: time, issuer, audience, user, namespace', () => {
    const secret = crypto.randomBytes(32).toString('hex');
    const sign = (more) => jwt('HS256', secret, claims(more));
    const now = Math.floor(Date.now() / 1000);
    return withGateway('HS256', secret, async (at, ask) => {
      assert.equal((await ask(sign())).status, 200);
      for (const [wrong, why] of [
        [{ exp: now - 3600 }, /expired/], [{ exp: undefined }, /no exp/], [{ nbf: now + 3600 }, /not valid yet/],
        [{ iss: 'https://evil.example' }, /issuer/], [{ aud: 'mail' }, /audience/], [{ aud: undefined }, /aud/],
        [{ sub: undefined }, /sub/], [{ sub: 'a\nb' }, /sub/], [{ namespace: '*' }, /namespace/],
        [{ fill: 'x'.repeat(9000) }, /8 KiB/],
      ]) {
        const { status, body } = await ask(sign(wrong));
        assert.equal(status, 401, JSON.stringify(wrong));
        assert.match(body.detail, why);
      }
      const bearer = sign();
      assert.equal((await at.post('New', { user_ids: ['Barry'] }, bearer)).body.id, 'chat.New.NotAMember');
      assert.equal((await at.post('New', { user_ids: ['John'] }, bearer, { 'micro-namespace': 'blue' })).body.id, 'gateway.WrongNamespace');
      assert.equal((await at.call('GET', '/metrics', { bearer })).status, 403);
    }, ['--max-head-bytes', '32KiB']);
  });

  test('the end of a token ends the WebSocket that it opened', () => {
    const secret = crypto.randomBytes(32).toString('hex');
    // Two seconds from now, as seen by a gateway that gives it 30 more.
    const bearer = jwt('HS256', secret, claims({ exp: Math.floor(Date.now() / 1000) - 28 }));
    return withGateway('HS256', secret, async (at, ask) => {
      const { body: { chat_id: chatId } } = await ask(jwt('HS256', secret, claims()));
      const { socket, status } = await at.connect({ chat_id: chatId, access_token: bearer });
      assert.equal(status, 101);
      assert.equal(await within(socket.ended, 'the end of the WebSocket'), 1008);
    });
  });
});

describe('limits', () => {
  test('of a token: 429 with Retry-After, and others are not touched', async () => {
    fs.writeFileSync(file('tokens'), lines(['john', 'barry']));
    const limited = await Gateway.start(world.broker.url, [
      '--auth-tokens', file('tokens'), '--rate-per-token', '1', '--burst-per-token', '3', '--max-connections-per-token', '1',
    ]);
    try {
      const statuses = [];
      let last;
      for (let i = 0; i < 20 && last?.status !== 429; i++) {
        last = await limited.post('New', { user_ids: ['John'] }, token('john'));
        statuses.push(last.status);
      }
      assert.equal(last.status, 429, statuses.join());
      assert.deepEqual(statuses.slice(0, 3), [200, 200, 200]);
      assert.equal(last.headers.get('retry-after'), '1');
      assert.equal(last.body.id, 'gateway.TooManyRequests');
      const { status, body } = await limited.post('New', { user_ids: ['Barry'] }, token('barry'));
      assert.equal(status, 200);
      const query = { chat_id: body.chat_id, access_token: token('barry') };
      const first = await limited.connect(query);
      assert.equal(first.status, 101);
      const second = await limited.connect(query);
      assert.deepEqual([second.status, second.body.id], [429, 'gateway.TooManyConnections']);
      first.socket.terminate();
    } finally {
      await limited.stop();
    }
  });

  test('of a token, by messages of a WebSocket as by calls', async () => {
    const limited = await Gateway.start(world.broker.url, ['--auth-tokens', file('tokens'), '--rate-per-token', '1', '--burst-per-token', '5']);
    try {
      const created = await limited.post('New', { user_ids: ['John', 'Barry'] }, token('john'));
      const { socket } = await limited.connect({ chat_id: created.body.chat_id, access_token: token('john') });
      for (let i = 0; i < 100; i++) socket.send(JSON.stringify({ client_id: `c${i}`, text: 'x' }));
      const answers = () => socket.frames.filter((frame) => frame.ack || frame.error);
      await eventually('each is answered', () => answers().length === 100);
      const refused = answers().filter((frame) => frame.error);
      assert.ok(refused.length >= 50, `${refused.length}`);
      assert.deepEqual([...new Set(refused.map(({ error }) => `${error.code} ${error.id}`))], ['429 gateway.TooManyRequests']);
      assert.ok(refused.every(({ error }) => /^c\d+$/.test(error.client_id) && /this token .* again in \d+ s/.test(error.detail)));
      assert.ok(answers().some((frame) => frame.ack));
      socket.close();
      await socket.ended;
    } finally {
      await limited.stop();
    }
  });

  test('of an address, also for tokens that do not count', async () => {
    const limited = await Gateway.start(world.broker.url, [
      '--auth-tokens', file('tokens'), '--rate-per-address', '1', '--burst-per-address', '4',
    ]);
    try {
      const statuses = [];
      for (let i = 0; i < 30 && !statuses.includes(429); i++) {
        statuses.push((await limited.post('New', { user_ids: ['John'] }, token('nobody'))).status);
      }
      assert.deepEqual(statuses.slice(0, 4), [401, 401, 401, 401]);
      assert.ok(statuses.includes(429), statuses.join());
      assert.equal((await limited.call('GET', '/healthz')).status, 200);
    } finally {
      await limited.stop();
    }
  });
});

describe('without tokens', () => {
  async function rawStatus(port, text) {
    const raw = Raw.open(port).write(text);
    const [answer] = await raw.untilAnswers(1);
    await raw.close();
    return answer.code;
  }

  test('a stranger\'s page cannot call through a visitor\'s browser', async () => {
    const listed = 'https://chat.example';
    const open = await Gateway.start(world.broker.url, ['--cors-origin', listed]);
    try {
      const from = (origin) => open.post('New', '{"user_ids":["John"]}', undefined, { origin, 'content-type': 'text/plain' });
      for (const foreign of ['https://evil.example', 'null', `http://127.0.0.1:${open.port + 1}`]) {
        const { status, body } = await from(foreign);
        assert.deepEqual([status, body.id], [403, 'gateway.ForeignOrigin'], foreign);
      }
      // A stranger's name that leads to this machine is not the gateway's own, though both sides of the comparison say it.
      const named = (host, origin) => rawStatus(open.port, `POST /chat/New HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n`
        + 'Content-Length: 21\r\n\r\n{"user_ids":["John"]}');
      assert.equal(await named(`evil.example:${open.port}`, `http://evil.example:${open.port}`), 403);
      assert.equal(await named(`127.0.0.1.evil.example`, 'http://127.0.0.1.evil.example'), 403);
      for (const host of [`localhost:${open.port}`, `[::1]:${open.port}`, 'chat.example']) {
        assert.equal(await named(host, `http://${host}`), 200, host);
      }
      assert.equal((await from(listed)).status, 200);
      assert.equal((await from(open.url(""))).status, 200);
      assert.equal((await open.post('New', { user_ids: ['John'] })).status, 200);
    } finally {
      await open.stop();
    }
  });
});

describe('what does not start', () => {
  for (const [why, args, expected] of [
    ['open to others without a token', ['--listen', '0.0.0.0:0'], /listens on loopback only; --allow-insecure/],
    ['none and tokens', ['--auth', 'none', '--auth-tokens', '/nowhere'], /--auth none does not go together/],
    ['a file that is not there', ['--auth-tokens', '/nowhere'], /\/nowhere: No such file/],
    ['a key without an algorithm', ['--auth-jwt-key', '/nowhere'], /needs --auth-jwt-alg/],
    ['an algorithm that does not count', ['--auth-jwt-key', '/nowhere', '--auth-jwt-alg', 'none'], /is one of HS256/],
  ]) {
    test(why, async () => {
      const refused = new Gateway(world.broker.url, args);
      refused.spawn();
      const { code } = await within(refused.program.exited, 'its end');
      assert.equal(code, 1, refused.program.tail());
      assert.match(refused.program.lines.join('\n'), expected);
    });
  }
});
