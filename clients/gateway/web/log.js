// The list of messages on the screen.
//
// However long a chat is, only a window of it is in the document: at most WINDOW messages around where
// the reader is. Scrolling towards an end of the window adds STEP messages there, from the timeline or, at
// its beginning, from History, and takes as many away at the other end. The reader's place is kept
// through all of it: at the bottom one stays at the bottom; anywhere else the first message in sight
// stays where it is. What arrives is drawn once a frame, however much it is.

import { dateOf, dayKey, dayOf, fullTimeOf, hueOf, initialsOf, timeOf } from './words.js';

const WINDOW = 240;
const STEP = 40;
const NEAR_END_PX = 900;
const AT_BOTTOM_PX = 48;
// Messages of one person within this time stand together.
const TOGETHER_MS = 5 * 60000;
// How long the reader's screen reader gets to see that what was just added is old.
const QUIET_MS = 400;
const HIDDEN_FRAME_MS = 200;

const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function icon(path) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

const SENT = 'M5 13l4 4 10-10';
const WAITING = 'M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z';

function avatarOf(user) {
  const avatar = element('span', 'avatar', initialsOf(user));
  avatar.setAttribute('aria-hidden', 'true');
  return avatar;
}

function bubbleOf(subject, text) {
  const bubble = element('div', 'bubble');
  if (subject) {
    const line = element('p', 'subject', subject);
    line.dir = 'auto';
    bubble.append(line);
  }
  const body = element('p', 'text', text);
  body.dir = 'auto';
  bubble.append(body);
  return bubble;
}

export class Log {
  stuck = true; // The reader is at the bottom, and stays there.
  #timeline;
  #me;
  #handlers;
  #shownFirst = 1;
  #shownLast = 0;
  #anchor = null;
  #frame = 0;
  #quietTimer = 0;
  #ready = false;
  #stop = new AbortController();
  #log = byId('log');
  #list = byId('messages');
  #pill = byId('to-newest');
  #unread = 0;
  #placed = { top: 0, height: 0, room: 0 };

  // `handlers`: needOlder() when the beginning of the timeline comes near; read() when the reader is
  // at the newest message.
  constructor(timeline, me, handlers) {
    this.#timeline = timeline;
    this.#me = me;
    this.#handlers = handlers;
    const { signal } = this.#stop;
    this.#log.addEventListener('scroll', () => this.#scrolledByHand(), { signal, passive: true });
    this.#pill.addEventListener('click', () => this.toNewest(), { signal });
    const observer = new ResizeObserver(() => this.#keepPlace());
    for (const box of [this.#log, this.#list, byId('outbox')]) observer.observe(box);
    signal.addEventListener('abort', () => observer.disconnect());
    this.#list.replaceChildren();
    this.#pill.hidden = true;
    this.#log.setAttribute('aria-live', 'off');
  }

  close() {
    this.#stop.abort();
    clearTimeout(this.#quietTimer);
    this.#cancelFrame();
    this.#list.replaceChildren();
  }

  // From the newest message backwards, whatever was shown before.
  showNewest() {
    this.#cancelFrame();
    this.#quietly(() => {
      this.#shownLast = this.#timeline.lastSeq;
      this.#shownFirst = Math.max(this.#timeline.firstSeq, this.#shownLast - STEP + 1);
      this.#list.replaceChildren(this.#items(this.#shownFirst, this.#shownLast));
    });
    this.stuck = true;
    this.#ready = true;
    this.#keepPlace();
    this.#scrolled();
  }

  toNewest() {
    if (this.#shownLast !== this.#timeline.lastSeq) this.showNewest();
    this.stuck = true;
    this.#keepPlace();
    this.#scrolled();
    this.#log.focus({ preventScroll: true });
  }

  // The timeline grew at its end. `aloud`: these are news, to be read out as they come.
  grown(aloud) {
    if (!aloud) this.#hush();
    this.#unread += 1;
    if (this.#frame) return;
    const draw = () => {
      this.#frame = 0;
      this.#drawGrown();
    };
    // A hidden page gets no frames.
    this.#frame = document.hidden ? -setTimeout(draw, HIDDEN_FRAME_MS) : requestAnimationFrame(draw);
  }

  // The timeline grew at its beginning.
  grownBefore() {
    this.#expandUp();
    this.#scrolled();
  }

  // Asks for what is missing on the screen, as scrolling does.
  check() {
    if (this.#ready) this.#scrolled();
  }

  #cancelFrame() {
    if (this.#frame > 0) cancelAnimationFrame(this.#frame);
    else if (this.#frame < 0) clearTimeout(-this.#frame);
    this.#frame = 0;
  }

  #drawGrown() {
    const newest = this.#timeline.lastSeq;
    if (this.stuck) {
      // More than anybody sees go by.
      if (newest - this.#shownLast > STEP) {
        this.showNewest();
        return;
      }
      this.#list.append(this.#items(this.#shownLast + 1, newest));
      this.#shownLast = newest;
      this.#trimTop();
      this.#keepPlace();
    } else {
      const room = WINDOW - (this.#shownLast - this.#shownFirst + 1);
      const last = Math.min(newest, this.#shownLast + Math.max(0, room));
      this.#list.append(this.#items(this.#shownLast + 1, last));
      this.#shownLast = last;
    }
    this.#scrolled();
  }

  #expandUp() {
    const first = Math.max(this.#timeline.firstSeq, this.#shownFirst - STEP);
    if (first >= this.#shownFirst) return;
    this.#inPlace(() => {
      const items = this.#items(first, this.#shownFirst - 1);
      const formerFirst = this.#list.firstElementChild;
      this.#list.prepend(items);
      if (formerFirst) this.#dress(formerFirst, this.#shownFirst);
      this.#shownFirst = first;
      while (this.#shownLast - this.#shownFirst >= WINDOW) {
        this.#list.lastElementChild.remove();
        this.#shownLast -= 1;
      }
    });
  }

  #expandDown() {
    const last = Math.min(this.#timeline.lastSeq, this.#shownLast + STEP);
    if (last <= this.#shownLast) return;
    this.#inPlace(() => {
      this.#list.append(this.#items(this.#shownLast + 1, last));
      this.#shownLast = last;
      this.#trimTop();
    });
  }

  #trimTop() {
    while (this.#shownLast - this.#shownFirst >= WINDOW) {
      this.#list.firstElementChild.remove();
      this.#shownFirst += 1;
    }
  }

  // Where the reader is decides what has to be loaded and what is told.
  #scrolled() {
    if (!this.#ready) return;
    const log = this.#log;
    const below = log.scrollHeight - log.scrollTop - log.clientHeight;
    const atEnd = this.#shownLast === this.#timeline.lastSeq;
    // Only the reader moves up; what grows below moves nobody.
    const movedUp = log.scrollTop < this.#placed.top - 1;
    if (movedUp && below >= AT_BOTTOM_PX) this.stuck = false;
    else if (!atEnd) this.stuck &&= this.#frame !== 0;
    else if (below < AT_BOTTOM_PX) this.stuck = true;
    this.#place();
    this.#anchor = this.stuck ? null : this.#firstInSight();
    if (this.stuck) {
      this.#unread = 0;
      this.#handlers.read();
    }
    this.#pill.hidden = this.stuck || (atEnd && below < log.clientHeight / 2 && this.#unread === 0);
    byId('to-newest-text').textContent = this.#unread > 0 ? `${this.#unread.toLocaleString()} new` : 'Newest';
    if (log.scrollTop < NEAR_END_PX) this.#wantOlder();
    else if (below < NEAR_END_PX && !atEnd) this.#expandDown();
  }

  #wantOlder() {
    if (this.#shownFirst > this.#timeline.firstSeq) this.#expandUp();
    else if (this.#timeline.hasOlder) this.#handlers.needOlder();
  }

  // The bubble is what stays put: what stands above it in its item may come and go.
  #firstInSight() {
    const top = this.#log.getBoundingClientRect().top;
    const items = this.#list.children;
    let low = 0;
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (items[middle].getBoundingClientRect().bottom <= top) low = middle + 1;
      else high = middle;
    }
    const bubble = items[low]?.querySelector('.bubble');
    return bubble ? { bubble, top: bubble.getBoundingClientRect().top - top } : null;
  }

  #keepPlace() {
    const log = this.#log;
    if (this.stuck) {
      log.scrollTop = log.scrollHeight;
    } else if (this.#anchor?.bubble.isConnected) {
      const top = this.#anchor.bubble.getBoundingClientRect().top - log.getBoundingClientRect().top;
      if (Math.abs(top - this.#anchor.top) >= 1) log.scrollTop += top - this.#anchor.top;
    }
    this.#place();
  }

  #place() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    this.#placed = { top: scrollTop, height: scrollHeight, room: clientHeight };
  }

  // What has changed its size scrolls, too: then the place is kept, and nobody has moved.
  #scrolledByHand() {
    const { scrollHeight, clientHeight } = this.#log;
    if (this.stuck && (scrollHeight !== this.#placed.height || clientHeight !== this.#placed.room)) {
      this.#keepPlace();
    }
    this.#scrolled();
  }

  #inPlace(change) {
    this.#anchor = this.stuck ? null : this.#firstInSight();
    this.#quietly(change);
    this.#keepPlace();
  }

  // What is added now is not news.
  #quietly(change) {
    this.#hush();
    change();
  }

  #hush() {
    this.#log.setAttribute('aria-live', 'off');
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#log.setAttribute('aria-live', 'polite'), QUIET_MS);
  }

  #items(first, last) {
    const items = document.createDocumentFragment();
    for (let seq = first; seq <= last; seq += 1) items.append(this.#item(seq));
    return items;
  }

  #item(seq) {
    const message = this.#timeline.at(seq);
    const own = message.user_id === this.#me;
    const date = dateOf(message.sent_at);
    const item = element('li', own ? 'message own' : 'message');
    item.dataset.seq = seq;
    item.style.setProperty('--hue', hueOf(message.user_id));
    const author = element('p', own ? 'author visually-hidden' : 'author', own ? 'You' : message.user_id);
    author.dir = 'auto';
    const bubble = bubbleOf(message.subject, message.text);
    const time = element('time', '', timeOf(date));
    time.dateTime = date.toISOString();
    time.title = `${fullTimeOf(date)} · number ${seq}`;
    const foot = element('p', 'foot');
    foot.append(time);
    if (own) foot.append(icon(SENT), element('span', 'visually-hidden', 'Sent'));
    bubble.append(foot);
    if (!own) item.append(avatarOf(message.user_id));
    item.append(author, bubble);
    this.#dress(item, seq);
    return item;
  }

  // What an item shows depends on the one before: a new day, or somebody going on.
  #dress(item, seq) {
    const message = this.#timeline.at(seq);
    const before = this.#timeline.at(seq - 1);
    const date = dateOf(message.sent_at);
    const dateBefore = before && dateOf(before.sent_at);
    const newDay = before ? dayKey(date) !== dayKey(dateBefore) : !this.#timeline.hasOlder;
    const together = before && !newDay && before.user_id === message.user_id
      && date - dateBefore < TOGETHER_MS;
    item.classList.toggle('continued', Boolean(together));
    item.querySelector('.day')?.remove();
    if (newDay) {
      const day = element('p', 'day');
      day.append(element('span', '', dayOf(date)));
      item.prepend(day);
    }
  }
}

// What is not acknowledged yet, below the messages.
export class OutboxView {
  #list = byId('outbox');
  #items = new Map();
  #handlers;

  // `handlers`: retry(clientId), take(clientId).
  constructor(handlers) {
    this.#handlers = handlers;
    this.#list.replaceChildren();
  }

  // Items stay while their message does, so that focus stays, too.
  show(entries, connected) {
    const gone = new Set(this.#items.keys());
    for (const entry of entries) {
      gone.delete(entry.clientId);
      let item = this.#items.get(entry.clientId);
      if (!item) {
        item = element('li', 'message own');
        item.append(element('p', 'author visually-hidden', 'You'), bubbleOf(entry.subject, entry.text));
        item.append(element('div', 'fate'));
        this.#items.set(entry.clientId, item);
        this.#list.append(item);
      }
      const state = entry.state === 'waiting' && connected ? 'sending' : entry.state;
      if (item.dataset.state !== state) this.#showFate(item, entry, state);
    }
    for (const clientId of gone) {
      this.#items.get(clientId).remove();
      this.#items.delete(clientId);
    }
    this.#list.hidden = this.#items.size === 0;
  }

  #showFate(item, entry, state) {
    item.dataset.state = state;
    const fate = item.querySelector('.fate');
    const says = {
      waiting: 'Waiting for the connection',
      sending: 'Sending…',
      acknowledged: 'Sent',
      failed: `Not sent. ${entry.error?.detail ?? ''}`,
    };
    fate.replaceChildren();
    if (state !== 'failed') fate.append(icon(state === 'acknowledged' ? SENT : WAITING));
    fate.append(element('span', '', says[state]));
    if (state === 'failed') {
      const take = entry.error?.final ? 'Edit' : 'Discard';
      fate.append(this.#button('Retry', () => this.#handlers.retry(entry.clientId)));
      fate.append(this.#button(take, () => this.#handlers.take(entry.clientId)));
    }
  }

  #button(text, act) {
    const button = element('button', 'link-button', text);
    button.type = 'button';
    button.addEventListener('click', act);
    return button;
  }
}
