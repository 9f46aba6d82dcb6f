// Types of headwater.js.

/** What is used of an instance of the official SDK. */
export interface PocketBaseLike {
  baseURL?: string;
  /** Its name in older versions. */
  baseUrl?: string;
  authStore: {
    readonly token: string;
    onChange(callback: (token: string) => void): () => void;
  };
}

export interface Options {
  /** Who asks; a guest without. Not for a PocketBase instance, whose token is followed by itself. */
  token?: string;
  /** Asked for a token before each connection, instead of `token`. Such a client has a socket of its own. */
  getToken?: () => string | null | undefined | Promise<string | null | undefined>;
  /**
   * False: a socket of its own, even where tabs could share one. They can on pages of the server's own origin, in secure
   * contexts (https or localhost) of browsers with SharedWorker.
   */
  shared?: boolean;
}

/** Why something may have been missed. */
export interface Reset {
  /**
   * `expired`, `epoch`, `unknown`: the server cannot tell what came after the last position. `auth`: topics went over to
   * the socket of another tab. `refused`: the server does not take the topic any more.
   */
  reason: "expired" | "epoch" | "unknown" | "auth" | "refused";
  /** The position from which it goes on. */
  seq?: string;
  status?: number;
  message?: string;
}

export interface QueryOptions {
  filter?: string;
  expand?: string;
  fields?: string;
  /** More of what rules see as `@request.query`. */
  query?: Record<string, unknown>;
  /** What rules see as `@request.headers`. */
  headers?: Record<string, unknown>;
  onReset?: (reset: Reset) => void;
}

export interface LiveOptions extends QueryOptions {
  /** Plain fields, as `-created,title`: the list is kept in this order. Otherwise new records come last. */
  sort?: string;
  /** With `sort` 200 at most. */
  perPage?: number;
}

export interface RecordModel {
  id: string;
  [field: string]: any;
}

/** A change of a record. Topics that extensions send to may carry anything. */
export interface ChangeEvent<R = RecordModel> {
  action: "create" | "update" | "delete";
  record: R;
  /** The position, `EPOCH:SEQ`. */
  seq: string;
}

export type LiveEvent<R = RecordModel> =
  | { action: "snapshot"; items: R[]; page: number; perPage: number; totalItems: number; totalPages: number; seq?: string }
  | { action: "enter" | "change"; record: R; seq?: string }
  | { action: "leave"; id: string; seq?: string }
  /** The query cannot be read; nothing follows. */
  | { action: "error"; message: string; seq?: string };

/** Ends a subscription; settles when the server has acknowledged. */
export type Unsubscribe = () => Promise<void>;

/** What the server refused. */
export class HeadwaterError extends Error {
  /** The HTTP status; 0 where none of it is the server's. */
  readonly status: number;
  readonly data: Record<string, any>;
  constructor(message: string, status?: number, data?: Record<string, any>);
}

export class Headwater {
  /** `server`: an instance of the PocketBase SDK, or the server's address; the page's own without. */
  constructor(server?: PocketBaseLike | string | URL, options?: Options);
  /** Resolves when the server has acknowledged, rejects with a {@link HeadwaterError} if it refuses. */
  subscribe<E = ChangeEvent>(topic: string, callback: (event: E) => void, options?: QueryOptions): Promise<Unsubscribe>;
  /** A query that keeps its result up to date. */
  live<R extends { id: string } = RecordModel>(
    collection: string,
    options: LiveOptions | null | undefined,
    callback: (records: readonly R[], event: LiveEvent<R>) => void,
  ): Promise<Unsubscribe>;
  /** Calls back when the page has to read its data anew; returns a function that ends that. */
  onReset(callback: (reset: Reset) => void): () => void;
  /** Another caller for the same topics. */
  setToken(token: string | null | undefined): Promise<void>;
  close(): Promise<void>;
}
