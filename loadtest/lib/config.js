// What the environment says. Every script reads its own figures with `number`, `seconds` and `text`.

export const url = text("HEADWATER_URL", "http://127.0.0.1:8090").replace(/\/+$/, "");
export const email = text("HEADWATER_EMAIL", "");
export const password = text("HEADWATER_PASSWORD", "");

// Leaves the collections where they are.
export const keep = text("KEEP", "") === "1";

// Users whose tokens the clients share. Each is a caller of its own to the server, whose rules are asked once per caller.
export const users = number("USERS", 20);

// Characters of text in every event, beside some 250 bytes of other fields.
export const payload = number("PAYLOAD", 100);

// How long an event may be under way before it counts as lost.
export const settle = seconds("SETTLE", "10s");

export function text(name, otherwise) {
  return __ENV[name] || otherwise;
}

export function number(name, otherwise) {
  const value = Number(text(name, otherwise));
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} is no number: ${__ENV[name]}`);
  return value;
}

// A duration in k6's form, such as 1h30m or 45s, in seconds.
export function seconds(name, otherwise) {
  const given = text(name, otherwise);
  const parts = [...given.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([all]) => all).join("") !== given) {
    throw new Error(`${name} is no duration such as 1h30m or 45s: ${given}`);
  }
  const units = { ms: 0.001, s: 1, m: 60, h: 3600 };
  return parts.reduce((sum, [, value, unit]) => sum + Number(value) * units[unit], 0);
}
