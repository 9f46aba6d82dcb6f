// Clients on WebSockets, by k6's own module: a number of them in one VU.
//
//   const crowd = await Crowd.open(data, 200);   // connects, subscribes, and notes where every writer stands
//   await after(60);
//   await crowd.leave();                         // waits for what is under way, counts what is lost, closes

import { WebSocket } from "k6/websockets";
import { clearTimeout, setTimeout } from "k6/timers";
import { settle, url } from "./config.js";
import { tokenOf } from "./fixture.js";
import { Ledger } from "./ledger.js";
import * as metrics from "./metrics.js";
import { counters } from "./writer.js";

export const TOPIC = "load_events/*";

// How long a client may take from connecting to the answer that it is subscribed.
const OPEN_SECONDS = 60;

// Clients of one crowd that are being opened at a time.
const PARALLEL = 16;

export const after = (seconds) => new Promise((resolve) => setTimeout(resolve, Math.max(1, seconds * 1000)));

// A server that is gone would be reported by every client.
let reported = false;

// Events of this VU that k6 has not been told of yet: telling it costs as much as reading one.
let untold = 0;

function tell() {
  metrics.events.add(untold);
  untold = 0;
}

export class Crowd {
  // One of `timed` clients takes times: each costs k6 time, and memory to the end of the test.
  static async open(data, count, { timed = 1 } = {}) {
    const crowd = new Crowd();
    crowd.data = data;
    crowd.clients = [];
    let next = 0;
    const opener = async () => {
      while (next < count) {
        const client = new Client(data, next, next % timed === 0);
        next++;
        if (await client.opened) crowd.clients.push(client);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, count) }, opener));
    crowd.before = counters(data);
    return crowd;
  }

  async leave() {
    const upTo = counters(this.data);
    const deadline = Date.now() + settle * 1000;
    const missing = () => this.clients.reduce((sum, client) => sum + client.ledger.lost(this.before, upTo), 0);
    let lost;
    while ((lost = missing()) > 0 && Date.now() < deadline) await after(0.1);
    metrics.lost.add(lost);
    tell();
    await Promise.all(this.clients.map((client) => client.close()));
  }
}

// A client that has asked for all changes of load_events.
class Client {
  constructor(data, index, timed) {
    this.ledger = new Ledger();
    this.run = data.run;
    this.timed = timed;
    this.token = tokenOf(data, index);
    this.leaving = false;
    this.failed = false;
    // Whether it is subscribed, as soon as that is known.
    this.opened = new Promise((resolve) => (this.settled = resolve));
    this.closed = new Promise((resolve) => (this.gone = resolve));
    this.socket = new WebSocket(url.replace(/^http/, "ws") + "/api/realtime", null, { tags: { name: "realtime" } });
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onerror = ({ error }) => this.fail(error);
    this.socket.onclose = ({ code, reason }) => {
      if (!this.leaving) this.fail(`closed by the server: ${code} ${reason}`);
      this.gone();
    };
    // Not after the server's first message: that comes with its handshake, and k6 did not show one in some 80,000 of these.
    this.socket.onopen = () =>
      this.socket.send(JSON.stringify({ id: 1, subscriptions: [TOPIC], token: this.token }));
    this.timer = setTimeout(() => this.fail(`no answer within ${OPEN_SECONDS} s`), OPEN_SECONDS * 1000);
  }

  receive(message) {
    switch (message.type) {
      case "event":
        if (message.record.run === this.run) this.enter(message);
        break;
      case "ok":
        clearTimeout(this.timer);
        metrics.connections.add(1);
        this.settled(true);
        break;
      case "error":
        this.fail(`${message.status} ${message.message}`);
        break;
    }
  }

  enter({ record, seq }) {
    if (++untold === 100) tell();
    if (this.timed) metrics.latency.add(Date.now() - record.sent);
    const verdict = this.ledger.see(record.writer, record.n, seq);
    if (verdict === "repeated") metrics.repeated.add(1);
    if (verdict === "reordered") metrics.reordered.add(1);
  }

  fail(why) {
    if (this.failed) return;
    this.failed = true;
    clearTimeout(this.timer);
    metrics.errors.add(1);
    if (!reported) console.warn(`a client: ${why}`);
    reported = true;
    this.settled(false);
    this.close();
  }

  // Closed sockets, and those that do not want to close, must not hold up the test.
  close() {
    this.leaving = true;
    this.socket.close();
    const timer = setTimeout(this.gone, 2000);
    return this.closed.then(() => clearTimeout(timer));
  }
}
