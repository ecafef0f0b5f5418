'use strict';
// The page for everybody: by keyboard alone, on a phone, in the dark, with a screen reader; and what it
// must never do: anything that its Content-Security-Policy forbids.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, afterEach, before, describe, it } = require('node:test');
const axe = require('axe-core');
const { eventually } = require('../integration/harness');
const { PHONE, Stage } = require('./rig');

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

describe('the page for everybody', () => {
  let stage;
  before(async () => {
    stage = await Stage.start();
  });
  afterEach(() => stage.dismiss());
  after(() => stage?.close());

  async function accessible(page, where) {
    await page.evaluate(axe.source);
    const { violations, passes } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), RULES);
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`);
    assert.deepEqual(found, [], `accessibility, ${where}`);
    assert.ok(passes.some(({ id }) => id === 'color-contrast'), 'contrast was looked at');
  }

  // A chat in which everything is to be seen: both sides, a subject, a refusal, something waiting.
  async function fullChat(options) {
    const ada = await stage.person(`Ada ${randomUUID().slice(0, 8)}`, { options });
    await ada.startChat('Barry Lyndon');
    for (const [user, text] of [['Barry Lyndon', 'Hey'], ['Grace', 'x'.repeat(300)], ['Ünal', 'three of us']]) {
      await stage.chat.Send({ chat_id: ada.chatId, user_id: user, client_id: randomUUID(), subject: 'About it', text });
      await ada.sees(text);
    }
    await ada.say('mine');
    await ada.sees('mine');
    await ada.say('y'.repeat(70000));
    await ada.outboxIs([{ text: 'y'.repeat(70000), state: 'failed' }]);
    return ada;
  }

  for (const colorScheme of ['light', 'dark']) {
    it(`has no accessibility violations, ${colorScheme}`, async () => {
      const ada = await fullChat({ colorScheme });
      await accessible(ada.page, 'a chat');
      await ada.context.setOffline(true);
      await ada.page.getByText('You are offline.').waitFor();
      await ada.say('waiting');
      await accessible(ada.page, 'a chat, offline');
      await ada.context.setOffline(false);
      await ada.live();
      await ada.page.getByRole('link', { name: 'All chats' }).click();
      await ada.page.getByText('Recent').waitFor();
      await ada.page.getByText('Connection', { exact: true }).click();
      await ada.page.getByRole('button', { name: 'Start chat' }).click();
      await ada.page.getByText('Name somebody to chat with.').waitFor();
      await accessible(ada.page, 'the start');
    });
  }

  // The element that has focus, by its accessible name, and whether one can see that it has it.
  const focused = (page) => page.evaluate(() => {
    const element = document.activeElement;
    const box = element.closest('.composer-box') ?? element;
    const { outlineStyle, outlineWidth } = getComputedStyle(box);
    const label = element.labels?.[0]?.textContent ?? element.getAttribute('aria-label') ?? element.textContent;
    return { label: label.trim(), visible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 };
  });

  async function tabTo(page, label, key = 'Tab') {
    for (let i = 0; i < 12; i += 1) {
      const found = await focused(page);
      assert.ok(found.visible, `focus is to be seen on ${found.label}`);
      if (found.label === label) return;
      await page.keyboard.press(key);
    }
    assert.fail(`${key} does not lead to ${label}`);
  }

  it('works by keyboard alone', async () => {
    const ada = await stage.person(`Ada ${randomUUID()}`);
    const { page } = ada;
    await page.keyboard.type(ada.name);
    await tabTo(page, 'With');
    await page.keyboard.type('Barry');
    await page.keyboard.press('Enter');
    await ada.live();
    await tabTo(page, 'Message');
    await page.keyboard.type('first line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('second line');
    await page.keyboard.press('Enter');
    await ada.sees('first line\nsecond line');
    await tabTo(page, 'Messages', 'Shift+Tab');
    await tabTo(page, 'Add a subject');
    await page.keyboard.press('Space');
    assert.equal((await focused(page)).label, 'Subject');
    await page.keyboard.type('By keyboard');
    await tabTo(page, 'Message');
    await page.keyboard.type('third');
    await tabTo(page, 'Send');
    await page.keyboard.press('Enter');
    await ada.sees('third');
    assert.equal((await focused(page)).label, 'Message');
    await tabTo(page, 'All chats', 'Shift+Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Start a chat' }).waitFor();
  });

  it('reads news to screen readers, and not what is old', async () => {
    const ada = await fullChat();
    await ada.page.reload();
    await ada.live();
    const log = ada.page.getByRole('log');
    await eventually('the log reads news', async () => await log.getAttribute('aria-live') === 'polite');
    await ada.page.evaluate(() => {
      window.spoken = [];
      new MutationObserver((changes) => {
        for (const { addedNodes, target } of changes) {
          const region = target.closest('[aria-live]');
          for (const node of addedNodes) window.spoken.push([region.getAttribute('aria-live'), node.textContent]);
        }
      }).observe(document.getElementById('messages'), { childList: true });
    });
    await stage.chat.Send({ chat_id: ada.chatId, user_id: 'Grace', client_id: randomUUID(), text: 'news' });
    await ada.sees('news');
    const [[live, text]] = await ada.page.evaluate(() => window.spoken);
    assert.equal(live, 'polite');
    assert.match(text, /Grace.*news/);
  });

  it('fits a phone', async () => {
    const ada = await fullChat(PHONE);
    const { page } = ada;
    const fits = async (where) => {
      const { width, room } = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, room: innerWidth }));
      assert.ok(width <= room, `${where}: ${width} px in ${room}`);
    };
    await fits('a chat');
    const wide = await page.$$eval('#log, #log .bubble', (list) => list.filter((one) => one.scrollWidth > one.clientWidth + 1).length);
    assert.equal(wide, 0, 'long words wrap');
    const small = await page.$$eval('#chat-screen .icon-button, #composer textarea', (list) => list
      .map((one) => one.getBoundingClientRect()).filter(({ height, width }) => height < 40 || width < 40).length);
    assert.equal(small, 0, 'fingers hit every button');
    // There, Enter is for lines, and the button sends.
    const message = page.getByRole('textbox', { name: 'Message', exact: true });
    await message.fill('one');
    await message.press('End');
    await message.press('Enter');
    await page.keyboard.type('two');
    await page.getByRole('button', { name: 'Send', exact: true }).tap();
    await ada.sees('one\ntwo');
    // The keyboard comes up: the composer and the newest message stay in sight.
    await page.setViewportSize({ width: 360, height: 340 });
    await eventually('all of it is above the keyboard', () => page.evaluate(() => {
      const composer = document.getElementById('composer').getBoundingClientRect();
      const log = document.getElementById('log');
      return composer.bottom <= innerHeight + 1 && log.scrollHeight - log.scrollTop - log.clientHeight < 2;
    }));
    await page.getByRole('link', { name: 'All chats' }).tap();
    await fits('the start');
  });

  it('is dark and light as the system says, until told otherwise', async () => {
    const ada = await stage.person('Ada', { options: { colorScheme: 'light' } });
    const { page } = ada;
    const brightness = () => page.evaluate(() => {
      const [red, green, blue] = getComputedStyle(document.documentElement).backgroundColor.match(/[\d.]+/g).map(Number);
      return (red + green + blue) / 3;
    });
    const toggle = page.getByRole('button', { name: 'Dark theme' });
    assert.ok(await brightness() > 200);
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.ok(await brightness() < 60);
    assert.equal(await toggle.getAttribute('aria-pressed'), 'true');
    await toggle.click();
    assert.ok(await brightness() > 200);
    await page.reload();
    assert.ok(await brightness() > 200, 'remembered');
    assert.equal(await toggle.getAttribute('aria-pressed'), 'false');
    await page.goto(new URL('status', stage.gateway.url('/')).href);
    assert.ok(await brightness() > 200, 'on the other page, too');
  });

  it('has a policy under which nothing foreign runs', async () => {
    const ada = await stage.person('Ada');
    await ada.page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.ran = true';
      document.body.append(script);
      const style = document.createElement('div');
      style.setAttribute('style', 'color: red');
    });
    await eventually('the browser reports it', () => ada.complaints.length >= 2);
    assert.equal(await ada.page.evaluate(() => window.ran), undefined);
    const complaints = ada.complaints.splice(0);
    assert.ok(complaints.every((text) => text.startsWith('violates')), complaints.join('\n'));
    const elsewhere = await ada.page.evaluate(() => fetch('http://127.0.0.1:1/').then(() => 'fetched', () => 'refused'));
    assert.equal(elsewhere, 'refused');
    await eventually('the browser reports that, too', () => ada.complaints.length > 0);
    assert.match(ada.complaints.splice(0).join('\n'), /connect-src/);
    const { headers } = await ada.page.goto(stage.gateway.url('/')).then(async (response) => ({ headers: await response.allHeaders() }));
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
      assert.ok(headers['content-security-policy'].includes(rule), rule);
    }
  });
});
