// The account of one client: every writer counts its changes 1, 2, 3 …, so a client can tell by itself what it missed.
// The same as k6/realtime/ledger.go.

export class Ledger {
  constructor() {
    this.writers = {};
    this.epoch = "";
    this.sequence = 0;
  }

  // Enters an event, and says whether it is "inOrder", "repeated" or "reordered". `position` is where the server says that
  // the client is, EPOCH:SEQ; it may only grow, over all writers.
  see(writer, n, position = "") {
    let verdict = this.count(writer, n);
    const colon = position.indexOf(":");
    const sequence = colon > 0 ? Number(position.slice(colon + 1)) : NaN;
    if (!Number.isNaN(sequence)) {
      const epoch = position.slice(0, colon);
      if (epoch === this.epoch && sequence < this.sequence && verdict === "inOrder") verdict = "reordered";
      if (epoch !== this.epoch || sequence > this.sequence) [this.epoch, this.sequence] = [epoch, sequence];
    }
    return verdict;
  }

  count(writer, n) {
    const tally = this.writers[writer];
    if (!tally) {
      this.writers[writer] = { first: n, last: n, missing: new Set() };
      return "inOrder";
    }
    if (n > tally.last) {
      for (let k = tally.last + 1; k < n; k++) tally.missing.add(k);
      tally.last = n;
      return "inOrder";
    }
    if (n < tally.first) {
      for (let k = n + 1; k < tally.first; k++) tally.missing.add(k);
      tally.first = n;
      return "reordered";
    }
    return tally.missing.delete(n) ? "reordered" : "repeated";
  }

  // How many changes have not come of those that every writer made above its number in `after`, up to its number in
  // `upTo`. Both are what the server itself says: read once when the subscription stands, and once at the end.
  lost(after, upTo) {
    let lost = 0;
    for (const writer in upTo) {
      const [start, end, tally] = [after[writer] ?? 0, upTo[writer], this.writers[writer]];
      if (!tally) {
        lost += Math.max(0, end - start);
        continue;
      }
      lost += Math.max(0, Math.min(tally.first - 1, end) - start) + Math.max(0, end - Math.max(tally.last, start));
      for (const n of tally.missing) if (n > start && n <= end) lost++;
    }
    return lost;
  }
}
