'use strict';
// The page where the gateway asks for tokens: with one, without one, with somebody else's, and when one
// is taken away.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, afterEach, before, describe, it } = require('node:test');
const { makeDirectory, removeDirectory } = require('../integration/harness');
const { sha256 } = require('../integration/gateway');
const { Stage } = require('./rig');

describe('the page with tokens', () => {
  let stage;
  let directory;
  const tokens = new Map();

  // A token for one user, from now on; of the default namespace.
  function write() {
    fs.writeFileSync(path.join(directory, 'tokens'),
      [...tokens].map(([name, token]) => `${sha256(token)} default ${name}\n`).join(''));
  }
  async function give(...names) {
    for (const name of names) tokens.set(name, `token-${randomUUID()}`);
    write();
    await stage.gateway.reload('access.reloaded');
  }

  before(async () => {
    directory = makeDirectory();
    tokens.set('Ada', `token-${randomUUID()}`);
    write();
    stage = await Stage.start({ gatewayArguments: ['--auth-tokens', path.join(directory, 'tokens')] });
  });
  afterEach(() => stage.dismiss());
  after(async () => {
    await stage?.close();
    if (directory) removeDirectory(directory);
  });

  async function enterToken({ page }, token) {
    const field = page.getByLabel('Access token');
    if (!await field.isVisible()) await page.getByText('Connection', { exact: true }).click();
    await field.fill(token);
  }

  async function open(name, link, token) {
    const person = await stage.person(name, { at: link });
    await enterToken(person, token);
    await person.page.getByLabel('Your name').fill(name);
    await person.page.getByRole('button', { name: 'Open chat' }).click();
    return person;
  }

  it('asks for one, and lets those talk who have theirs', async () => {
    await give('Ada', 'Barry');
    const ada = await stage.person('Ada');
    await ada.page.getByLabel('Your name').fill('Ada');
    await ada.page.getByLabel('With', { exact: true }).fill('Barry');
    await ada.page.getByRole('button', { name: 'Start chat' }).click();
    await ada.page.getByText(/Enter an access token under Connection/).waitFor();
    await enterToken(ada, tokens.get('Ada'));
    await ada.page.getByRole('button', { name: 'Start chat' }).click();
    await ada.live();
    const barry = await open('Barry', ada.link, tokens.get('Barry'));
    await barry.live();
    await ada.say('Hey Barry');
    await barry.sees('Hey Barry');
    await barry.say('Hey Ada');
    await ada.sees('Hey Ada');
    assert.ok(!stage.gateway.program.lines.some((line) => line.includes('token-')), 'no token is in the log');
  });

  it('says why a chat does not open for others, and does not try it for ever', async () => {
    await give('Ada', 'Barry', 'Eve');
    const ada = await stage.person('Ada');
    await enterToken(ada, tokens.get('Ada'));
    await ada.startChat('Barry');
    // Not in the chat.
    const eve = await open('Eve', ada.link, tokens.get('Eve'));
    await eve.page.getByText(/Another name or another access token may be allowed to/).waitFor();
    // Reads as Barry, and would write as Mallory: only the WebSocket is refused.
    const mallory = await open('Mallory', ada.link, tokens.get('Barry'));
    await mallory.page.getByText('The access token is not that of Mallory. Another name or another access token may be allowed to.').waitFor();
    await mallory.page.getByLabel('Your name').fill('Barry');
    await mallory.page.getByRole('button', { name: 'Open chat' }).click();
    await mallory.live();
  });

  it('asks for another one when one is taken away', async () => {
    await give('Ada', 'Barry');
    const ada = await stage.person('Ada');
    await enterToken(ada, tokens.get('Ada'));
    await ada.startChat('Barry');
    await ada.say('before');
    await ada.sees('before');
    await give('Ada');
    await ada.page.getByText(/Enter an access token under Connection/).waitFor();
    await enterToken(ada, tokens.get('Ada'));
    await ada.page.getByRole('button', { name: 'Open chat' }).click();
    await ada.live();
    await ada.sees('before');
  });
});
