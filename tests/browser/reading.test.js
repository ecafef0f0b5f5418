'use strict';
// Reading a long chat: further back on scroll, the reader's place kept, the document small.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, afterEach, before, describe, it } = require('node:test');
const { eventually, inParallel } = require('../integration/harness');
const { range } = require('../integration/client');
const { Stage } = require('./rig');

const LONG = 700;
// What the page keeps in the document, and a little more.
const ITEMS_MAX = 260;

describe('a long chat', () => {
  let stage;
  let chatId;
  before(async () => {
    stage = await Stage.start();
    chatId = await stage.chat.chat('Ada', 'Barry');
    await inParallel(LONG, 16, (i) => stage.chat.Send({
      chat_id: chatId, user_id: i % 3 ? 'Barry' : 'Ada', client_id: `c${i}`, text: `Message ${'and more '.repeat(i % 9)}`,
    }));
  });
  afterEach(() => stage.dismiss());
  after(() => stage?.close());

  async function reader() {
    const ada = await stage.person('Ada', { at: `#chat_id=${chatId}` });
    await ada.joinChat();
    return ada;
  }

  const contiguous = (seqs) => assert.deepEqual(seqs, range(seqs[0], seqs[seqs.length - 1]));

  // The message at the top of what is in sight, and where exactly it is.
  const inSight = (person) => person.page.$eval('#log', (log) => {
    const { top } = log.getBoundingClientRect();
    const item = [...log.querySelectorAll('#messages > li')]
      .find((candidate) => candidate.querySelector('.bubble').getBoundingClientRect().bottom > top);
    return { seq: Number(item.dataset.seq), top: item.querySelector('.bubble').getBoundingClientRect().top - top };
  });

  const bottomGap = (person) => person.page.$eval('#log', (log) => log.scrollHeight - log.scrollTop - log.clientHeight);

  it('begins at the newest message and loads further back to the beginning', async () => {
    const ada = await reader();
    const head = (await stage.chat.History({ chat_id: chatId, limit: 1 })).head_seq;
    assert.equal((await ada.seqs()).at(-1), head);
    assert.ok(await bottomGap(ada) < 2, 'the newest message is in sight');
    let first = head + 1;
    while (first > 1) {
      const before = first;
      await ada.scrollTo(0);
      await eventually(`something before ${before}`, async () => {
        const seqs = await ada.seqs();
        contiguous(seqs);
        assert.ok(seqs.length <= ITEMS_MAX, `${seqs.length} items in the document`);
        [first] = seqs;
        return first < before;
      });
    }
    await ada.page.getByText('The beginning of this chat').waitFor();
    await ada.page.getByRole('button', { name: 'Newest' }).click();
    await ada.seesSeq(head);
    await eventually('the newest message is in sight', async () => await bottomGap(ada) < 2);
    contiguous(await ada.seqs());
  });

  it('keeps the place of the reader while older messages load', async () => {
    const ada = await reader();
    for (let i = 0; i < 4; i += 1) {
      // In one step, so that nothing loads in between.
      const [before, first] = await ada.page.$eval('#log', (log) => {
        log.scrollTop = 300;
        const { top } = log.getBoundingClientRect();
        const item = [...log.querySelectorAll('#messages > li')]
          .find((candidate) => candidate.querySelector('.bubble').getBoundingClientRect().bottom > top);
        const seq = Number(item.dataset.seq);
        return [{ seq, top: item.querySelector('.bubble').getBoundingClientRect().top - top },
          Number(log.querySelector('#messages > li').dataset.seq)];
      });
      await eventually('older messages are there', async () => (await ada.seqs())[0] < first);
      const now = await ada.page.$eval('#log', (log, seq) => {
        const bubble = log.querySelector(`[data-seq="${seq}"] .bubble`);
        return bubble.getBoundingClientRect().top - log.getBoundingClientRect().top;
      }, before.seq);
      assert.ok(Math.abs(now - before.top) <= 2, `number ${before.seq} moved from ${before.top} to ${now}`);
    }
  });

  it('does not move who reads further up when news come, and counts them', async () => {
    const ada = await reader();
    await ada.page.$eval('#log', (log) => {
      log.scrollTop -= 1500;
    });
    await ada.page.getByRole('button', { name: 'Newest' }).waitFor();
    const before = await inSight(ada);
    const { message } = await stage.chat.Send({ chat_id: chatId, user_id: 'Barry', client_id: randomUUID(), text: 'news' });
    await ada.page.getByRole('button', { name: '1 new' }).waitFor();
    const now = await inSight(ada);
    assert.equal(now.seq, before.seq);
    assert.ok(Math.abs(now.top - before.top) <= 2);
    await ada.page.getByRole('button', { name: '1 new' }).click();
    await ada.seesSeq(message.seq);
    await ada.page.locator('#to-newest').waitFor({ state: 'hidden' });
  });

  it('stays at the newest message while many come', async () => {
    const ada = await reader();
    const { head_seq: head } = await stage.chat.History({ chat_id: chatId, limit: 1 });
    await inParallel(300, 32, (i) => stage.chat.Send({
      chat_id: chatId, user_id: 'Barry', client_id: randomUUID(), text: `many ${i}`,
    }));
    await ada.seesSeq(head + 300);
    await eventually('the newest message is in sight', async () => await bottomGap(ada) < 2);
    const seqs = await ada.seqs();
    contiguous(seqs);
    assert.ok(seqs.length <= ITEMS_MAX);
    assert.ok(await ada.page.locator('#to-newest').isHidden());
  });

  it('tries again when older messages do not load', async () => {
    const ada = await reader();
    let broken = true;
    await ada.page.route(/before_seq/, (route) => (broken ? route.abort() : route.continue()));
    await ada.scrollTo(0);
    await ada.page.getByText(/Older messages did not load/).waitFor();
    broken = false;
    const [first] = await ada.seqs();
    // Not with the mouse: that scrolls, and scrolling tries again by itself.
    await ada.page.locator('#older-retry').dispatchEvent('click');
    await eventually('older messages are there', async () => (await ada.seqs())[0] < first);
  });
});
