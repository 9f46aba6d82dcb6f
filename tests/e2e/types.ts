// What the types of headwater.js let through, and what not. It is only compiled.
import PocketBase from "pocketbase";

import { Headwater, HeadwaterError, type Reset, type Unsubscribe } from "../../static/headwater.js";

interface Post {
  id: string;
  title: string;
}

export async function uses(): Promise<void> {
  const hw = new Headwater(new PocketBase("/"), { shared: false });
  new Headwater();
  new Headwater("https://example.com", { getToken: async () => null });
  new Headwater(new URL("https://example.com"), { token: "t" });

  const stop: Unsubscribe = await hw.subscribe("posts/*", ({ action, record, seq }) => {
    const words: string[] = [action, record.id, seq];
    // @ts-expect-error There is no such action.
    if (action === "rename") words.pop();
  });
  await stop();
  await hw.subscribe<{ text: string }>("chat", ({ text }) => text.length, { filter: "a = 1", onReset: told });
  await hw.live<Post>("posts", { sort: "-created", perPage: 20 }, (records, event) => {
    const titles: string[] = records.map(({ title }) => title);
    // @ts-expect-error The list is the client's.
    records.push();
    if (event.action === "leave") titles.push(event.id);
    if (event.action === "snapshot") titles.push(...event.items.map(({ title }) => title));
    if (event.action === "enter") titles.push(event.record.title);
  });
  await hw.live("posts", null, (records) => records[0]?.anything);
  // @ts-expect-error Without a callback it makes no sense.
  await hw.subscribe("posts/*");
  // @ts-expect-error No such option.
  await hw.subscribe("posts/*", () => {}, { filters: "a = 1" });

  const end: () => void = hw.onReset(told);
  end();
  await hw.setToken(null);
  await hw.close();
}

function told(reset: Reset): string {
  return reset.reason === "refused" ? String(reset.status) : (reset.seq ?? "");
}

export function status(error: unknown): number {
  return error instanceof HeadwaterError ? error.status : 0;
}
