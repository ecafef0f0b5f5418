// The gateway's calls. Each resolves to the answer or throws a Refusal, which says what the gateway
// said, or, with code 0, that no answer came.

import { sentence } from './words.js';

const PATIENCE_MS = 15000;
const UPGRADE_REQUIRED = 426;

export class Refusal extends Error {
  constructor({ code = 0, id = '', detail = '' } = {}, retryAfterMs = 0) {
    super(sentence(detail || 'The gateway does not answer'));
    this.name = 'Refusal';
    this.code = code;
    this.id = id;
    this.retryAfterMs = retryAfterMs;
  }

  // Whether the same may well succeed in a while. A refusal of what was asked stays one.
  get passing() {
    return this.code === 0 || this.code === 408 || this.code === 429 || this.code >= 500;
  }
}

// Seconds, or a date, as RFC 9110 has it.
function retryAfter(response) {
  const value = response.headers.get('retry-after');
  if (!value) return 0;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, 60000) : 0;
}

async function refusalOf(response) {
  let error = {};
  try {
    error = await response.json();
  } catch {
    // A proxy in between answers in its own way.
  }
  const detail = error.detail || `The gateway answers ${response.status} ${response.statusText}`;
  return new Refusal({ code: response.status, id: error.id, detail }, retryAfter(response));
}

// `access` is { token, namespace }, either may be empty.
export class Api {
  constructor(access) {
    this.access = access;
  }

  #headers() {
    const headers = { accept: 'application/json' };
    if (this.access.token) headers.authorization = `Bearer ${this.access.token}`;
    if (this.access.namespace) headers['micro-namespace'] = this.access.namespace;
    return headers;
  }

  async #call(path, options) {
    let response;
    try {
      response = await fetch(path, {
        cache: 'no-store',
        credentials: 'omit',
        signal: AbortSignal.timeout(PATIENCE_MS),
        ...options,
      });
      if (response.ok) return await response.json();
    } catch {
      throw new Refusal();
    }
    throw await refusalOf(response);
  }

  newChat(userIds) {
    return this.#call('chat/New', {
      method: 'POST',
      headers: { ...this.#headers(), 'content-type': 'application/json' },
      body: JSON.stringify({ user_ids: userIds }),
    });
  }

  // `range` holds from_seq, before_seq and limit, as far as they are wanted.
  async history(chatId, range = {}) {
    const query = new URLSearchParams({ chat_id: chatId, ...range });
    const page = await this.#call(`chat/History?${query}`, { headers: this.#headers() });
    return { messages: [], head_seq: 0, more: false, ...page };
  }

  // Whether a WebSocket would be refused, and why. Asked for by a call, it is when all is well, too:
  // the gateway then wants it to be a WebSocket, and nothing else.
  async mayConnect(chatId, userId, fromSeq) {
    const query = new URLSearchParams({ chat_id: chatId, user_id: userId, from_seq: fromSeq });
    try {
      await this.#call(`chat/Connect?${query}`, { headers: this.#headers() });
    } catch (refusal) {
      if (refusal.code !== UPGRADE_REQUIRED) throw refusal;
    }
  }

  // Where the WebSocket of a chat is. A browser cannot give it headers, hence the query.
  connectUrl(chatId, userId, fromSeq) {
    const url = new URL('chat/Connect', document.baseURI);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    url.search = new URLSearchParams({
      chat_id: chatId,
      user_id: userId,
      from_seq: fromSeq,
      ...(this.access.namespace && { namespace: this.access.namespace }),
      ...(this.access.token && { access_token: this.access.token }),
    });
    return url;
  }
}
