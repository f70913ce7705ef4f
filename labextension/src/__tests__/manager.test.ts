import { RequestError } from '../request';
import { labKey } from '../tokens';
import { at, lease, parts, settle, snapshot } from './parts';

function problem(code: string, status: number): RequestError {
  return new RequestError(
    { code, what: `It was ${code}.`, kept: 'All.', next_step: 'Wait.' },
    status
  );
}

describe('CloudModel', () => {
  it('asks hello, then the snapshot, then opens the socket', async () => {
    const { client, socket, model } = parts();
    expect(model.serverState).toBe('connecting');
    await model.refresh();
    expect(client.calls).toEqual(['hello', 'snapshot']);
    expect(socket.opened).toBe(1);
    expect(model.serverState).toBe('ok');
    expect(model.snapshot?.version).toBe(1);
  });

  it.each([
    ['missing', problem('http-404', 404)],
    ['unreachable', problem('unreachable', 0)],
    ['unreachable', problem('http-503', 503)],
    ['problem', problem('cloud-unreachable', 503)],
    ['problem', problem('http-403', 403)]
  ])('becomes %s and stays quiet', async (state, error) => {
    const { client, socket, model } = parts();
    client.fail.hello = error;
    await model.refresh();
    expect(model.serverState).toBe(state);
    expect(socket.opened).toBe(0);
    await model.ready;
  });

  it('recovers when the server half appears', async () => {
    const { client, model } = parts();
    client.fail.hello = problem('http-404', 404);
    await model.refresh();
    await model.refresh();
    expect(model.serverState).toBe('ok');
  });

  it.each([
    [0, 'too-old'],
    [2, 'too-new']
  ])('knows an interface of version %i as %s', async (version, state) => {
    const { client, model } = parts();
    client.helloReply = { api_version: version, package_version: '9.9' };
    await model.refresh();
    expect(model.serverState).toBe(state);
    expect(model.serverVersion).toBe('9.9');
    expect(client.calls).toEqual(['hello']);
  });

  it('says what the server half says about itself', async () => {
    const { client, model } = parts();
    client.helloReply = {
      api_version: 1,
      package_version: '0.1.0',
      problem: { code: 'schema', what: 'The store is newer.' }
    };
    await model.refresh();
    expect(model.serverState).toBe('problem');
    expect(model.serverProblem?.what).toBe('The store is newer.');
  });

  it('takes newer snapshots only', async () => {
    const { socket, model } = parts();
    await model.refresh();
    socket.received.emit(snapshot(5));
    socket.received.emit(snapshot(4, [lease()], 9));
    expect(model.snapshot?.version).toBe(5);
    expect(model.snapshot?.leases).toEqual([]);
  });

  it('takes a lower version that it asked for, when the clock says it is newer', async () => {
    const { client, socket, model } = parts();
    await model.refresh();
    socket.received.emit(snapshot(50));
    client.current = snapshot(2, [], 40);
    await model.refresh();
    expect(model.snapshot?.version).toBe(50);
    client.current = snapshot(2, [], 60);
    await model.refresh();
    expect(model.snapshot?.version).toBe(2);
  });

  it('asks again when the socket is open again', async () => {
    const { client, socket, model } = parts();
    await model.refresh();
    client.calls = [];
    client.current = snapshot(7);
    socket.become('open');
    await settle();
    expect(client.calls).toEqual(['snapshot']);
    expect(model.snapshot?.version).toBe(7);
    expect(model.isLive).toBe(true);
  });

  it('sends one action however often it is asked for', async () => {
    const { client, model } = parts();
    client.current = snapshot(1, [lease()]);
    await model.refresh();
    let open = () => {};
    client.gate = new Promise(resolve => (open = resolve));
    const first = model.ask('k7m2', 'start');
    expect(model.pending('k7m2')).toBe('start');
    expect(await model.ask('k7m2', 'start')).toBe(false);
    open();
    expect(await first).toBe(true);
    expect(model.pending('k7m2')).toBeNull();
    expect(client.calls.filter(call => call.startsWith('start'))).toHaveLength(
      1
    );
  });

  it('keeps a refusal until the lease moves on', async () => {
    const { client, socket, model } = parts();
    client.current = snapshot(1, [lease()]);
    await model.refresh();
    client.fail.start = problem('quota', 409);
    expect(await model.ask('k7m2', 'start')).toBe(false);
    expect(model.refusal('k7m2')?.code).toBe('quota');
    socket.received.emit(snapshot(2, [lease()]));
    expect(model.refusal('k7m2')?.code).toBe('quota');
    socket.received.emit(snapshot(3, [lease({ updated_at: at(3) })]));
    expect(model.refusal('k7m2')).toBeNull();
  });

  it('claims the lease of a lab, and keeps its refusal by the lab', async () => {
    const { client, model } = parts();
    await model.refresh();
    const choice = { lab: 'Shell basics', machine_profile: 'tiny' };
    expect((await model.claim(choice))?.lab).toBe('Shell basics');
    client.fail.claim = problem('no-capacity', 503);
    expect(await model.claim(choice)).toBeNull();
    expect(model.refusal(labKey('Shell basics'))?.code).toBe('no-capacity');
  });

  it("uses the server's clock", async () => {
    const { client, model } = parts();
    client.current = snapshot(1, [], 1000);
    await model.refresh();
    expect(Math.abs(model.now_ms() - Date.parse(at(1000)))).toBeLessThan(2000);
  });

  it('can be disposed twice, also while it asks', async () => {
    const { client, socket, model } = parts();
    const asking = model.refresh();
    model.dispose();
    model.dispose();
    await asking;
    expect(model.isDisposed).toBe(true);
    expect(socket.isDisposed).toBe(true);
    expect(socket.opened).toBe(0);
    expect(client.calls).toEqual(['hello']);
    expect(model.snapshot).toBeNull();
  });
});
