import type { Terminal } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { ACK_BYTES, acknowledge, type Drain } from '../flow';

class FakeSession {
  connectionStatus = 'connected';
  sent: unknown[] = [];
  connectionStatusChanged = new Signal<this, string>(this);
  messageReceived = new Signal<this, unknown>(this);

  send(message: { type: string; content: unknown[] }): void {
    this.sent.push([message.type, ...message.content]);
  }

  output(n_bytes: number): void {
    this.messageReceived.emit({ type: 'stdout', content: ['x', n_bytes] });
  }

  flow(): void {
    this.messageReceived.emit({ type: 'flow', content: [1] });
  }

  become(status: string): void {
    this.connectionStatus = status;
    this.connectionStatusChanged.emit(status);
  }
}

function create() {
  const session = new FakeSession();
  const waiting: (() => void)[] = [];
  const drain: Drain = done => void waiting.push(done);
  const flow = acknowledge(
    session as unknown as Terminal.ITerminalConnection,
    drain
  );
  const parsed = async () => {
    await Promise.resolve();
    waiting.splice(0).forEach(done => done());
  };
  return { session, parsed, flow };
}

describe('acknowledge', () => {
  it('says once for each connection that it acknowledges', () => {
    const { session } = create();
    session.become('connecting');
    session.become('connected');
    expect(session.sent).toEqual([
      ['flow', 1],
      ['flow', 1]
    ]);
  });

  it('acknowledges what is parsed, not what has arrived', async () => {
    const { session, parsed } = create();
    session.flow();
    session.output(ACK_BYTES - 1);
    await parsed();
    expect(session.sent).toHaveLength(1);
    session.output(10);
    await Promise.resolve();
    expect(session.sent).toHaveLength(1);
    await parsed();
    expect(session.sent[1]).toEqual(['ack', ACK_BYTES + 9]);
    session.output(5);
    await parsed();
    expect(session.sent).toHaveLength(2);
  });

  it('does not count what came before the flow', async () => {
    const { session, parsed } = create();
    session.output(2 * ACK_BYTES);
    await parsed();
    expect(session.sent).toHaveLength(1);
  });

  it('acknowledges nothing to another connection', async () => {
    const { session, parsed } = create();
    session.flow();
    session.output(2 * ACK_BYTES);
    await Promise.resolve();
    session.become('connecting');
    session.become('connected');
    session.flow();
    await parsed();
    expect(session.sent).toEqual([
      ['flow', 1],
      ['flow', 1]
    ]);
  });

  it('stops when disposed', async () => {
    const { session, parsed, flow } = create();
    session.flow();
    session.output(2 * ACK_BYTES);
    await Promise.resolve();
    flow.dispose();
    flow.dispose();
    await parsed();
    session.output(2 * ACK_BYTES);
    await parsed();
    expect(session.sent).toEqual([['flow', 1]]);
  });
});
