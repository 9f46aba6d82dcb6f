// A server process for the end-to-end tests: the program that HEADWATER_BINARY names, on a temporary directory.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const program = process.env.HEADWATER_BINARY;
if (!program) throw new Error("HEADWATER_BINARY names the server to test");

// The same tests hold on PocketBase, but for what it does not have.
export const isReference = process.env.HEADWATER_E2E_REFERENCE === "1";

export const superuser = { email: "a@example.com", password: "1234567890" };

export class Server {
  static async start() {
    const server = new Server();
    server.root = await mkdtemp(join(tmpdir(), "headwater-e2e-"));
    server.data = join(server.root, "pb_data");
    const { email, password } = superuser;
    await promisify(execFile)(program, ["superuser", "upsert", email, password, "--dir", server.data]);
    // The port stays the same over restarts, as it does for the clients of a real server.
    server.port = await freePort();
    await server.serve();
    return server;
  }

  async serve() {
    const flags = ["serve", "--dir", this.data, "--http", `127.0.0.1:${this.port}`];
    this.process = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: this.process.stdout })) {
      if (line.includes("Server started at")) break;
    }
    if (this.process.exitCode !== null) throw new Error(`the server ended with ${this.process.exitCode}`);
    this.process.stdout.resume();
  }

  // Ends it like `kill -9`, or with another signal.
  async stop(signal = "SIGKILL") {
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    await ended;
  }

  // Is killed and comes back. Meanwhile it serves where its clients do not find it, as long as `change` takes.
  async away(change) {
    const { port } = this;
    await this.stop();
    try {
      this.port = await freePort();
      await this.serve();
      await change();
      await this.stop();
    } finally {
      this.port = port;
    }
    await this.serve();
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async request(method, path, body, token) {
    const headers = { "Content-Type": "application/json", ...(token && { Authorization: token }) };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  // A new record, by anybody or the one whose token it is.
  write(collection, record, token) {
    return this.request("POST", `/api/collections/${collection}/records`, record, token);
  }

  async remove() {
    await this.stop();
    await rm(this.root, { recursive: true });
  }
}

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

// A queue between callbacks and `await`: what was put in comes out in order.
export class Queue {
  #items = [];
  #waiting = [];

  put = (item) => {
    const next = this.#waiting.shift();
    if (next) next(item);
    else this.#items.push(item);
  };

  async take(count) {
    const items = [];
    while (items.length < count) items.push(await this.next());
    return items;
  }

  next() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
