import { nullTranslator } from '@jupyterlab/translation';

import { routeOf } from '../client';
import type { CardWish } from '../tokens';
import { askAndSend } from '../wishes';
import type { VolumeSnapshot } from '../wire';
import { at, lease, NOW, parts, settle, snapshot } from './parts';

const trans = nullTranslator.load('test');
const DAY_S = 86_400;

function snap(changes: Partial<VolumeSnapshot> = {}): VolumeSnapshot {
  return {
    id: 's1',
    name: 'Before exercise 3',
    cloud_id: 'snap-1',
    state: 'completed',
    progress_percent: 100,
    size_bytes: 2 ** 30,
    created_at: at(-DAY_S),
    created_by: 'ada',
    restorable: true,
    ...changes
  };
}

beforeEach(() => {
  jest.spyOn(Date, 'now').mockReturnValue(NOW);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe('wishes', () => {
  const shown = lease();

  async function ask(wish: CardWish, fill: (dialog: HTMLElement) => void) {
    const { model, client } = parts();
    client.current = snapshot(1, [shown], 0);
    await model.refresh();
    const sent = askAndSend(model, shown, wish, trans);
    await new Promise(resolve => setTimeout(resolve, 0));
    const dialog = document.querySelector<HTMLElement>('.jp-Dialog');
    if (dialog) {
      fill(dialog);
      await settle();
      dialog
        .querySelector<HTMLElement>('.jp-Dialog-footer .jp-mod-accept')
        ?.click();
    }
    await settle();
    document.querySelector<HTMLElement>('.jp-Dialog .jp-mod-reject')?.click();
    return {
      done: await sent,
      text: dialog?.textContent ?? '',
      calls: client.calls.filter(call => call.startsWith('wish'))
    };
  }

  function type(name: string, value: string) {
    return (dialog: HTMLElement) => {
      const input = dialog.querySelector<HTMLInputElement>(
        `input[name="${name}"]`
      );
      if (!input) {
        throw new Error(`There is no field ${name}.`);
      }
      input.value = value;
      input.dispatchEvent(new Event('input'));
    };
  }

  it('says what a restore does before it does it', async () => {
    const { text, calls } = await ask(
      { kind: 'restore', snapshot: snap() },
      () => undefined
    );
    expect(text).toContain('your files in /data are then as they were');
    expect(text).toContain('goes into the bin. It stays there for 7 days');
    expect(calls).toEqual(['wish k7m2 {"action":"restore","snapshotId":"s1"}']);
  });

  it('puts files into the bin for the typed name only', async () => {
    const no = await ask({ kind: 'discard' }, type('confirm', 'shell'));
    expect(no.calls).toEqual([]);
    expect(no.done).toBe(false);
    const yes = await ask({ kind: 'discard' }, type('confirm', 'Shell basics'));
    expect(yes.calls).toEqual([
      'wish k7m2 {"action":"discard","confirm":"Shell basics"}'
    ]);
  });

  it('deletes a snapshot for its typed name only', async () => {
    const wish: CardWish = { kind: 'delete-snapshot', snapshot: snap() };
    expect((await ask(wish, type('confirm', 'yes'))).calls).toEqual([]);
    const yes = await ask(wish, type('confirm', 'Before exercise 3'));
    expect(yes.calls).toHaveLength(1);
  });

  it('grows only to more than it has', async () => {
    for (const bad of ['1', '0', '1.5', '99999', 'two']) {
      expect((await ask({ kind: 'grow' }, type('size', bad))).calls).toEqual(
        []
      );
    }
    const yes = await ask({ kind: 'grow' }, type('size', '2'));
    expect(yes.calls).toEqual([
      'wish k7m2 {"action":"grow","body":{"size_gib":2}}'
    ]);
  });

  it('turns limits off with a reason and an end to come', async () => {
    expect((await ask({ kind: 'exempt' }, type('reason', 'x'))).calls).toEqual(
      []
    );
    const past = await ask({ kind: 'exempt' }, dialog => {
      type('reason', 'Exam')(dialog);
      type('until', '2020-01-01T10:00')(dialog);
    });
    expect(past.calls).toEqual([]);
    const yes = await ask({ kind: 'exempt' }, type('reason', 'Exam'));
    expect(yes.calls).toEqual([
      `wish k7m2 {"action":"exempt","body":{"reason":"Exam","until":"${at(DAY_S)}"}}`
    ]);
  });

  it('asks nothing before it declares a machine busy', async () => {
    const { text, calls } = await ask(
      { kind: 'busy', until: at(1800) },
      () => undefined
    );
    expect(text).toBe('');
    expect(calls).toHaveLength(1);
  });

  it('goes to the routes of the server', () => {
    expect(
      [
        routeOf({ action: 'busy', body: { until: null } }),
        routeOf({ action: 'end-exemption' }),
        routeOf({ action: 'snapshot', body: { name: 'x' } }),
        routeOf({ action: 'restore', snapshotId: 's1' }),
        routeOf({ action: 'publish', snapshotId: 's1', published: true }),
        routeOf({ action: 'grow', body: { size_gib: 2 } }),
        routeOf({ action: 'return', itemId: 'b1' })
      ].map(({ path, body }) => `${path.join('/')} ${JSON.stringify(body)}`)
    ).toEqual([
      'busy {"until":null}',
      'end-exemption {}',
      'snapshots {"name":"x"}',
      'snapshots/s1/restore {}',
      'snapshots/s1/publish {"published":true}',
      'volume/grow {"size_gib":2}',
      'bin/b1/return {}'
    ]);
  });
});
