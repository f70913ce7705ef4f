import { ServerConnection } from '@jupyterlab/services';

import { StateSocket } from '../socket';
import type { Snapshot } from '../wire';
import { snapshot } from './parts';

class FakeWebSocket {
  static all: FakeWebSocket[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: string[] = [];
  closed = false;

  constructor(readonly url: string) {
    FakeWebSocket.all.push(this);
  }

  send(data: string): void {
    this.sent.push(data);
  }

  close(): void {
    this.closed = true;
  }

  static get last(): FakeWebSocket {
    return FakeWebSocket.all[FakeWebSocket.all.length - 1];
  }
}

function create(random = 1): StateSocket {
  return new StateSocket({
    serverSettings: ServerConnection.makeSettings({
      wsUrl: 'ws://host/user/x%20y/',
      token: 'a b',
      appendToken: true,
      WebSocket: FakeWebSocket as unknown as typeof WebSocket
    }),
    random: () => random
  });
}

describe('StateSocket', () => {
  beforeEach(() => {
    jest.useFakeTimers();
    FakeWebSocket.all = [];
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  it('connects below the base URL with the token', () => {
    const socket = create();
    socket.open();
    expect(FakeWebSocket.last.url).toBe(
      'ws://host/user/x%20y/educloud/api/v1/socket?token=a%20b'
    );
    socket.open();
    expect(FakeWebSocket.all).toHaveLength(1);
    socket.dispose();
  });

  it('hands on snapshots and nothing else', () => {
    const socket = create();
    const got: Snapshot[] = [];
    socket.received.connect((_, one) => void got.push(one));
    socket.open();
    const ws = FakeWebSocket.last;
    ws.onopen?.();
    expect(socket.state).toBe('open');
    ws.onmessage?.({ data: 'no JSON' });
    ws.onmessage?.({ data: '{"type":"pong","version":3}' });
    ws.onmessage?.({
      data: JSON.stringify({ type: 'snapshot', snapshot: snapshot(4) })
    });
    expect(got.map(one => one.version)).toEqual([4]);
    socket.dispose();
  });

  it('reconnects later and later, then gives up', () => {
    const socket = create();
    socket.open();
    const delays: number[] = [];
    while (socket.state !== 'closed') {
      const before = FakeWebSocket.all.length;
      FakeWebSocket.last.onclose?.();
      let waited = 0;
      while (FakeWebSocket.all.length === before && waited < 60_000) {
        jest.advanceTimersByTime(250);
        waited += 250;
      }
      delays.push(waited);
    }
    expect(delays.slice(0, 7)).toEqual([
      500, 1000, 2000, 4000, 8000, 16_000, 30_000
    ]);
    expect(FakeWebSocket.all).toHaveLength(8);
    socket.open();
    expect(FakeWebSocket.all).toHaveLength(9);
    socket.dispose();
  });

  it('spreads the pages', () => {
    const socket = create(0);
    socket.open();
    FakeWebSocket.last.onclose?.();
    jest.advanceTimersByTime(249);
    expect(FakeWebSocket.all).toHaveLength(1);
    jest.advanceTimersByTime(1);
    expect(FakeWebSocket.all).toHaveLength(2);
    socket.dispose();
  });

  it('notices a server that went silent', () => {
    const socket = create();
    socket.open();
    const ws = FakeWebSocket.last;
    ws.onopen?.();
    jest.advanceTimersByTime(30_000);
    expect(ws.sent).toEqual(['{"type":"ping"}']);
    ws.onmessage?.({ data: '{"type":"pong","version":1}' });
    jest.advanceTimersByTime(30_000);
    expect(ws.closed).toBe(false);
    jest.advanceTimersByTime(10_000);
    expect(ws.closed).toBe(true);
    expect(socket.state).toBe('opening');
    socket.dispose();
  });

  it('can be disposed twice and stays closed', () => {
    const socket = create();
    socket.open();
    const ws = FakeWebSocket.last;
    socket.dispose();
    socket.dispose();
    socket.open();
    jest.advanceTimersByTime(60_000);
    expect(ws.closed).toBe(true);
    expect(FakeWebSocket.all).toHaveLength(1);
  });
});
