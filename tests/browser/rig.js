'use strict';
// A real browser at a real gateway: what the browser tests share.
//
// A Stage is a broker, a chatd, a gateway and Chromium. A Person is a browser context of its own, with
// nothing in common with the others, and the page in it. Whatever a page complains about is kept: an
// uncaught error, a violation of its Content-Security-Policy, a script that a message brought along; a stage
// does not close while anything of that is there. Nothing sleeps for a fixed time.

const assert = require('node:assert/strict');
const { chromium } = require('playwright-core');
const { Gateway } = require('../integration/gateway');
const { World, eventually } = require('../integration/harness');

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
// A busy machine is slow; nothing waits this long when all is well.
const PATIENCE_MS = 30000;

const DESKTOP = { viewport: { width: 1000, height: 720 } };
const PHONE = {
  viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true,
};

class Stage {
  people = [];

  static async start({ gatewayArguments = [] } = {}) {
    const stage = new Stage();
    try {
      stage.world = await World.start();
      stage.gateway = await Gateway.start(stage.world.broker.url, gatewayArguments);
      stage.chat = await stage.world.client();
      stage.browser = await chromium.launch({
        executablePath: CHROMIUM, args: ARGUMENTS, timeout: PATIENCE_MS * 2,
      });
      return stage;
    } catch (error) {
      await stage.abandon();
      throw error;
    }
  }

  // Somebody with a browser, at the address; the start by default. `between(page side, gateway side)`
  // gets each WebSocket.
  async person(name, { options = {}, at = '', between } = {}) {
    const person = new Person(name, this.gateway.url('/'));
    this.people.push(person);
    await person.arrive(this.browser, { options: { ...DESKTOP, ...options }, at, between });
    return person;
  }

  // The end of a test: nobody had anything to complain about.
  async dismiss() {
    const people = this.people.splice(0);
    for (const person of people) await person.leave();
    for (const person of people) {
      assert.deepEqual(person.complaints, [], `what the page of ${person.name} complained about`);
    }
  }

  async close() {
    try {
      await this.dismiss();
    } finally {
      await this.abandon();
    }
  }

  async abandon() {
    await this.browser?.close();
    if (this.gateway?.program.running) await this.gateway.kill();
    await this.world?.close();
  }
}

class Person {
  complaints = [];

  constructor(name, home) {
    this.name = name;
    this.home = home;
  }

  async arrive(browser, { options, at, between }) {
    this.onPhone = options.isMobile;
    this.context = await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options });
    this.context.setDefaultTimeout(PATIENCE_MS);
    await this.context.exposeBinding('complain', (_, text) => this.complaints.push(text));
    await this.context.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => {
        window.complain(`violates ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
      });
      window.alert = (text) => window.complain(`alert: ${text}`);
    });
    if (between) {
      await this.context.routeWebSocket(/\/chat\/Connect/, (socket) => between(socket, socket.connectToServer()));
    }
    this.page = await this.context.newPage();
    this.page.on('pageerror', (error) => this.complaints.push(`error: ${error.stack || error}`));
    this.page.on('dialog', (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    await this.page.goto(new URL(at, this.home).href);
  }

  leave() {
    return this.context.close();
  }

  get link() {
    return this.page.url();
  }

  get chatId() {
    return new URLSearchParams(new URL(this.link).hash.slice(1)).get('chat_id');
  }

  // From the start screen to a chat that is live.
  async startChat(others) {
    await this.page.getByLabel('Your name').fill(this.name);
    await this.page.getByLabel('With', { exact: true }).fill(others);
    await this.page.getByRole('button', { name: 'Start chat' }).click();
    await this.live();
  }

  // From a chat's link, opened as the first thing, to a chat that is live.
  async joinChat() {
    await this.page.getByLabel('Your name').fill(this.name);
    await this.page.getByRole('button', { name: 'Open chat' }).click();
    await this.live();
  }

  live() {
    return this.state('live');
  }

  state(name) {
    return this.page.waitForSelector(`#chat-state[data-state="${name}"]`, { timeout: PATIENCE_MS });
  }

  async say(text) {
    const message = this.page.getByRole('textbox', { name: 'Message', exact: true });
    await message.fill(text);
    // On a phone, Enter begins a new line.
    if (this.onPhone) await this.page.getByRole('button', { name: 'Send', exact: true }).tap();
    else await message.press('Enter');
  }

  // Until the message is in the list, not only in the outbox.
  async sees(text) {
    await eventually(`${this.name} sees “${text.slice(0, 60)}”`, async () => (await this.texts()).includes(text));
  }

  async seesSeq(seq) {
    await eventually(`${this.name} sees number ${seq}`, async () => (await this.seqs()).includes(seq));
  }

  texts() {
    return this.page.$$eval('#messages .text', (list) => list.map((text) => text.textContent));
  }

  seqs() {
    return this.page.$$eval('#messages > li', (list) => list.map((item) => Number(item.dataset.seq)));
  }

  // What is written and not acknowledged: [{ text, state }].
  outbox() {
    return this.page.$$eval('#outbox > li', (list) => list.map((item) => (
      { text: item.querySelector('.text').textContent, state: item.dataset.state })));
  }

  outboxIs(expected) {
    return this.#comesTo('outbox', expected, () => this.outbox());
  }

  // Shown as committed; one's own message is, once it is acknowledged.
  seqsAre(expected) {
    return this.#comesTo('messages', expected, () => this.seqs());
  }

  async #comesTo(what, expected, find) {
    let found;
    await eventually(`${this.name}'s ${what}: ${JSON.stringify(expected)}`, async () => {
      found = await find();
      return JSON.stringify(found) === JSON.stringify(expected);
    }).catch((error) => {
      throw new Error(`${error.message}; found ${JSON.stringify(found)}`);
    });
  }

  scrollTo(top) {
    return this.page.$eval('#log', (log, to) => {
      log.scrollTop = to;
    }, top);
  }
}

module.exports = { DESKTOP, PATIENCE_MS, PHONE, Person, Stage };
