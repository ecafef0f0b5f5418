'use strict';
// Two people at the page, and what may happen to their connections.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, afterEach, before, describe, it } = require('node:test');
const { eventually } = require('../integration/harness');
const { range } = require('../integration/client');
const { Stage } = require('./rig');

describe('the chat page', () => {
  let stage;
  before(async () => {
    stage = await Stage.start();
  });
  afterEach(() => stage.dismiss());
  after(() => stage?.close());

  const stored = async (chatId) => (await stage.chat.readAll(chatId)).map(({ user_id: user, text }) => `${user}: ${text}`);
  const sendElsewhere = (chatId, text, user = 'Robot') => stage.chat.Send({
    chat_id: chatId, user_id: user, client_id: randomUUID(), text,
  });

  // Two people in a chat of their own.
  async function two(...names) {
    const [first, second] = names.length > 0 ? names : [`Ada ${randomUUID()}`, `Barry ${randomUUID()}`];
    const ada = await stage.person(first);
    await ada.startChat(second);
    const barry = await stage.person(second, { at: ada.link });
    await barry.joinChat();
    return [ada, barry];
  }

  it('lets two people talk, and shows a script as text', async () => {
    const [ada, barry] = await two();
    await ada.say('Hey Barry');
    await barry.sees('Hey Barry');
    const script = '<script>alert(1)</script><img src=x onerror=alert(2)>';
    await barry.say(script);
    await ada.sees(script);
    await ada.say('  indented\n\nand in lines');
    await barry.sees('  indented\n\nand in lines');
    await barry.sees(script);
    for (const person of [ada, barry]) {
      await person.seqsAre([1, 2, 3]);
      await person.outboxIs([]);
      assert.equal(await person.page.locator('#messages script, #messages img').count(), 0);
    }
    assert.match(await ada.page.locator('#messages .own .foot').first().innerText(), /\d:\d\d/);
    assert.equal(await ada.page.locator('#messages .own >> text=Sent').count(), 2);
    assert.equal(await barry.page.locator('.day').innerText(), 'Today');
    assert.match(await barry.page.title(), /Ada/);
    assert.deepEqual(await stored(ada.chatId), [
      `${ada.name}: Hey Barry`, `${barry.name}: ${script}`, `${ada.name}:   indented\n\nand in lines`,
    ]);
  });

  it('shows subjects', async () => {
    const [ada, barry] = await two();
    await ada.page.getByRole('button', { name: 'Add a subject' }).click();
    await ada.page.keyboard.type('Hello');
    await ada.say('Hey Barry');
    await barry.sees('Hey Barry');
    assert.equal(await barry.page.locator('#messages .subject').innerText(), 'Hello');
    const [message] = await stage.chat.readAll(ada.chatId);
    assert.equal(message.subject, 'Hello');
  });

  it('catches up after a while offline, without gap or repeat', async () => {
    const [ada, barry] = await two();
    await ada.say('before');
    await barry.sees('before');
    await barry.context.setOffline(true);
    await barry.page.getByText('You are offline.').waitFor();
    for (const i of range(1, 30)) await sendElsewhere(ada.chatId, `missed ${i}`);
    await barry.say('written offline');
    await barry.outboxIs([{ text: 'written offline', state: 'waiting' }]);
    await ada.sees('missed 30');
    await barry.context.setOffline(false);
    await barry.sees('written offline');
    await ada.sees('written offline');
    for (const person of [ada, barry]) await person.seqsAre(range(1, 32));
    await barry.page.getByText('You are offline.').waitFor({ state: 'hidden' });
    assert.equal((await stored(ada.chatId)).length, 32);
  });

  it('goes on when the gateway is killed and comes back', async () => {
    const [ada, barry] = await two();
    await ada.say('before');
    await barry.sees('before');
    await stage.gateway.kill();
    for (const person of [ada, barry]) await person.page.getByText(/Connection lost/).waitFor();
    await ada.say('written without a gateway');
    await ada.say('and one more');
    for (const i of range(1, 5)) await sendElsewhere(ada.chatId, `missed ${i}`);
    await stage.gateway.start();
    for (const person of [ada, barry]) {
      await person.sees('and one more');
      await person.seqsAre(range(1, 8));
      await person.page.getByText(/Connection lost/).waitFor({ state: 'hidden' });
    }
    const texts = (await stored(ada.chatId)).slice(-2);
    assert.deepEqual(texts, [`${ada.name}: written without a gateway`, `${ada.name}: and one more`]);
  });

  it('says why it waits while the service is away, and goes on when that is back', async () => {
    const own = await Stage.start({ gatewayArguments: ['--timeout-ms', '1000'] });
    try {
      const ada = await own.person('Ada');
      await ada.startChat('Barry');
      await ada.say('before');
      await ada.sees('before');
      await own.world.chatd.kill();
      await own.gateway.kill();
      await ada.say('written without a service');
      await own.gateway.start();
      await ada.page.getByText(/Connection lost\..*service.*Reconnecting/).waitFor();
      await own.world.chatd.start();
      await ada.sees('written without a service');
      await ada.outboxIs([]);
      await ada.seqsAre([1, 2]);
    } finally {
      await own.close();
    }
  });

  // A person whose WebSocket goes through `between(page side, gateway side)`.
  async function withRoute(between) {
    const ada = await stage.person(`Ada ${randomUUID()}`, { between });
    await ada.startChat(`Barry ${randomUUID()}`);
    return ada;
  }

  it('finds its message in the chat when the answer is lost, and the chat has it once', async () => {
    const attempts = [];
    let cut = false;
    const ada = await withRoute((socket, server) => {
      socket.onMessage((text) => {
        attempts.push(JSON.parse(text).client_id);
        server.send(text);
      });
      server.onMessage((text) => {
        if (attempts.length === 0 || cut) {
          socket.send(text);
        } else if (JSON.parse(text).ack) {
          // It is stored, and nothing of that reaches the page.
          cut = true;
          server.close();
          socket.close();
        }
      });
    });
    await ada.say('only once');
    await ada.sees('only once');
    await ada.outboxIs([]);
    assert.ok(cut, 'the answer was lost');
    assert.equal(new Set(attempts).size, 1);
    await ada.seqsAre([1]);
    assert.deepEqual(await stored(ada.chatId), [`${ada.name}: only once`]);
  });

  it('sends again with the same client_id, and is told of a duplicate', async () => {
    // The page hears nothing of its first attempt, and its connection begins anew behind it.
    const attempts = [];
    const acks = [];
    const ada = await withRoute((socket, server) => {
      let deaf = false;
      socket.onMessage((text) => {
        attempts.push(JSON.parse(text).client_id);
        deaf = attempts.length === 1;
        server.send(text);
      });
      server.onMessage((text) => {
        const { ack, message } = JSON.parse(text);
        if (ack) acks.push(ack);
        if (deaf && ack) {
          server.close();
          socket.close();
        }
        // What is stored is kept from the page until it has tried again.
        if (!deaf && !(message && attempts.length === 1)) socket.send(text);
      });
    });
    await ada.say('only once');
    await eventually('a second ack', () => acks.length === 2);
    assert.deepEqual(acks.map(({ duplicate }) => duplicate), [false, true]);
    assert.equal(attempts[0], attempts[1]);
    assert.equal(acks[0].seq, acks[1].seq);
    assert.deepEqual(await stored(ada.chatId), [`${ada.name}: only once`]);
  });

  it('shows a refusal, and retries with the same client_id', async () => {
    const attempts = [];
    const ada = await withRoute((socket, server) => {
      server.onMessage((text) => socket.send(text));
      socket.onMessage((text) => {
        const { client_id: clientId } = JSON.parse(text);
        attempts.push(clientId);
        if (attempts.length > 1) {
          server.send(text);
          return;
        }
        socket.send(JSON.stringify({
          error: { id: 'chat.Send.NotAMember', code: 403, detail: 'not now', status: 'Forbidden', client_id: clientId },
        }));
      });
    });
    await ada.say('refused at first');
    await ada.outboxIs([{ text: 'refused at first', state: 'failed' }]);
    await ada.page.getByText('Not sent. Not now.', { exact: true }).waitFor();
    await ada.page.getByRole('button', { name: 'Retry' }).click();
    await ada.sees('refused at first');
    await ada.outboxIs([]);
    assert.equal(attempts.length, 2);
    assert.equal(attempts[0], attempts[1]);
    assert.deepEqual(await stored(ada.chatId), [`${ada.name}: refused at first`]);
  });

  it('gives back what the service refuses, to be written anew', async () => {
    const [ada] = await two();
    const long = 'x'.repeat(70000);
    await ada.say(long);
    await ada.outboxIs([{ text: long, state: 'failed' }]);
    await ada.say('shorter');
    await ada.sees('shorter');
    await ada.page.getByRole('button', { name: 'Edit' }).click();
    await ada.outboxIs([]);
    assert.equal(await ada.page.getByRole('textbox', { name: 'Message', exact: true }).inputValue(), long);
  });

  it('keeps what was not sent when the page is loaded again', async () => {
    let open = false;
    const ada = await withRoute((socket, server) => {
      server.onMessage((text) => socket.send(text));
      socket.onMessage((text) => open && server.send(text));
    });
    await ada.say('survives');
    await ada.outboxIs([{ text: 'survives', state: 'sending' }]);
    open = true;
    await ada.page.reload();
    await ada.sees('survives');
    await ada.outboxIs([]);
    assert.deepEqual(await stored(ada.chatId), [`${ada.name}: survives`]);
  });

  it('asks again when messages do not come one after the other', async () => {
    let tampered = 0;
    const ada = await withRoute((socket, server) => {
      socket.onMessage((text) => server.send(text));
      server.onMessage((text) => {
        const { message } = JSON.parse(text);
        // The second message is lost on the first connection; the third comes twice.
        if (message?.seq === 2 && tampered === 0) tampered = 1;
        else socket.send(text);
        if (message?.seq === 3) socket.send(text);
      });
    });
    for (const i of range(1, 4)) await sendElsewhere(ada.chatId, `message ${i}`);
    await ada.sees('message 4');
    assert.equal(tampered, 1);
    await ada.seqsAre([1, 2, 3, 4]);
  });

  it('says what is wrong with a link or a name', async () => {
    const ada = await stage.person('Ada', { at: `#chat_id=${randomUUID()}` });
    await ada.page.getByRole('button', { name: 'Open chat' }).click();
    await ada.page.getByText('Choose a name first.').waitFor();
    await ada.page.getByLabel('Your name').fill('Ada');
    await ada.page.getByRole('button', { name: 'Open chat' }).click();
    await ada.page.getByText(/There is no chat/).waitFor();
    await ada.page.getByLabel('Or open one by its link or id').fill('nonsense');
    await ada.page.getByRole('button', { name: 'Open', exact: true }).click();
    await ada.page.getByText(/A link to a chat, or its id/).waitFor();
    await ada.page.getByLabel('Your name').fill('ä'.repeat(65));
    await ada.page.getByRole('button', { name: 'Start chat' }).click();
    await ada.page.getByText(/at most 128 bytes/).waitFor();
  });

  it('keeps namespaces apart, and puts them into links', async () => {
    const ada = await stage.person(`Ada ${randomUUID()}`);
    await ada.page.getByText('Connection', { exact: true }).click();
    await ada.page.getByLabel('Namespace').fill('acme');
    await ada.startChat('Barry');
    await ada.say('in acme');
    await ada.sees('in acme');
    assert.match(ada.link, /namespace=acme/);
    const barry = await stage.person('Barry', { at: ada.link });
    await barry.joinChat();
    await barry.sees('in acme');
    const stranger = await stage.person('Barry', { at: ada.link.replace('&namespace=acme', '') });
    await stranger.page.getByLabel('Your name').fill('Barry');
    await stranger.page.getByRole('button', { name: 'Open chat' }).click();
    await stranger.page.getByText(/There is no chat/).waitFor();
  });

  it('keeps the token to itself', async () => {
    const token = `secret-${randomUUID()}`;
    const seen = [];
    const ada = await stage.person(`Ada ${randomUUID()}`);
    ada.page.on('request', (request) => seen.push(request.headers().authorization));
    ada.page.on('websocket', (socket) => seen.push(socket.url()));
    await ada.page.getByText('Connection', { exact: true }).click();
    await ada.page.getByLabel('Access token').fill(token);
    await ada.startChat('Barry');
    assert.ok(seen.includes(`Bearer ${token}`));
    assert.ok(seen.some((text) => text?.includes(`access_token=${token}`)));
    assert.ok(!ada.link.includes(token));
    const kept = await ada.page.evaluate(() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage)]);
    assert.deepEqual(kept.map((text) => text.includes(token)), [false, true]);
    const sameBrowser = await ada.context.newPage();
    await sameBrowser.goto(ada.link);
    assert.ok(!(await sameBrowser.evaluate(() => JSON.stringify(sessionStorage))).includes(token));
  });
});
