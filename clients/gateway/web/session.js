// One open chat: its timeline, its connection, its outbox, and the screen that shows them.
//
// First the newest page of History, then the WebSocket from the seq after it; after a lost connection the
// WebSocket again, from the seq after the last message that is here. So nothing is missed and nothing
// repeated, and where a message is not the one that must come next, the connection is made anew.

import { Api } from './api.js';
import { Live } from './live.js';
import { Log, OutboxView } from './log.js';
import { outboxStore, recent } from './memory.js';
import { Outbox } from './outbox.js';
import { Timeline } from './timeline.js';
import { namesOf, plural } from './words.js';

const FIRST_PAGE = 60;
const OLDER_PAGE = 100;
// Messages held in memory while the reader is at the newest one.
const HELD = 5000;
// A connection that is back within this time was never away, as far as the reader is concerned.
const BANNER_DELAY_MS = 600;
const TITLE_DELAY_MS = 100;

const byId = (id) => document.getElementById(id);

export class Session {
  #chat;
  #me;
  #api;
  #handlers;
  #timeline = new Timeline();
  #users;
  #live;
  #log;
  #outbox;
  #outboxView;
  #loaded = false;
  #loadingOlder = false;
  #missed = 0;
  #bannerTimer = 0;
  #titleTimer = 0;
  #ticker = 0;
  #unseen = 0;
  #draft;
  #stop = new AbortController();

  // `chat` is { chatId, namespace }. `handlers`: refused(refusal) when this chat cannot be shown.
  constructor(chat, me, access, handlers) {
    this.#chat = chat;
    this.#me = me;
    this.#api = new Api({ ...access, namespace: chat.namespace });
    this.#handlers = handlers;
    this.#users = recent.note({ ...chat, users: [], openedAt: Date.now() });
    this.#log = new Log(this.#timeline, me, {
      needOlder: () => this.#loadOlder(),
      read: () => this.#read(),
    });
    this.#live = new Live({
      prepare: () => this.#prepare(),
      url: () => this.#api.connectUrl(chat.chatId, me, this.#timeline.lastSeq + 1),
      message: (message) => this.#received(message),
      ack: (ack) => this.#acknowledged(ack),
      error: (refusal, clientId) => this.#refused(refusal, clientId),
      state: (state, refusal) => this.#stateChanged(state, refusal),
    });
    this.#outbox = new Outbox(outboxStore(chat.chatId, chat.namespace, me), (entry) => this.#live.send({
      client_id: entry.clientId,
      subject: entry.subject,
      text: entry.text,
    }));
    this.#outboxView = new OutboxView({
      retry: (clientId) => this.#retry(clientId),
      take: (clientId) => this.#take(clientId),
    });
  }

  // `draft(entry)` is called with a message that its author wants to write anew.
  open(draft) {
    this.#draft = draft;
    const { signal } = this.#stop;
    this.#outbox.addEventListener('change', () => this.#showOutbox(), { signal });
    byId('reconnect').addEventListener('click', () => this.#live.retryNow(), { signal });
    byId('older-retry').addEventListener('click', () => this.#loadOlder(), { signal });
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#log.check();
    }, { signal });
    byId('empty').hidden = true;
    this.#showTop('Loading…');
    this.#drawTitle();
    this.#showOutbox();
    this.#live.start();
  }

  close() {
    this.#stop.abort();
    clearTimeout(this.#bannerTimer);
    clearTimeout(this.#titleTimer);
    clearInterval(this.#ticker);
    this.#live.close();
    this.#outbox.close();
    this.#log.close();
    document.title = 'Chat';
  }

  send(subject, text) {
    this.#log.toNewest();
    this.#outbox.add(subject, text);
  }

  // For a connection: the newest page at first; later only whether it would be refused.
  async #prepare() {
    if (this.#loaded) {
      await this.#api.mayConnect(this.#chat.chatId, this.#me, this.#timeline.lastSeq + 1);
      return;
    }
    const page = await this.#api.history(this.#chat.chatId, { limit: FIRST_PAGE });
    if (this.#stop.signal.aborted) return;
    this.#loaded = true;
    this.#timeline.begin(page);
    for (const message of page.messages) this.#noted(message);
    this.#log.showNewest();
    this.#showBeginning();
  }

  async #loadOlder() {
    if (this.#loadingOlder || !this.#loaded) return;
    this.#loadingOlder = true;
    this.#showTop('Loading older messages…');
    try {
      const range = { before_seq: this.#timeline.firstSeq, limit: OLDER_PAGE };
      const page = await this.#api.history(this.#chat.chatId, range);
      if (this.#stop.signal.aborted) return;
      // While this page was on its way, what it continues may have been forgotten: it is asked for again.
      this.#timeline.prepend(page);
      this.#loadingOlder = false;
      this.#showBeginning();
      this.#log.grownBefore();
    } catch (refusal) {
      this.#loadingOlder = false;
      if (!this.#stop.signal.aborted) this.#showTop(`Older messages did not load. ${refusal.message}`, true);
    }
  }

  #received(message) {
    switch (this.#timeline.append(message)) {
      case 'gap':
        this.#live.restart();
        return;
      case 'repeat':
        break;
      default:
        this.#added(message);
    }
    if (message.user_id === this.#me) this.#outbox.seen(message.client_id);
  }

  #added(message) {
    this.#noted(message);
    const caughtUp = this.#live.state === 'live';
    if (!caughtUp) this.#missed += 1;
    if (message.user_id !== this.#me) this.#unseen += 1;
    if (this.#log.stuck && this.#timeline.count > HELD + OLDER_PAGE) this.#timeline.keepNewest(HELD);
    byId('empty').hidden = true;
    this.#log.grown(caughtUp);
    this.#showTitle();
  }

  #acknowledged({ client_id: clientId, seq }) {
    if (seq <= this.#timeline.lastSeq) this.#outbox.seen(clientId);
    else this.#outbox.acknowledged(clientId);
  }

  // An error about no message of ours is about the connection: it is closed for that reason.
  #refused(refusal, clientId) {
    const sending = this.#outbox.entries.some((entry) => entry.state === 'sending');
    if (!clientId && !sending) return;
    this.#outbox.refused(refusal, clientId);
    const entry = this.#outbox.entries.find((candidate) => candidate.state === 'failed');
    if (entry) this.#announce(`Message not sent. ${refusal.message}`);
  }

  #retry(clientId) {
    this.#outbox.retry(clientId);
    byId('message').focus();
  }

  #take(clientId) {
    const entry = this.#outbox.take(clientId);
    if (entry?.error?.final) this.#draft(entry);
    byId('message').focus();
  }

  #read() {
    if (document.hidden || this.#unseen === 0) return;
    this.#unseen = 0;
    this.#showTitle();
  }

  #stateChanged(state, refusal) {
    if (state === 'stopped') {
      this.#handlers.refused(refusal);
      return;
    }
    if (state === 'live') this.#becameLive();
    else this.#outbox.disconnected();
    this.#showState(state, refusal);
    this.#showOutbox();
  }

  #becameLive() {
    if (this.#missed > 0) this.#announce(`Connected again. ${plural(this.#missed, 'message', 'messages')} came meanwhile.`);
    this.#missed = 0;
    this.#showBeginning();
    this.#outbox.pump();
  }

  #showState(state, refusal) {
    const names = { connecting: 'Connecting…', 'catching-up': 'Catching up…', live: 'Live', waiting: 'Reconnecting…' };
    byId('chat-state').dataset.state = state;
    byId('chat-state-text').textContent = names[state];
    const banner = byId('banner');
    clearInterval(this.#ticker);
    if (state === 'live') {
      clearTimeout(this.#bannerTimer);
      this.#bannerTimer = 0;
      banner.hidden = true;
      return;
    }
    this.#showBannerText(state, refusal);
    if (state === 'waiting') this.#ticker = setInterval(() => this.#showBannerText(state, refusal), 1000);
    if (banner.hidden && !this.#bannerTimer) {
      this.#bannerTimer = setTimeout(() => {
        banner.hidden = false;
      }, this.#loaded ? BANNER_DELAY_MS : BANNER_DELAY_MS * 2);
    }
  }

  #showBannerText(state, refusal) {
    const seconds = Math.max(1, Math.ceil((this.#live.retryAt - Date.now()) / 1000));
    const why = refusal?.code ? ` ${refusal.message}` : '';
    const texts = {
      connecting: this.#loaded ? 'Reconnecting…' : 'Connecting…',
      'catching-up': 'Catching up…',
      waiting: navigator.onLine === false ? 'You are offline. What you write is sent when you are back.'
        : `Connection lost.${why} Reconnecting in ${seconds} s…`,
    };
    byId('banner').dataset.state = state;
    byId('banner-text').textContent = texts[state];
    byId('reconnect').hidden = state !== 'waiting' || navigator.onLine === false;
  }

  #showTop(text, retry = false) {
    byId('log-top-text').textContent = text;
    byId('older-retry').hidden = !retry;
  }

  #showBeginning() {
    const empty = this.#timeline.lastSeq === 0;
    byId('empty').hidden = !empty || this.#outbox.entries.length > 0;
    if (this.#timeline.hasOlder) this.#showTop('Older messages');
    else this.#showTop(empty ? '' : 'The beginning of this chat');
  }

  #showOutbox() {
    this.#outboxView.show(this.#outbox.entries, this.#live.state === 'live');
    if (this.#outbox.entries.length > 0) byId('empty').hidden = true;
  }

  // Who is in a chat is known to those who made it; whoever comes by link sees who writes.
  #noted({ user_id: user }) {
    if (this.#users.includes(user) || this.#users.length >= 20) return;
    this.#users = recent.note({ ...this.#chat, users: [user], openedAt: Date.now() });
    this.#showTitle();
  }

  // Not more often than anybody could read it.
  #showTitle() {
    this.#titleTimer ||= setTimeout(() => {
      this.#titleTimer = 0;
      this.#drawTitle();
    }, TITLE_DELAY_MS);
  }

  #drawTitle() {
    const others = this.#users.filter((user) => user !== this.#me);
    const title = namesOf(others) || (this.#users.length > 0 ? `${this.#me} (you)` : 'Chat');
    byId('chat-title').textContent = title;
    document.title = this.#unseen > 0 ? `(${this.#unseen}) ${title}` : `${title} · Chat`;
  }

  #announce(text) {
    byId('announcer').textContent = text;
  }
}
