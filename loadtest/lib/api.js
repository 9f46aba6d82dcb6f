// Requests to the API, by a caller.

import http from "k6/http";
import { url } from "./config.js";

export class Api {
  // No token: a guest.
  constructor(token = "") {
    this.token = token;
  }

  // `op` is the name under which k6 counts the request: otherwise every record would be a metric of its own. A status
  // that is neither 2xx nor `expected` counts as failed.
  request(method, path, body, op = "other", expected = []) {
    const headers = { "Content-Type": "application/json" };
    if (this.token) headers.Authorization = this.token;
    const text = body === undefined ? null : JSON.stringify(body);
    return http.request(method, url + path, text, {
      headers,
      timeout: "60s",
      tags: { op, name: op },
      responseCallback: http.expectedStatuses({ min: 200, max: 299 }, ...expected),
    });
  }

  // The same; throws unless it succeeds.
  demand(method, path, body, op) {
    const response = this.request(method, path, body, op);
    if (response.status < 200 || response.status > 299) {
      throw new Error(`${method} ${path}: ${response.error || `${response.status} ${response.body}`}`);
    }
    return response.status === 204 ? null : response.json();
  }
}

export const records = (collection) => `/api/collections/${collection}/records`;
