// The realtime client of Headwater: an ES module without dependencies, for browsers and for Node 22 or newer.
// docs/realtime.md shows its use, headwater.d.ts has its types.
//
// A Headwater is what a page holds. Its topics go to a Session, which lives in the page or, where all tabs can share one
// socket, in a SharedWorker that runs this same file. Sessions of one caller share a Connection, which keeps the topics
// and the position over one transport after the other: a Socket, or an EventStream where there are no WebSockets.

const OPEN_TIMEOUT = 10_000;
const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;
// The server takes messages of 64 KiB.
const MESSAGE_BYTES = 60_000;
// Longer than any topic that the server takes, and short enough for it to be able to say so.
const TOPIC_LENGTH = 16_000;
// Tabs share a worker of the same version only: those that were loaded before an update go on with theirs.
const WORKER = "headwater-1";

// What becomes of requests whose connection ended.
const LOST = Symbol("lost");

export class HeadwaterError extends Error {
  constructor(message, status = 0, data = {}) {
    super(message);
    this.name = "HeadwaterError";
    this.status = status;
    this.data = data;
  }
}

// --- what a page holds ---

export class Headwater {
  #link;
  #topics = new Map();
  #resets = new Set();
  #leave = [];
  #closed = false;

  constructor(server = "/", options = {}) {
    const pb = server?.authStore ? server : undefined;
    const base = String(pb ? (pb.baseURL ?? pb.baseUrl) : server).replace(/\/+$/, "");
    const url = new URL(`${base}/api/realtime`, globalThis.location?.href).href;
    const token = (pb ? pb.authStore.token : options.token) || "";
    const sink = { event: this.#event, reset: this.#reset };
    const local = () => new Session(new Map(), url, token, sink, options.getToken);
    const shared = options.shared !== false && !options.getToken && canShare(url);
    this.#link = shared ? remote(url, token, sink).catch(local) : Promise.resolve(local());
    if (pb) this.#leave.push(pb.authStore.onChange((token) => this.setToken(token)));
    const hurry = () => this.#link.then((link) => link.hurry());
    this.#listenTo(globalThis, "online", hurry);
    this.#listenTo(globalThis.document, "visibilitychange", () => document.visibilityState === "visible" && hurry());
  }

  // Resolves when the server has acknowledged, with a function that ends the subscription.
  subscribe(topic, callback, { onReset, ...options } = {}) {
    return this.#listen(topicText(topic, options), { callback: (_, event) => callback(event), onReset });
  }

  // A query that keeps its result up to date. An event `error` says that the query cannot be read.
  live(collection, given, callback) {
    const { onReset, ...options } = given ?? {};
    // Records are told apart by their id, and put in order by what they are sorted by.
    const { fields, sort } = options;
    if (fields) options.fields = [fields, "id", ...sortKeys(sort).map(({ field }) => field)].join();
    return this.#listen(topicText(`${collection}/*`, options, true), { callback, onReset });
  }

  // Calls back when changes were missed that can be told no more: what the page shows has to be read anew.
  onReset(callback) {
    this.#resets.add(callback);
    return () => void this.#resets.delete(callback);
  }

  // Another caller, for the same topics. Without a token it is a guest.
  async setToken(token) {
    await (await this.#link).setToken(token || "");
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#leave.forEach((leave) => leave());
    this.#topics.clear();
    await (await this.#link).close();
  }

  async #listen(text, subscriber) {
    if (this.#closed) throw new HeadwaterError("The client is closed.");
    if (text.length > TOPIC_LENGTH) throw new HeadwaterError("The topic is too long.", 400);
    let topic = this.#topics.get(text);
    if (!topic) {
      topic = { subscribers: new Set(), view: viewOf(text), ready: this.#link.then((link) => link.add(text)) };
      this.#topics.set(text, topic);
      topic.ready.catch(() => this.#topics.get(text) === topic && this.#topics.delete(text));
    }
    topic.subscribers.add(subscriber);
    // Others have it already.
    if (topic.view?.records) call(subscriber.callback, topic.view.records, topic.view.snapshot());
    await topic.ready;
    return async () => {
      topic.subscribers.delete(subscriber);
      if (topic.subscribers.size > 0 || this.#topics.get(text) !== topic) return;
      this.#topics.delete(text);
      await (await this.#link).remove(text);
    };
  }

  #event = (text, event) => {
    const topic = this.#topics.get(text);
    if (!topic || (topic.view && !topic.view.apply(event))) return;
    for (const { callback } of [...topic.subscribers]) call(callback, topic.view && (topic.view.records ?? []), event);
  };

  // Of one topic, or of all.
  #reset = (info, text) => {
    for (const callback of [...this.#resets]) call(callback, info);
    for (const [own, { subscribers }] of [...this.#topics]) {
      if (text !== undefined && text !== own) continue;
      for (const { onReset } of [...subscribers]) if (onReset) call(onReset, info);
    }
  };

  #listenTo(target, name, listener) {
    if (!target?.addEventListener) return;
    target.addEventListener(name, listener);
    this.#leave.push(() => target.removeEventListener(name, listener));
  }
}

// One callback that throws does not stop the others.
function call(callback, ...args) {
  try {
    callback(...args);
  } catch (error) {
    if (globalThis.reportError) reportError(error);
    else console.error(error);
  }
}

// As the official SDK writes it: options that are neither `query` nor `headers` are parts of the query.
function topicText(topic, { query, headers, ...more }, live) {
  const all = Object.fromEntries(Object.entries({ ...query, ...more }).filter(([, value]) => value != null));
  if (!live && !headers && Object.keys(all).length === 0) return topic;
  const options = encodeURIComponent(JSON.stringify({ query: all, headers, live }));
  return `${topic}${topic.includes("?") ? "&" : "?"}options=${options}`;
}

// --- live queries ---

// The records of a live query.
class View {
  records = undefined;
  #page = {};
  #compare;

  constructor(sort) {
    this.#compare = comparison(sortKeys(sort));
  }

  // False for what comes before there is anything to change. The list is a new one each time, so that whoever shows it
  // may compare.
  apply({ action, record, id, items, ...page }) {
    if (action === "snapshot") {
      this.#page = page;
      this.records = items;
      return true;
    }
    if (action === "error") {
      this.records = undefined;
      return true;
    }
    if (!this.records) return false;
    if (action === "leave") {
      this.records = this.records.filter((one) => one.id !== id);
    } else {
      const place = this.records.findIndex((one) => one.id === record.id);
      this.records = [...this.records];
      this.records[place < 0 ? this.records.length : place] = record;
      if (this.#compare) this.records.sort(this.#compare);
    }
    return true;
  }

  // For whoever comes later. The totals are those of the page as it was read.
  snapshot() {
    return { ...this.#page, action: "snapshot", items: this.records };
  }
}

function viewOf(text) {
  try {
    const { live, query } = JSON.parse(new URLSearchParams(text.slice(text.indexOf("?"))).get("options")) ?? {};
    return live ? new View(query?.sort) : undefined;
  } catch {
    return undefined;
  }
}

// `-created,title`; nothing where a part is no plain field: then records stay where they are, and new ones come last.
function sortKeys(sort = "") {
  const parts = sort.split(",").map((part) => /^\s*([+-]?)(\w+)\s*$/.exec(part));
  if (parts.includes(null)) return [];
  return parts.map(([, sign, field]) => ({ field, sign: sign === "-" ? -1 : 1 }));
}

function comparison(keys) {
  if (keys.length === 0) return undefined;
  // As SQLite does it: nothing, then numbers, then texts.
  const rank = (value) => (value == null ? 0 : typeof value === "string" ? 2 : 1);
  return (one, other) => {
    for (const { field, sign } of keys) {
      const [a, b] = [one[field], other[field]];
      const order = rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0);
      if (order) return order * sign;
    }
    return 0;
  };
}

// --- sessions: whose topics they are ---

// The topics of one page. Sessions with the same token in one pool share a connection.
class Session {
  #pool;
  #url;
  #token;
  #sink;
  #getToken;
  #shared;
  #texts = new Set();

  constructor(pool, url, token, sink, getToken) {
    this.#pool = pool;
    this.#url = url;
    this.#token = token;
    this.#sink = sink;
    this.#getToken = getToken;
    this.#join();
  }

  get #key() {
    return `${this.#url} ${this.#token}`;
  }

  #join(position) {
    this.#shared = this.#pool.get(this.#key);
    if (!this.#shared) {
      const connection = new Connection(this.#url, this.#token, this.#getToken, position);
      this.#shared = { connection, users: 0 };
      this.#pool.set(this.#key, this.#shared);
    }
    this.#shared.users += 1;
  }

  async add(text) {
    this.#texts.add(text);
    try {
      await this.#shared.connection.add(text, this.#sink);
    } catch (error) {
      this.#texts.delete(text);
      throw error;
    }
  }

  remove(text) {
    this.#texts.delete(text);
    return this.#shared.connection.remove(text, this.#sink);
  }

  async setToken(token) {
    if (token === this.#token) return;
    const [left, key] = [this.#shared, this.#key];
    const { connection } = left;
    this.#token = token;
    if (left.users === 1 && !this.#pool.has(this.#key)) {
      // The socket is nobody else's: it changes hands.
      this.#pool.delete(key);
      this.#pool.set(this.#key, left);
      return connection.setToken(token);
    }
    // A new connection goes on where the last one is.
    this.#join(connection.position);
    const added = [...this.#texts].map((text) => {
      const { ready } = connection.release(text, this.#sink);
      const again = this.#shared.connection.add(text, this.#sink, connection.position);
      // Whoever still waits for the acknowledgement waits for the new one.
      ready?.resolve(again);
      return again;
    });
    part(this.#pool, key, left);
    await Promise.allSettled(added);
  }

  hurry() {
    this.#shared.connection.hurry();
  }

  async close() {
    for (const text of this.#texts) this.#shared.connection.remove(text, this.#sink);
    this.#texts.clear();
    part(this.#pool, this.#key, this.#shared);
  }
}

function part(pool, key, shared) {
  shared.users -= 1;
  if (shared.users > 0) return;
  pool.delete(key);
  shared.connection.close();
}

// --- connections: topics and positions, over one transport after the other ---

function parsePosition(seq) {
  const [epoch, number] = seq.split(":");
  return { epoch, number: Number(number), seq };
}

function isLater(one, other) {
  return !other || one.epoch !== other.epoch || one.number > other.number;
}

class Topic {
  sinks = new Set();
  // The server has it, or had it: after an interruption it goes on where it was.
  resumes = false;
  // The server has it on the connection of the moment.
  isHeld = false;
  ready = deferred();
  // The last position that was seen, with what was seen there; and the same of the connections before.
  #last;
  #before;

  constructor(text) {
    this.text = text;
    this.view = viewOf(text);
  }

  // A connection begins: what it tells may be known already.
  mark() {
    this.isHeld = false;
    this.#before = this.#last ?? this.#before;
    this.#last = undefined;
  }

  forget() {
    this.#last = this.#before = undefined;
  }

  // Takes an event in; false if it was seen before the last interruption.
  //
  // A position alone does not say so. Where a client sees one change by several topics, only the last of these events has
  // the change's own position; those before it have the position before, so that a client that is cut off between them is
  // told all of them again. An event at position P is then about change P, or about change P + 1; told again, the same event
  // may be at the one or at the other, since another topic may come last this time. So what is before the last position
  // seen is a repeat, and what is at it or next to it is one if it says the same. With a single topic every event has its
  // change's own position, and nothing is told twice: two changes that look the same are two.
  take({ epoch, number }, content, alone) {
    const before = this.#before;
    if (before && (before.epoch !== epoch || number > before.number + 1)) this.#before = undefined;
    else if (before && (number < before.number || before.contents.includes(content))) return false;
    if (this.#last?.number !== number || this.#last.epoch !== epoch) this.#last = { epoch, number, contents: [] };
    if (!alone) this.#last.contents.push(content);
    return true;
  }
}

class Connection {
  // Everything up to here was seen.
  position;
  // While several replays go on beside each other, where the next connection has to begin.
  #floor;
  #url;
  #token;
  #getToken;
  #topics = new Map();
  #transport;
  #isOpen = false;
  #preparing = false;
  #timer;
  #attempts = 0;
  // Attempts before the first that succeeded; afterwards the kind of transport is settled.
  #failures = 0;
  #kind;
  #closed = false;

  // `position`: where another connection was, whose topics this one takes over.
  constructor(url, token, getToken, position) {
    this.#url = url;
    this.#token = token;
    this.#getToken = getToken;
    this.position = position;
  }

  // `from`: the position up to which the sink has heard of this topic over another connection.
  add(text, sink, from) {
    let topic = this.#topics.get(text);
    const isNew = !topic;
    if (isNew) {
      topic = new Topic(text);
      this.#topics.set(text, topic);
    }
    topic.sinks.add(sink);
    if (topic.view?.records) sink.event(text, topic.view.snapshot());
    if (from && !topic.view) {
      const isThere = this.position?.seq === from.seq;
      if (isThere && isNew && !this.#isOpen) {
        topic.resumes = true;
      } else if (!isThere || isNew) {
        // The two are not at one position: something may have been missed between them.
        topic.ready.promise.then(() => sink.reset({ seq: this.position?.seq, reason: "auth" }, text), () => {});
      }
    }
    if (isNew && this.#isOpen) this.#subscribe(topic);
    this.#open();
    return topic.ready.promise;
  }

  async remove(text, sink) {
    const { ready, ended } = this.release(text, sink);
    ready?.reject(new HeadwaterError("The subscription was ended."));
    await ended;
    if (this.#topics.size === 0) this.#disconnect();
  }

  // Takes a sink off. If it was the topic's last one that ends, and the answer says what its subscribers still wait for.
  release(text, sink) {
    const topic = this.#topics.get(text);
    if (!topic?.sinks.delete(sink) || topic.sinks.size > 0) return {};
    this.#topics.delete(text);
    // If the connection ends first, so does the subscription.
    const ended = this.#isOpen ? this.#transport.unsubscribe([text]).catch(() => {}) : undefined;
    return { ready: topic.ready, ended };
  }

  async setToken(token) {
    this.#token = token;
    if (!this.#isOpen) return;
    if (this.#transport.auth) await this.#authenticate();
    else this.#transport.end();
  }

  // The network may be back, or somebody looks at the page.
  hurry() {
    if (this.#isOpen) this.#transport.probe?.();
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#open();
  }

  close() {
    this.#closed = true;
    for (const { ready } of this.#topics.values()) ready.reject(new HeadwaterError("The client is closed."));
    this.#topics.clear();
    this.#disconnect();
  }

  #disconnect() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isOpen = false;
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.end();
    this.position = this.#floor = undefined;
  }

  async #open() {
    if (this.#transport || this.#timer || this.#preparing || this.#closed || this.#topics.size === 0) return;
    if (this.#getToken) {
      this.#preparing = true;
      try {
        this.#token = (await this.#getToken()) || "";
      } catch (error) {
        call(() => {
          throw error;
        });
        return this.#retry();
      } finally {
        this.#preparing = false;
      }
      if (this.#closed || this.#topics.size === 0) return;
    }
    const Kind = this.#kind ?? this.#next();
    try {
      this.#transport = new Kind(this.#url, this, this.#token);
    } catch {
      this.lost();
    }
  }

  // Twice a socket; then an event stream, in case something on the way lets no sockets through; and so on.
  #next() {
    if (!globalThis.EventSource) return Socket;
    return globalThis.WebSocket && this.#failures % 3 < 2 ? Socket : EventStream;
  }

  #retry() {
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempts) * (0.5 + Math.random());
    this.#attempts += 1;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#open();
    }, delay);
  }

  // --- what a transport says ---

  lost(transport) {
    if (transport !== this.#transport) return;
    this.#transport = undefined;
    this.#isOpen = false;
    if (!this.#kind) this.#failures += 1;
    if (!this.#closed && this.#topics.size > 0) this.#retry();
  }

  opened(transport, seq) {
    if (transport !== this.#transport) return;
    this.#isOpen = true;
    this.#kind ??= transport.constructor;
    this.#attempts = 0;
    // The order of what follows is the order in which the server does it.
    if (transport.auth && this.#token) this.#authenticate();
    const all = [...this.#topics.values()];
    all.forEach((topic) => topic.mark());
    // Live queries begin with a snapshot each time.
    const since = this.#floor ?? this.position;
    const resumed = all.filter((topic) => since && topic.resumes && !topic.view);
    if (resumed.length > 0) this.#resume(transport, resumed, since);
    else this.position = parsePosition(seq);
    all.filter((topic) => !resumed.includes(topic)).forEach((topic) => this.#subscribe(topic));
  }

  event(text, seq, event, content) {
    const topic = this.#topics.get(text);
    if (topic?.view) {
      topic.view.apply(event);
    } else if (seq) {
      const at = parsePosition(seq);
      this.moved(seq);
      // Messages that are about no record are not numbered, and never told again.
      if (topic && event.record && !topic.take(at, content, this.#topics.size === 1)) return;
    }
    for (const sink of topic?.sinks ?? []) sink.event(text, { ...event, seq });
  }

  moved(seq) {
    const at = seq && parsePosition(seq);
    if (at && isLater(at, this.position)) this.position = at;
  }

  reset(seq, reason) {
    this.position = parsePosition(seq);
    this.#floor = undefined;
    const sinks = new Set();
    for (const topic of this.#topics.values()) {
      topic.forget();
      topic.sinks.forEach((sink) => sinks.add(sink));
      if (topic.view && topic.isHeld) {
        this.#transport.unsubscribe([topic.text]).catch(() => {});
        this.#subscribe(topic);
      }
    }
    sinks.forEach((sink) => sink.reset({ seq, reason }));
  }

  // --- what is asked of it ---

  // A token that is not good any more makes a guest, as with any request.
  async #authenticate() {
    const [transport, token] = [this.#transport, this.#token];
    const refused = await transport.auth(token || null).then(() => false, (error) => error !== LOST);
    if (refused && token && token === this.#token) await transport.auth(null).catch(() => {});
  }

  #subscribe(topic) {
    this.#transport.subscribe([topic.text]).then((seq) => {
      topic.resumes = topic.isHeld = true;
      // The server does this after all replays, and says it after all events up to here.
      this.moved(seq);
      topic.ready.resolve();
    }, (error) => this.#refused(topic, error));
  }

  #refused(topic, error) {
    if (error === LOST || this.#topics.get(topic.text) !== topic) return;
    this.#topics.delete(topic.text);
    const info = { reason: "refused", status: error.status, message: error.message };
    if (topic.resumes) topic.sinks.forEach((sink) => sink.reset(info, topic.text));
    topic.ready.reject(error);
    if (this.#topics.size === 0) this.#disconnect();
  }

  // Several requests are replayed one after the other, each from the same position: until the last one is over, the next
  // connection would have to begin there again.
  async #resume(transport, topics, since) {
    const requests = pieces(topics, transport.bytes);
    if (requests.length > 1) this.#floor = since;
    const subscribe = (topics) => transport.subscribe(topics.map(({ text }) => text), since.seq);
    const one = (topic) => subscribe([topic]).then(() => topic.ready.resolve(), (error) => this.#refused(topic, error));
    const request = (topics) =>
      subscribe(topics).then(() => topics.forEach(({ ready }) => ready.resolve()), (error) => {
        if (error === LOST) return;
        // Somebody has to say which one it is.
        this.#floor = since;
        return Promise.all(topics.map(one));
      });
    await Promise.all(requests.map(request));
    if (transport !== this.#transport || !this.#floor) return;
    const seq = await transport.subscribe([]).catch(() => LOST);
    if (seq === LOST || transport !== this.#transport) return;
    this.#floor = undefined;
    this.moved(seq);
  }
}

function pieces(topics, bytes) {
  const all = [];
  let room = 0;
  for (const topic of topics) {
    // Six bytes for a character are the most that JSON takes.
    const size = topic.text.length * 6 + 3;
    if (size > room) {
      all.push([]);
      room = bytes;
    }
    all.at(-1).push(topic);
    room -= size;
  }
  return all;
}

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  // Whoever waits is told; it may be nobody.
  parts.promise.catch(() => {});
  return parts;
}

// --- transports ---

// How the messages of topics begin. What follows is the message's own, which may have members of the same names.
const EVENT = /^{"type":"event","topic":("(?:[^"\\]|\\.)*"),"seq":"([^"]*)",?/;

class Socket {
  bytes = MESSAGE_BYTES;
  #owner;
  #socket;
  #timer;
  #requests = new Map();
  #last = 0;
  #ended = false;

  constructor(url, owner) {
    this.#owner = owner;
    this.#socket = new WebSocket(url.replace(/^http/, "ws"));
    this.#socket.onmessage = ({ data }) => this.#message(data);
    this.#socket.onclose = this.#socket.onerror = () => this.end();
    this.#timer = setTimeout(() => this.end(), OPEN_TIMEOUT);
  }

  subscribe(topics, since) {
    return this.#request({ type: "subscribe", topics, since });
  }

  unsubscribe(topics) {
    return this.#request({ type: "unsubscribe", topics });
  }

  auth(token) {
    return this.#request({ type: "auth", token });
  }

  // A connection may be dead without anybody having said so: after a sleep, or in another network.
  probe() {
    if (this.#timer) return;
    this.#timer = setTimeout(() => this.end(), OPEN_TIMEOUT);
    this.subscribe([]).catch(() => {});
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket.onmessage = this.#socket.onclose = this.#socket.onerror = null;
    this.#socket.close();
    for (const { reject } of this.#requests.values()) reject(LOST);
    this.#owner.lost(this);
  }

  #request(message) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, ...message }));
    });
  }

  #message(text) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const event = EVENT.exec(text);
    if (event) {
      const content = `{${text.slice(event[0].length)}`;
      return this.#owner.event(JSON.parse(event[1]), event[2], JSON.parse(content), content);
    }
    const { type, id, seq, ...rest } = JSON.parse(text);
    if (type === "connect") return this.#owner.opened(this, seq);
    if (type === "position") return this.#owner.moved(seq);
    if (type === "reset") return this.#owner.reset(seq, rest.reason);
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    if (type === "ok") request?.resolve(seq);
    else request?.reject(new HeadwaterError(rest.message, rest.status, rest.data));
  }
}

// An event stream says nothing of the position from which a topic counts: after an interruption, a topic that had no event
// yet may be told of a little that was before it was subscribed.
class EventStream {
  bytes = Infinity;
  #owner;
  #url;
  #token;
  #source;
  #timer;
  #client;
  #texts = new Set();
  #queue = Promise.resolve();
  #ended = false;

  constructor(url, owner, token) {
    this.#owner = owner;
    this.#url = url;
    this.#token = token;
    this.#source = new EventSource(url);
    // It would come back by itself, but without its topics.
    this.#source.onerror = () => this.end();
    this.#source.addEventListener("PB_CONNECT", ({ lastEventId, data }) => {
      clearTimeout(this.#timer);
      this.#client = lastEventId;
      owner.opened(this, JSON.parse(data).seq);
    });
    this.#source.addEventListener("HW_RESET", ({ lastEventId, data }) => {
      owner.reset(lastEventId, JSON.parse(data).reason);
    });
    this.#timer = setTimeout(() => this.end(), OPEN_TIMEOUT);
  }

  subscribe(topics, since) {
    topics.forEach((topic) => this.#source.addEventListener(topic, this.#event));
    return this.#set((texts) => topics.forEach((topic) => texts.add(topic)), since);
  }

  unsubscribe(topics) {
    return this.#set((texts) => topics.forEach((topic) => texts.delete(topic)));
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#source.close();
    this.#owner.lost(this);
  }

  #event = ({ type, lastEventId, data }) => {
    if (!this.#ended) this.#owner.event(type, lastEventId, JSON.parse(data), data);
  };

  // One after the other: each request names the whole set.
  #set(change, since) {
    const set = this.#queue.then(async () => {
      const texts = new Set(this.#texts);
      change(texts);
      await this.#post({ clientId: this.#client, subscriptions: [...texts], since });
      this.#texts = texts;
    });
    this.#queue = set.catch(() => {});
    return set;
  }

  async #post(body) {
    const headers = { "Content-Type": "application/json" };
    if (this.#token) headers.Authorization = this.#token;
    const response = await fetch(this.#url, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null);
    if (response?.ok && !this.#ended) return;
    // The server does not know this stream, or cannot be reached.
    if (!response || response.status === 404) this.end();
    if (this.#ended) throw LOST;
    const { message, data } = await response.json().catch(() => ({}));
    throw new HeadwaterError(message ?? response.statusText, response.status, data);
  }
}

// --- one socket for all tabs ---

function canShare(url) {
  const { location, SharedWorker, navigator } = globalThis;
  const isOwn = (url) => new URL(url).origin === location.origin;
  // Locks tell the worker when a tab is gone; nothing else does, if it crashed.
  return Boolean(location && SharedWorker && navigator?.locks && isOwn(url) && isOwn(import.meta.url));
}

// A session in the worker.
async function remote(url, token, sink) {
  const worker = new SharedWorker(import.meta.url, { type: "module", name: WORKER });
  const { port } = worker;
  const failed = new Promise((_, reject) => {
    worker.onerror = reject;
    setTimeout(reject, OPEN_TIMEOUT / 2);
  });
  const calls = new Map();
  let last = 0;
  const ask = (name, ...args) =>
    new Promise((resolve, reject) => {
      calls.set(++last, { resolve, reject });
      port.postMessage([last, name, args]);
    });
  const heard = {
    ...sink,
    done: (id) => calls.get(id).resolve(),
    failed: (id, { message, status, data }) => calls.get(id).reject(new HeadwaterError(message, status, data)),
  };
  port.onmessage = ({ data: [name, ...args] }) => {
    heard[name](...args);
    if (name === "done" || name === "failed") calls.delete(args[0]);
  };
  // It is held as long as the tab is there.
  const lock = `headwater-${crypto.randomUUID()}`;
  let release = () => {};
  const start = async () => {
    await new Promise((held, reject) => {
      const hold = () => new Promise((resolve) => held((release = resolve)));
      navigator.locks.request(lock, hold).catch(reject);
    });
    await ask("start", url, token, lock);
  };
  try {
    await Promise.race([start(), failed]);
  } catch (error) {
    release();
    port.close();
    throw error;
  }
  return {
    add: (text) => ask("add", text),
    remove: (text) => ask("remove", text),
    setToken: (token) => ask("setToken", token),
    hurry: () => ask("hurry"),
    close: () => ask("close").then(() => release()),
  };
}

// The worker's side of a tab.
function serve(port, pool) {
  const tell = (...message) => port.postMessage(message);
  const sink = { event: (...args) => tell("event", ...args), reset: (...args) => tell("reset", ...args) };
  let session;
  const end = async () => {
    await session?.close();
    session = undefined;
  };
  const start = (url, token, lock) => {
    session = new Session(pool, url, token, sink);
    navigator.locks.request(lock, end);
  };
  port.onmessage = async ({ data: [id, name, args] }) => {
    try {
      await (name === "start" ? start(...args) : name === "close" ? end() : session[name](...args));
      tell("done", id);
    } catch ({ message, status, data }) {
      tell("failed", id, { message, status, data });
    }
  };
}

if (globalThis.SharedWorkerGlobalScope && globalThis instanceof SharedWorkerGlobalScope) {
  const pool = new Map();
  globalThis.onconnect = ({ ports: [port] }) => serve(port, pool);
}
