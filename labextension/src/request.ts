/**
 * One function for all requests to our part of the Jupyter server, and the errors they end in.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { ErrorReply, Problem } from './wire';

/** The prefix of all our routes below the base URL. */
export const API_PREFIX = 'educloud/api/v1';

/** A request that did not succeed. Its problem is fit to be shown. */
export class RequestError extends Error {
  /**
   * @param problem - What happened, what was kept, what to do.
   * @param status - The HTTP status; 0 when there was no answer.
   * @param requestId - By which the server's log finds it; may be empty.
   */
  constructor(
    readonly problem: Problem,
    readonly status: number,
    readonly requestId = ''
  ) {
    super(problem.what);
    this.name = 'RequestError';
  }
}

/**
 * Send one request and read its JSON answer.
 *
 * @param path - Below our prefix, each part encoded by the caller (see `pathOf`).
 * @param settings - Where the server is.
 * @param init - As for `fetch`.
 * @returns The parsed answer; null when the answer is empty.
 * @throws RequestError for every failure, of the network too.
 */
export async function request<T>(
  path: string,
  settings: ServerConnection.ISettings,
  init: RequestInit = {}
): Promise<T> {
  return requestUrl<T>(
    URLExt.join(settings.baseUrl, API_PREFIX, path),
    settings,
    init
  );
}

/** As `request`, for a whole URL below the server's base URL. */
export async function requestUrl<T>(
  url: string,
  settings: ServerConnection.ISettings,
  init: RequestInit = {}
): Promise<T> {
  let response: Response;
  // Without this the browser says text/plain, which a page of another site may send too; the server insists.
  const headers = { ...init.headers, 'Content-Type': 'application/json' };
  try {
    response = await ServerConnection.makeRequest(
      url,
      init.body ? { ...init, headers } : init,
      settings
    );
  } catch (error) {
    throw new RequestError(
      {
        code: 'unreachable',
        what: error instanceof Error ? error.message : String(error),
        kept: '',
        next_step: '',
        at: null
      },
      0
    );
  }
  const text = await response.text();
  let data: unknown = null;
  if (text !== '') {
    try {
      data = JSON.parse(text);
    } catch {
      data = undefined; // A page of HTML, from the server itself or from a proxy before it.
    }
  }
  if (!response.ok) {
    throw fromReply(response, data);
  }
  if (data === undefined) {
    throw new RequestError(
      Private.problem('not-json', `${response.status} ${response.statusText}`),
      response.status
    );
  }
  return data as T;
}

/** Join the parts of a path, each encoded. */
export function pathOf(...parts: string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

function fromReply(response: Response, data: unknown): RequestError {
  const reply = data as Partial<ErrorReply> | null | undefined;
  if (reply && typeof reply === 'object' && reply.error?.what) {
    return new RequestError(
      reply.error,
      response.status,
      reply.request_id ?? ''
    );
  }
  // Not ours: Jupyter's own {"message": ...}, or a proxy's page.
  const message = (data as { message?: unknown } | null | undefined)?.message;
  return new RequestError(
    Private.problem(
      `http-${response.status}`,
      typeof message === 'string' && message !== ''
        ? message
        : `${response.status} ${response.statusText}`.trim()
    ),
    response.status
  );
}

namespace Private {
  export function problem(code: string, what: string): Problem {
    return { code, what, kept: '', next_step: '', at: null };
  }
}
