'use strict';
// The operator's window: what it reads, and what it draws of a real gateway's figures.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, afterEach, before, describe, it } = require('node:test');
const axe = require('axe-core');
const { eventually } = require('../integration/harness');
const { PHONE, Stage } = require('./rig');

describe('the status page', () => {
  let stage;
  before(async () => {
    stage = await Stage.start();
  });
  afterEach(() => stage.dismiss());
  after(() => stage?.close());

  // Requests through the gateway, over and over, until told to stop.
  function traffic() {
    let stopped = false;
    const call = (method, body) => fetch(new URL(`chat/${method}`, stage.gateway.url('/')), {
      method: 'POST', body: JSON.stringify(body),
    }).then((response) => response.json());
    const done = (async () => {
      const { chat_id: chatId } = await call('New', { user_ids: ['Ada'] });
      while (!stopped) {
        await call('Send', { chat_id: chatId, user_id: 'Ada', client_id: randomUUID(), text: 'tick' });
        await call('History', { chat_id: chatId, limit: 1 });
        await call('Send', { chat_id: randomUUID(), user_id: 'Ada', text: 'to nowhere' });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    return () => {
      stopped = true;
      return done;
    };
  }

  it('draws rates, times and what each chatd does', async (t) => {
    const stop = traffic();
    t.after(stop);
    const operator = await stage.person('operator', { at: 'status' });
    const { page } = operator;
    const chart = (section, title) => page.locator(section).locator('.chart').filter({ has: page.getByRole('heading', { name: title, exact: true }) });
    const shows = (section, title, pattern) => eventually(`${section}: ${title} shows ${pattern}`, async () => (
      pattern.test((await chart(section, title).locator('.legend').innerText()).replace(/\s+/g, ' '))));
    const gateway = '[aria-labelledby="gateway-title"]';
    await shows(gateway, 'Requests', /Send [\d.]+\/s/);
    await shows(gateway, 'Time to answer', /p99 [\d.]+ (µs|ms|s)/);
    await shows(gateway, 'Refusals and failures', /404 [\d.]+\/s/);
    await shows('#services', 'Requests', /Send [\d.]+\/s/);
    await shows('#services', 'Mean time of a request', /Send [\d.]+ (µs|ms|s)/);
    await shows('#services', 'Refusals', /Send [\d.]+\/s/);
    await shows('#services', 'Mean time of a sync to disk', /journal batch [\d.]+ (µs|ms|s)/);
    await shows('#services', 'Lag: durable, not in the database yet', /commands \d/);
    await page.getByText(/^up$/).waitFor();
    const line = chart(gateway, 'Requests').locator('.line').first();
    await eventually('a line is drawn', async () => /L/.test(await line.getAttribute('d')));
    assert.match(await chart(gateway, 'Requests').getByRole('img').getAttribute('aria-label'), /Send .* now/);
    await page.getByText('All figures').click();
    await page.getByLabel(/Show those/).fill('no such figure');
    await eventually('no rows', async () => await page.locator('#figures tr').count() === 0);
    await page.getByLabel(/Show those/).fill('');
    await eventually('rows', async () => await page.locator('#figures tr').count() > 10);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`), []);
  });

  it('says when nothing answers, and goes on when it does again', async () => {
    const operator = await stage.person('operator', { at: 'status', options: { ...PHONE, colorScheme: 'dark' } });
    const { page } = operator;
    await page.getByText('Live').waitFor();
    const { width, room } = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, room: innerWidth }));
    assert.ok(width <= room, `fits a phone: ${width} px in ${room}`);
    await stage.gateway.kill();
    await page.getByText('The gateway does not answer.').waitFor();
    await page.getByText(/No news for/).waitFor();
    assert.deepEqual(new Set(await page.locator('#tiles dd').allInnerTexts()), new Set(['–']));
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`), []);
    await stage.gateway.start();
    await page.getByText('The gateway does not answer.').waitFor({ state: 'hidden' });
    await page.getByText('Live').waitFor();
  });

  it('reads the text format as it is written', async () => {
    const operator = await stage.person('operator', { at: 'status' });
    const read = (text) => operator.page.evaluate(async (metrics) => {
      const { parseMetrics } = await import('./prometheus.js');
      return [...parseMetrics(metrics).values()];
    }, text);
    assert.deepEqual(await read([
      '# HELP a_total What \\\\ it\\nis.',
      '# TYPE a_total counter',
      'a_total{path="C:\\\\x",says="\\"hi\\"\\n",} 3 1712345678000',
      'a_total 1e3',
      '',
      '# a comment',
      '# TYPE h histogram',
      'h_bucket{le="+Inf"} 2',
      'h_sum -0.5',
      'h_count 2',
      'h_counts 7',
    ].join('\n')), [
      {
        name: 'a_total', type: 'counter', help: 'What \\ it\nis.',
        samples: [
          { name: 'a_total', labels: { path: 'C:\\x', says: '"hi"\n' }, value: 3 },
          { name: 'a_total', labels: {}, value: 1000 },
        ],
      },
      {
        name: 'h', type: 'histogram', help: '',
        samples: [
          { name: 'h_bucket', labels: { le: '+Inf' }, value: 2 },
          { name: 'h_sum', labels: {}, value: -0.5 },
          { name: 'h_count', labels: {}, value: 2 },
        ],
      },
      { name: 'h_counts', type: 'untyped', help: '', samples: [{ name: 'h_counts', labels: {}, value: 7 }] },
    ]);
    await assert.rejects(read('a_total{path=3} 1'), /cannot be read/);
    await assert.rejects(read('just words'), /cannot be read/);
  });

  it('reckons rates over restarts, and quantiles as Prometheus does', async () => {
    const operator = await stage.person('operator', { at: 'status' });
    const results = await operator.page.evaluate(async () => {
      const { increase, quantile } = await import('./prometheus.js');
      const buckets = [{ upTo: 1, count: 0 }, { upTo: 2, count: 50 }, { upTo: 4, count: 99 }, { upTo: Infinity, count: 100 }];
      return [increase(7, 5), increase(3, 5), quantile(0.5, buckets), quantile(0.9, buckets), quantile(1, buckets),
        String(increase(7, undefined)), String(quantile(0.5, []))];
    });
    assert.deepEqual(results, [2, 3, 2, 2 + 2 * (40 / 49), 4, 'NaN', 'NaN']);
  });
});
