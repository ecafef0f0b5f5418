// The page at /: which of its two screens is shown, and what their forms do.
//
// The address decides. #chat_id=…&namespace=… is a chat, and a link to it that can be given to anybody: it
// never holds a token. Without, it is the start.

import { Api } from './api.js';
import { access, name, recent } from './memory.js';
import { Session } from './session.js';
import { bytesOf, dateOf, dayKey, dayOf, hueOf, initialsOf, namesOf, timeOf } from './words.js';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
const NAMESPACE = /^[A-Za-z0-9_-]{1,64}$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const USER_ID_BYTES = 128;
const COPIED_MS = 2000;

const byId = (id) => document.getElementById(id);
let session = null;
// What the start screen says when a chat could not be opened.
let trouble = null;

// Both #chat_id=… and ?chat_id=… are understood; the former never reaches a server's log.
function chatOfAddress(text) {
  const parameters = [];
  for (const part of text.split(/[?#]/).slice(1)) parameters.push(new URLSearchParams(part));
  const find = (key) => parameters.map((list) => list.get(key)).find(Boolean) ?? '';
  const chatId = find('chat_id');
  const namespace = find('namespace');
  if (!UUID.test(chatId)) return null;
  return { chatId: UUID.exec(chatId)[0].toLowerCase(), namespace: NAMESPACE.test(namespace) ? namespace : '' };
}

function addressOf({ chatId, namespace }) {
  const parameters = new URLSearchParams({ chat_id: chatId, ...(namespace && { namespace }) });
  return `#${parameters}`;
}

function route() {
  session?.close();
  session = null;
  const chat = chatOfAddress(location.href);
  if (chat && name.get() && !trouble) openChat(chat);
  else showStart(chat);
  trouble = null;
}

function openChat(chat) {
  byId('start-screen').hidden = true;
  byId('chat-screen').hidden = false;
  session = new Session(chat, name.get(), access.get(), {
    refused(refusal) {
      trouble = explain(refusal, chat);
      route();
    },
  });
  session.open(draft);
  byId('message').focus();
}

function explain(refusal, { chatId, namespace }) {
  const where = namespace ? ` in the namespace ${namespace}` : '';
  const hints = {
    401: 'Enter an access token under Connection.',
    403: 'Another name or another access token may be allowed to.',
    404: `There is no chat ${chatId}${where}. The link may be incomplete, or its namespace missing.`,
  };
  const why = refusal.id.endsWith('.WrongUser') ? `The access token is not that of ${name.get()}.` : refusal.message;
  return { code: refusal.code, text: refusal.code === 404 ? hints[404] : `${why} ${hints[refusal.code] ?? ''}` };
}

/* The start. */

function showStart(chat) {
  byId('chat-screen').hidden = true;
  byId('start-screen').hidden = false;
  document.title = 'Chat';
  // A chat that is not there is no reason to ask for a name.
  const joining = chat && trouble?.code !== 404;
  for (const part of document.querySelectorAll('[data-mode]')) {
    part.hidden = part.dataset.mode === 'join' ? !joining : Boolean(joining);
  }
  byId('start-title').textContent = joining ? 'Open a chat' : 'Start a chat';
  byId('start-lead').textContent = joining ? 'Choose the name that the others will see.'
    : 'The same people always get the same chat.';
  byId('start-button').textContent = joining ? 'Open chat' : 'Start chat';
  byId('name').value = name.get();
  byId('token').value = access.get().token;
  byId('namespace').value = chat?.namespace || access.get().namespace;
  byId('connection').open = trouble?.code === 401 || trouble?.code === 403 || byId('namespace').value !== '';
  clearFieldErrors();
  showError(trouble?.text ?? '');
  if (!joining) showRecent();
  const first = trouble?.code === 401 ? 'token' : !name.get() || joining ? 'name' : 'others';
  byId(first).focus();
}

function showError(text) {
  byId('start-error').textContent = text;
  byId('start-error').hidden = text === '';
}

function clearFieldErrors() {
  for (const id of ['name', 'others', 'namespace', 'link']) fieldError(id, '');
}

// Says what is wrong with a field, or with '' that nothing is; whether it is wrong.
function fieldError(id, text) {
  const field = byId(id);
  const error = byId(`${id}-error`);
  error.textContent = text;
  error.hidden = text === '';
  if (text) field.setAttribute('aria-invalid', 'true');
  else field.removeAttribute('aria-invalid');
  return text !== '';
}

function userIdProblem(user) {
  if (CONTROL.test(user)) return 'A name holds no control characters.';
  if (bytesOf(user) > USER_ID_BYTES) return `A name is at most ${USER_ID_BYTES} bytes long; “${user.slice(0, 12)}…” has ${bytesOf(user)}.`;
  return '';
}

// Reads the fields that both forms share, and keeps them; null when one of them is wrong.
function readIdentity() {
  clearFieldErrors();
  const user = byId('name').value.trim();
  const namespace = byId('namespace').value.trim();
  const wrong = [
    fieldError('name', user === '' ? 'Choose a name first.' : userIdProblem(user)) && 'name',
    fieldError('namespace', namespace === '' || NAMESPACE.test(namespace) ? ''
      : 'A namespace has up to 64 letters, digits, _ and -.') && 'namespace',
  ].find(Boolean);
  if (wrong) {
    if (wrong === 'namespace') byId('connection').open = true;
    byId(wrong).focus();
    return null;
  }
  name.set(user);
  access.set({ token: byId('token').value.trim(), namespace });
  return { user, namespace };
}

async function startChat(event) {
  event.preventDefault();
  const identity = readIdentity();
  if (!identity) return;
  const { user, namespace } = identity;
  const joining = chatOfAddress(location.href);
  if (joining && byId('others').closest('[data-mode]').hidden) {
    go({ chatId: joining.chatId, namespace });
    return;
  }
  const others = byId('others').value.split(',').map((other) => other.trim()).filter(Boolean);
  const problem = others.map(userIdProblem).find(Boolean);
  if (fieldError('others', problem ?? (others.length === 0 ? 'Name somebody to chat with.' : ''))) {
    byId('others').focus();
    return;
  }
  const button = byId('start-button');
  button.disabled = true;
  showError('');
  try {
    const users = [...new Set([user, ...others])];
    const { chat_id: chatId } = await new Api(access.get()).newChat(users);
    recent.note({ chatId, namespace, users, openedAt: Date.now() });
    byId('others').value = '';
    go({ chatId, namespace });
  } catch (refusal) {
    showError(explain(refusal, { chatId: '', namespace }).text);
    if (refusal.code === 401) {
      byId('connection').open = true;
      byId('token').focus();
    }
  } finally {
    button.disabled = false;
  }
}

function openByLink(event) {
  event.preventDefault();
  const identity = readIdentity();
  if (!identity) return;
  const link = byId('link').value.trim();
  const found = chatOfAddress(link) ?? (UUID.test(link) && { chatId: UUID.exec(link)[0].toLowerCase(), namespace: '' });
  if (fieldError('link', found ? '' : 'A link to a chat, or its id, such as 54356f8d-a48f-41fc-b775-1a3c108ec97a.')) {
    byId('link').focus();
    return;
  }
  byId('link').value = '';
  go({ chatId: found.chatId, namespace: found.namespace || identity.namespace });
}

// To a chat's address, and also when that is the address already.
function go(chat) {
  const address = addressOf(chat);
  if (location.hash === address) route();
  else location.hash = address;
}

function showRecent() {
  const chats = recent.get();
  byId('recent').hidden = chats.length === 0;
  byId('recent-list').replaceChildren(...chats.map(recentItem));
}

function recentItem(chat) {
  const me = name.get();
  const title = namesOf(chat.users.filter((user) => user !== me)) || chat.users[0] || `Chat ${chat.chatId.slice(0, 8)}`;
  const item = document.createElement('li');
  const link = document.createElement('a');
  const avatar = document.createElement('span');
  const label = document.createElement('span');
  const when = document.createElement('span');
  const date = dateOf(new Date(chat.openedAt).toISOString());
  link.href = addressOf(chat);
  avatar.className = 'avatar';
  avatar.setAttribute('aria-hidden', 'true');
  avatar.textContent = initialsOf(title);
  avatar.style.setProperty('--hue', hueOf(chat.users.find((user) => user !== me) ?? title));
  label.className = 'recent-name';
  label.textContent = chat.namespace ? `${title} · ${chat.namespace}` : title;
  when.className = 'recent-time';
  when.textContent = dayKey(date) === dayKey(new Date()) ? timeOf(date) : dayOf(date);
  link.append(avatar, label, when);
  item.append(link);
  return item;
}

/* Writing. */

function draft(entry) {
  byId('message').value = [entry.text, byId('message').value].filter(Boolean).join('\n');
  byId('subject').value = entry.subject;
  showSubject(entry.subject !== '');
  fitMessage();
}

function showSubject(shown) {
  byId('subject').hidden = !shown;
  if (!shown) byId('subject').value = '';
  byId('subject-toggle').setAttribute('aria-expanded', String(shown));
  byId('subject-toggle').setAttribute('aria-label', shown ? 'Leave out the subject' : 'Add a subject');
}

function fitMessage() {
  const field = byId('message');
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight}px`;
  byId('composer').classList.toggle('ready', field.value.trim() !== '');
}

function sendMessage(event) {
  event?.preventDefault();
  const field = byId('message');
  // The first line may be indented; empty lines around a text are nobody's intention.
  const text = field.value.trimEnd().replace(/^(?:[^\S\n]*\n)+/, '');
  if (!session || text === '') {
    field.focus();
    return;
  }
  session.send(byId('subject').value.trim(), text);
  field.value = '';
  showSubject(false);
  fitMessage();
  field.focus();
}

// Enter sends, where there is a keyboard with a Shift key to go with it. While an input method
// composes a word, Enter belongs to it.
function messageKey(event) {
  if (event.key !== 'Enter' || event.isComposing || event.shiftKey) return;
  if (matchMedia('(pointer: coarse)').matches && !event.ctrlKey && !event.metaKey) return;
  sendMessage(event);
}

let copiedTimer = 0;
async function share() {
  const link = new URL(location.hash, document.baseURI).href;
  let copied = true;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    copied = copyByHand(link);
  }
  const button = byId('share');
  byId('announcer').textContent = copied ? 'Link copied.' : 'The link could not be copied; it is this page’s address.';
  button.classList.toggle('done', copied);
  clearTimeout(copiedTimer);
  copiedTimer = setTimeout(() => button.classList.remove('done'), COPIED_MS);
}

// The clipboard is there on https and loopback only.
function copyByHand(text) {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'visually-hidden';
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  byId('share').focus();
  return copied;
}

// Some phones lay the keyboard over the page instead of making the page smaller.
function followKeyboard() {
  const { visualViewport: viewport } = window;
  if (!viewport) return;
  viewport.addEventListener('resize', () => {
    if (viewport.scale > 1.01) return; // The reader zooms; that is something else.
    document.documentElement.style.setProperty('--viewport-height', `${viewport.height}px`);
    scrollTo(0, 0);
  });
}

byId('start-form').addEventListener('submit', startChat);
byId('open-form').addEventListener('submit', openByLink);
byId('forget').addEventListener('click', () => {
  recent.forget();
  showRecent();
  byId('name').focus();
});
byId('composer').addEventListener('submit', sendMessage);
byId('message').addEventListener('input', fitMessage);
byId('message').addEventListener('keydown', messageKey);
byId('subject-toggle').addEventListener('click', () => {
  showSubject(byId('subject').hidden);
  byId(byId('subject').hidden ? 'message' : 'subject').focus();
});
byId('share').addEventListener('click', share);
byId('skip').addEventListener('click', (event) => {
  event.preventDefault();
  byId('message').focus();
});
addEventListener('hashchange', route);
followKeyboard();
route();
