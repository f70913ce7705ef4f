import { ServerConnection } from '@jupyterlab/services';

import { pathOf, request, RequestError } from '../request';

interface IReply {
  status: number;
  text: string;
}

function settings(reply: IReply | Error, urls: string[] = []) {
  return ServerConnection.makeSettings({
    baseUrl: 'http://host/user/x%20y/',
    token: '',
    Request: class {
      readonly headers = { has: () => true, append() {}, set() {} };
      constructor(readonly url: string) {}
    } as never,
    Headers: Map as never,
    fetch: (async (asked: { url: string }) => {
      urls.push(asked.url);
      if (reply instanceof Error) {
        throw reply;
      }
      return {
        ok: reply.status < 400,
        status: reply.status,
        statusText: 'Some Words',
        text: async () => reply.text
      };
    }) as never
  });
}

async function refused(reply: IReply | Error): Promise<RequestError> {
  try {
    await request('hello', settings(reply));
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    return error as RequestError;
  }
  throw new Error('It was not refused.');
}

describe('request', () => {
  it('stays below the base URL, with names encoded', async () => {
    const urls: string[] = [];
    await request(
      pathOf('leases', 'a/../b?c', 'start'),
      settings({ status: 200, text: '{}' }, urls)
    );
    expect(urls[0].split('?')[0]).toBe(
      'http://host/user/x%20y/educloud/api/v1/leases/a%2F..%2Fb%3Fc/start'
    );
  });

  it('takes the three sentences and the request id', async () => {
    const error = {
      code: 'quota',
      what: 'Two.',
      kept: 'All.',
      next_step: 'No.'
    };
    const got = await refused({
      status: 409,
      text: JSON.stringify({ error, request_id: 'r-7' })
    });
    expect(got.problem).toEqual(error);
    expect([got.status, got.requestId]).toEqual([409, 'r-7']);
  });

  it.each([
    [404, '<html>Not here</html>', 'http-404', '404 Some Words'],
    [403, '{"message": "Forbidden"}', 'http-403', 'Forbidden'],
    [502, '', 'http-502', '502 Some Words'],
    [500, '{"error": "text"}', 'http-500', '500 Some Words']
  ])('reads a %i that is not ours', async (status, text, code, what) => {
    const got = await refused({ status, text });
    expect(got.problem).toMatchObject({ code, what });
    expect(got.status).toBe(status);
  });

  it('does not take a page of HTML for an answer', async () => {
    expect((await refused({ status: 200, text: '<html>' })).problem.code).toBe(
      'not-json'
    );
  });

  it('knows that nobody answered', async () => {
    const got = await refused(new TypeError('Failed to fetch'));
    expect([got.status, got.problem.code]).toEqual([0, 'unreachable']);
  });
});
