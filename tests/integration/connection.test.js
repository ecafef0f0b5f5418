'use strict';
// Each way to reach a broker and to be let in, for chatd and for the clients: it works as configured,
// and with the wrong secret, certificate or name it does not.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { after, before, describe, test } = require('node:test');
const nats = require('nats');
const nkeys = require('nkeys.js');
globalThis.crypto ??= require('node:crypto').webcrypto; // Node.js 18 has it, and not by this name
const jwt = require('@nats-io/jwt');
const { Broker, Chatd, Silent, eventually, makeDirectory, removeDirectory, runChat } = require('./harness');

describe('connecting', { timeout: 240000 }, () => {
  let directory;
  const file = (name) => path.join(directory, name);
  before(() => {
    directory = makeDirectory();
    certificates();
  });
  after(() => removeDirectory(directory));

  function openssl(...args) {
    const done = spawnSync('openssl', args, { encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
  }
  const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  function authority(name) {
    openssl('req', '-x509', ...KEY, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`), '-days', '2', '-subj', `/CN=${name}`);
  }
  function certificate(name, alternative, by = 'ca') {
    openssl('req', ...KEY, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`), '-subj', `/CN=${name}`);
    fs.writeFileSync(file(`${name}.ext`), `subjectAltName=${alternative}\n`);
    openssl('x509', '-req', '-in', file(`${name}.csr`), '-CA', file(`${by}.pem`), '-CAkey', file(`${by}.key`), '-CAcreateserial',
      '-days', '2', '-out', file(`${name}.pem`), '-extfile', file(`${name}.ext`));
  }
  function certificates() {
    authority('ca');
    authority('stranger');
    certificate('server', 'IP:127.0.0.1,DNS:localhost');
    certificate('elsewhere', 'DNS:elsewhere.example,IP:127.0.0.9');
    certificate('client', 'DNS:client');
    certificate('forged', 'DNS:client', 'stranger');
  }

  let chatds = 0;
  async function withBroker(settings, probe, work) {
    const broker = new Broker(settings);
    broker.probe = probe;
    const started = [];
    const chatd = (args, url = broker.url) => {
      const one = new Chatd({ url, dataDirectory: file(`data-${++chatds}`), args });
      started.push(one);
      return one;
    };
    try {
      await broker.start();
      await work(broker, chatd);
      for (const one of started) if (one.program.running) await one.stop();
    } finally {
      for (const one of started) if (one.program && one.program.running) await one.program.stop('SIGKILL');
      await broker.close();
    }
  }

  const newChat = (url, args, ...more) => runChat(['new', '--user_ids=ann', `--nats-url=${url}`, '--timeout-ms=20000', ...args, ...more]);

  // Both programs are let in with `right`, and with each of `wrong` neither is.
  async function check(settings, probe, right, wrong, reason) {
    await withBroker(settings, probe, async (broker, chatd) => {
      const good = chatd(right);
      await good.start();
      await good.waitForEvent('reads_ready'); // by its second connection
      const { code, stdout, stderr } = await newChat(broker.url, right);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
      assert.equal(JSON.parse(stdout).created, true);
      for (const args of wrong) {
        const refused = await newChat(broker.url, args, '--timeout-ms=3000');
        assert.equal(refused.code, 1, `${args}: ${refused.stdout}`);
        assert.match(refused.stderr, reason, `${args}`);
      }
      await good.stop();
      const bad = chatd(wrong[0]);
      bad.spawn();
      const { detail } = await bad.waitForEvent('broker.not_connected');
      assert.match(detail, reason);
      // What comes back must be let in again: reconnecting takes the same secrets.
      await good.start();
      await broker.stop();
      await broker.start();
      await good.waitForEvent('broker.reconnected');
      assert.equal((await newChat(broker.url, right)).code, 0);
    });
  }

  const UNLIMITED = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const DENIED = /authoriz|authent/i;

  test('with user and password', () => check({ authorization: '{ user: u, password: "p w" }' }, { user: 'u', pass: 'p w' },
    ['--user=u', '--password=p w'], [['--user=u', '--password=x'], ['--user=x', '--password=p w'], []], DENIED));

  test('with a token', () => check({ authorization: '{ token: "t0ken" }' }, { token: 't0ken' },
    ['--token=t0ken'], [['--token=x'], []], DENIED));

  test('with an nkey', async () => {
    const [user, other] = [nkeys.createUser(), nkeys.createUser()];
    const seed = (key) => Buffer.from(key.getSeed()).toString();
    fs.writeFileSync(file('user.nk'), `${seed(user)}\n`);
    fs.writeFileSync(file('framed.nk'), `-----BEGIN USER NKEY SEED-----\r\n${seed(user)}\r\n------END USER NKEY SEED------\r\n`);
    fs.writeFileSync(file('other.nk'), seed(other));
    const settings = { authorization: `{ users: [ { nkey: ${user.getPublicKey()} } ] }` };
    const probe = { authenticator: nats.nkeyAuthenticator(user.getSeed()) };
    await check(settings, probe, [`--nkey-seed=${file('user.nk')}`], [[`--nkey-seed=${file('other.nk')}`], []], DENIED);
    await withBroker(settings, probe, async (broker, chatd) => {
      await chatd([`--nkey-seed=${file('framed.nk')}`]).start();
    });
  });

  test('a file that holds no seed of a user is refused at the start', async () => {
    const account = Buffer.from(nkeys.createAccount().getSeed()).toString();
    const damaged = Buffer.from(nkeys.createUser().getSeed()).toString().replace(/(?<=^.{20})./, (c) => (c === 'A' ? 'B' : 'A'));
    for (const text of ['', 'x\n', account, damaged]) {
      fs.writeFileSync(file('bad.nk'), text);
      const { code, stderr } = await newChat('nats://127.0.0.1:1', [`--nkey-seed=${file('bad.nk')}`]);
      assert.equal(code, 2);
      assert.match(stderr, /nkey/);
      const chatd = new Chatd({ url: 'nats://127.0.0.1:1', dataDirectory: file('never'), args: [`--nkey-seed=${file('bad.nk')}`] });
      chatd.spawn();
      assert.equal((await chatd.program.exited).code, 1);
      const [line] = chatd.log.filter(({ event }) => event === 'broker.bad_setting');
      assert.equal(line.option, 'nkey-seed');
    }
  });

  test('with a credentials file, of an operator, an account and a user', async () => {
    const [operator, account, user, stranger] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser(), nkeys.createUser()];
    const operatorJwt = await jwt.encodeOperator('operator', operator);
    const accountJwt = await jwt.encodeAccount('account', account, { limits: UNLIMITED }, { signer: operator });
    const creds = async (key, by) => Buffer.from(jwt.fmtCreds(await jwt.encodeUser('user', key, by), key)).toString();
    fs.writeFileSync(file('user.creds'), await creds(user, account));
    fs.writeFileSync(file('stranger.creds'), await creds(stranger, nkeys.createAccount()));
    await check({
      operator: operatorJwt, resolver: 'MEMORY', resolver_preload: `{ ${account.getPublicKey()}: ${accountJwt} }`,
    }, { authenticator: nats.credsAuthenticator(fs.readFileSync(file('user.creds'))) },
    [`--credentials=${file('user.creds')}`], [[`--credentials=${file('stranger.creds')}`], []], DENIED);
  });

  const tls = (name, more = '') => ({ tls: `{ cert_file: ${JSON.stringify(file(`${name}.pem`))}, key_file: ${JSON.stringify(file(`${name}.key`))}, timeout: 20 ${more} }` });
  const probeTls = (more = {}) => ({ tls: { caFile: file('ca.pem'), ...more } });

  test('by TLS, to a broker whose certificate is by an authority that we trust', () => check(tls('server'), probeTls(),
    [`--tls-ca=${file('ca.pem')}`], [[`--tls-ca=${file('stranger.pem')}`], []], /certificate/i));

  test('by TLS, to the host that the certificate is for, by name and by address', () => withBroker(tls('server'), probeTls(), async (broker, chatd) => {
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = `tls://${host}:${broker.port}`;
      const good = chatd([`--tls-ca=${file('ca.pem')}`], url);
      await good.start();
      assert.equal((await newChat(url, [`--tls-ca=${file('ca.pem')}`])).code, 0);
      await good.stop();
    }
  }));

  test('and to no other', () => withBroker(tls('elsewhere'), { tls: { caFile: file('ca.pem'), servername: 'elsewhere.example', checkServerIdentity: () => undefined, rejectUnauthorized: false } }, async (broker, chatd) => {
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = `nats://${host}:${broker.port}`;
      const { code, stderr } = await newChat(url, [`--tls-ca=${file('ca.pem')}`]);
      assert.equal(code, 1);
      assert.match(stderr, /mismatch/);
      const bad = chatd([`--tls-ca=${file('ca.pem')}`], url);
      bad.spawn();
      assert.match((await bad.waitForEvent('broker.not_connected')).detail, /mismatch/);
    }
  }));

  test('by TLS with a certificate of our own', () => check(tls('server', `, ca_file: ${JSON.stringify(file('ca.pem'))}, verify: true`),
    probeTls({ certFile: file('client.pem'), keyFile: file('client.key') }),
    [`--tls-ca=${file('ca.pem')}`, `--tls-cert=${file('client.pem')}`, `--tls-key=${file('client.key')}`],
    [[`--tls-ca=${file('ca.pem')}`, `--tls-cert=${file('forged.pem')}`, `--tls-key=${file('forged.key')}`], [`--tls-ca=${file('ca.pem')}`]],
    /certificate|connection|SSL|PONG/i)); // with TLS 1.3 the broker says no after the handshake, by hanging up

  test('tls:// never speaks in the clear', () => withBroker({}, {}, async (broker, chatd) => {
    const url = `tls://127.0.0.1:${broker.port}`;
    const { code, stderr } = await newChat(url, ['--user=u', '--password=p']);
    assert.equal(code, 1);
    assert.match(stderr, /TLS/);
    const bad = chatd([], `nats://127.0.0.1:${broker.port},${url}`);
    bad.spawn();
    assert.match((await bad.waitForEvent('broker.not_connected')).error, /secure/i);
  }));

  test('a TLS handshake that the other side leaves hanging is given up', async () => {
    const silent = await new Silent('INFO {"server_id":"x","version":"2.9.0","proto":1,"max_payload":1048576,"tls_required":true}\r\n').start();
    const chatd = new Chatd({ url: silent.url, dataDirectory: file('hanging') });
    try {
      chatd.spawn();
      const asked = newChat(silent.url, []);
      assert.match((await chatd.waitForEvent('broker.not_connected')).detail, /handshake/);
      const { code, stderr } = await asked;
      assert.equal(code, 1);
      assert.match(stderr, /TLS.*handshake/);
      await eventually('chatd tries again', () => silent.sockets.size > 0);
      await chatd.stop();
    } finally {
      if (chatd.program.running) await chatd.program.stop('SIGKILL');
      await silent.close();
    }
  });

  test('to the next of several brokers when one is not there, or ends', () => withBroker({}, {}, async (first, chatd) => {
    await withBroker({}, {}, async (second) => {
      const urls = `nats://127.0.0.1:1,${first.url},${second.url}`;
      const one = chatd([], urls);
      const { nats_url: url } = await one.start();
      const [used, other] = url === first.url ? [first, second] : [second, first];
      assert.equal((await newChat(`nats://127.0.0.1:1,${used.url}`, [])).code, 0);
      await used.stop();
      assert.equal((await one.waitForEvent('broker.reconnected')).nats_url, other.url);
      assert.equal((await newChat(`${used.url},${other.url}`, [])).code, 0);
    });
  }));

  test('a broker in lame duck mode is left for another one', () => withBroker({ lame_duck_grace_period: '"1s"', lame_duck_duration: '"30s"' }, {}, async (first, chatd) => {
    await withBroker({ lame_duck_grace_period: '"1s"', lame_duck_duration: '"30s"' }, {}, async (second) => {
      const one = chatd([], `${first.url},${second.url}`);
      const { nats_url: url } = await one.start();
      const [used, other] = url === first.url ? [first, second] : [second, first];
      used.program.child.kill('SIGUSR2');
      assert.equal((await one.waitForEvent('broker.lame_duck')).nats_url, used.url);
      assert.equal((await one.waitForEvent('broker.reconnected')).nats_url, other.url);
      assert.equal((await newChat(`${used.url},${other.url}`, [])).code, 0);
    });
  }));

  test('under a name of its own', () => withBroker({ http: '"127.0.0.1:-1"' }, {}, async (broker, chatd) => {
    await chatd(['--connection-name=chat of the north']).start();
    const names = async () => (await (await fetch(`${await broker.monitoringUrl()}/connz`)).json()).connections.map(({ name }) => name);
    await eventually('both have it', async () => (await names()).filter((name) => /^chat of the north(-reads)?$/.test(name)).length === 2);
  }));

  test('an address that can never be right is refused at the start', async () => {
    for (const [url, reason] of [
      ['http://127.0.0.1:4222', /nats:\/\/ or tls:\/\//], ['nats://', /no host/], ['nats://:4222', /no host/],
      ['nats://127.0.0.1:99999', /port/], ['nats://127.0.0.1:x', /port/], ['nats://user:secret@host:0', /port/],
      ['nats://ho st:4222', /space/], ['nats://::1:4222', /no host|brackets/], ['nats://[::1:4222', /brackets/],
      ['nats://host:4222/', /slash/], ['nats://a/b:4222', /host/], ['nats://127.0.0.1:4222,nats://host:-1', /number 2 its port/],
    ]) {
      const { code, stderr } = await newChat(url, []);
      assert.equal(code, 2, `${url}: ${stderr}`);
      assert.match(stderr, reason, url);
      assert.doesNotMatch(stderr, /secret/);
      const chatd = new Chatd({ url, dataDirectory: file('never') });
      chatd.spawn();
      assert.equal((await chatd.program.exited).code, 2, chatd.program.tail());
      assert.match(chatd.program.lines.join('\n'), reason, url);
      assert.doesNotMatch(chatd.program.lines.join('\n'), /secret/);
    }
    for (const args of [['--inbox-prefix=a.*'], ['--inbox-prefix=.a'], ['--user=u', '--token=t'], ['--tls-cert=x'], ['--password=x']]) {
      assert.equal((await newChat('nats://127.0.0.1:1', args)).code, 2, args[0]);
      const chatd = new Chatd({ url: 'nats://127.0.0.1:1', dataDirectory: file('never'), args });
      chatd.spawn();
      assert.equal((await chatd.program.exited).code, 2, args[0]);
    }
  });
});
