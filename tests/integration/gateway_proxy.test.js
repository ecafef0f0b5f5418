'use strict';
// The gateway behind nginx and behind Caddy, with the configurations of deploy/ as they stand but for
// addresses and certificates: calls, a WebSocket and an event stream through each.

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { WebSocket } = require('ws');
const { Program, ROOT, World, eventually, makeDirectory, removeDirectory, within } = require('./harness');
const { Gateway } = require('./gateway');

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const replaced = (text, pairs) => pairs.reduce((result, [from, to]) => {
  assert.ok(result.includes(from), `the configuration has ${from}`);
  return result.replaceAll(from, to);
}, text);

// Each gives { program, url }: the proxy as a process, and where it listens.
const proxies = {
  async nginx(directory, gateway) {
    const port = await freePort();
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=chat.example', '-keyout', path.join(directory, 'key'), '-out', path.join(directory, 'cert')], { stdio: 'ignore' });
    fs.writeFileSync(path.join(directory, 'chat.conf'), replaced(
      fs.readFileSync(path.join(ROOT, 'deploy/nginx.conf'), 'utf8'), [
        ['127.0.0.1:8080', `127.0.0.1:${gateway.port}`],
        ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
        ['/etc/ssl/chat.example.pem', path.join(directory, 'cert')],
        ['/etc/ssl/private/chat.example.key', path.join(directory, 'key')],
      ],
    ));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${directory}/${name};`).join(' ');
    fs.writeFileSync(path.join(directory, 'nginx.conf'), `${process.getuid() === 0 ? 'user root;' : ''}
      daemon off; worker_processes 1; pid ${directory}/pid; error_log stderr notice;
      events { } http { ${temporary} include ${directory}/chat.conf; }`);
    const program = new Program('nginx', 'nginx', ['-p', directory, '-c', path.join(directory, 'nginx.conf'), '-e', 'stderr'],
      { env: { ...process.env, PATH } });
    return { program, url: `https://127.0.0.1:${port}` };
  },
  async caddy(directory, gateway) {
    const port = await freePort();
    const file = path.join(directory, 'Caddyfile');
    const options = `{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}\n`;
    fs.writeFileSync(file, options + replaced(fs.readFileSync(path.join(ROOT, 'deploy/Caddyfile'), 'utf8'), [
      ['chat.example {', `http://127.0.0.1:${port} {`],
      ['127.0.0.1:8080', `127.0.0.1:${gateway.port}`],
    ]));
    const program = new Program('caddy', 'caddy', ['run', '--config', file, '--adapter', 'caddyfile'],
      { env: { ...process.env, PATH, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory } });
    return { program, url: `http://127.0.0.1:${port}` };
  },
};

for (const name of Object.keys(proxies)) {
  describe(`behind ${name}`, () => {
    let world;
    let gateway;
    let directory;
    let proxy;

    before(async () => {
      world = await World.start();
      gateway = await Gateway.start(world.broker.url, ['--trusted-proxies', '127.0.0.1']);
      directory = makeDirectory();
      proxy = await proxies[name](directory, gateway);
      await eventually(`${name} answers`, async () => {
        if (!proxy.program.running) throw new Error(proxy.program.tail());
        return (await call('/healthz')).code === 200;
      });
    });
    after(async () => {
      // Caddy would wait for its connections to end; nginx has a worker to end.
      if (proxy) await proxy.program.stop(name === 'nginx' ? 'SIGTERM' : 'SIGKILL');
      if (gateway) await gateway.stop();
      if (world) await world.close();
      if (directory) removeDirectory(directory);
    });

    function request(target, { body, headers = {} } = {}) {
      const url = new URL(target, proxy.url);
      return within(new Promise((resolve, reject) => {
        const sent = (url.protocol === 'https:' ? https : http).request(url, {
          method: body === undefined ? 'GET' : 'POST', headers, rejectUnauthorized: false, agent: false,
        }, resolve);
        sent.once('error', reject);
        sent.end(body);
      }), `${name} answers ${target}`);
    }

    async function call(target, options) {
      const response = await request(target, options);
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      return { code: response.statusCode, text: Buffer.concat(chunks).toString() };
    }

    test('calls, a WebSocket and an event stream', async () => {
      const made = JSON.parse((await call('/chat/New', { body: '{"user_ids":["a","b"]}' })).text);
      const target = (method) => `/chat/${method}?chat_id=${made.chat_id}&user_id=a&from_seq=1`;
      const socket = new WebSocket(new URL(target('Connect'), proxy.url.replace('http', 'ws')), {
        rejectUnauthorized: false, origin: proxy.url,
      });
      const frames = [];
      socket.on('message', (data) => frames.push(JSON.parse(data.toString())));
      await eventually('the WebSocket is live', () => frames.some((frame) => frame.live));
      const events = await request(target('Events').replace('&user_id=a', ''), { headers: { accept: 'text/event-stream' } });
      assert.equal(events.statusCode, 200);
      let shown = '';
      events.on('data', (data) => { shown += data; });
      socket.send('{"client_id":"c1","text":"through the proxy"}');
      const body = JSON.stringify({ chat_id: made.chat_id, user_id: 'b', text: 'by a call', client_id: 'c2' });
      assert.equal((await call('/chat/Send', { body })).code, 200);
      await eventually('both are shown in the WebSocket', () => frames.filter((frame) => frame.message).length === 2);
      await eventually('both are shown in the stream', () => /through the proxy/.test(shown) && /by a call/.test(shown));
      events.destroy();
      const closed = new Promise((resolve) => { socket.once('close', resolve); });
      socket.close(1000);
      assert.equal(await within(closed, 'the end of the WebSocket'), 1000);
    });

    test('the client is who the proxy says', async () => {
      await call('/who-am-i', { headers: { 'x-forwarded-for': '192.0.2.66' } });
      const line = await gateway.program.waitForLine('the request', (text) => text.includes('/who-am-i') && text);
      // What the client says of itself does not count: the proxy's own word is the last.
      assert.match(line, / address=127\.0\.0\.1 /);
    });

    test('a body that is too large is refused', async () => {
      assert.equal((await call('/chat/New', { body: 'x'.repeat(300000) })).code, 413);
    });
  });
}

test('the proxies are installed', () => {
  for (const name of Object.keys(proxies)) {
    assert.equal(spawnSync(name, [name === 'nginx' ? '-v' : 'version'], { env: { ...process.env, PATH } }).status, 0, name);
  }
});
