import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import { ViewProvider } from '../views/context';
import Files, { daysLeft } from '../views/files';
import { LeaseCard } from '../views/leasecard';
import type { Action, BinItem, Lease, VolumeSnapshot } from '../wire';
import { at, lease, NOW, parts, snapshot, viewContext } from './parts';

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

function item(changes: Partial<BinItem> = {}): BinItem {
  return {
    id: 'b1',
    cloud_id: 'vol-old',
    quarantined: false,
    size_bytes: 2 ** 30,
    reason: 'Restored',
    shelved_at: at(-DAY_S),
    delete_after: at(6 * DAY_S + 60),
    returnable: true,
    ...changes
  };
}

const ALL: Action[] = [
  'snapshot',
  'restore',
  'grow',
  'discard',
  'return',
  'exempt'
];

async function show(shown: Lease, view = <Files lease={shown} />) {
  const all = parts();
  all.client.current = snapshot(1, [shown], 0);
  await all.model.refresh();
  const context = viewContext(all.model);
  const result = render(<ViewProvider value={context}>{view}</ViewProvider>);
  return { ...all, ...context, ...result };
}

function button(name: string | RegExp): HTMLElement {
  return screen.getByRole('button', { name });
}

beforeEach(() => {
  window.localStorage.clear();
  jest.spyOn(Date, 'now').mockReturnValue(NOW);
});

afterEach(() => {
  cleanup();
  jest.restoreAllMocks();
});

describe('files', () => {
  it('shows what the last mount proved, without being opened', async () => {
    const proved = lease({
      volumes: [
        {
          id: 'vol-1',
          size_bytes: 2 ** 30,
          mount_point: '/data',
          stage: 'mounted',
          proof: 'Same disk, last written at 11:58.',
          from_snapshot: 'Start of the course'
        }
      ]
    });
    await show(proved, <LeaseCard lease={proved} />);
    expect(screen.getByText('Same disk, last written at 11:58.')).toBeTruthy();
    expect(document.body.textContent).toContain(
      'made from "Start of the course"'
    );
    expect(screen.getByText('Snapshots and bin').closest('details')?.open).toBe(
      false
    );
  });

  it('lists snapshots with state and progress, and the bin with its days', async () => {
    await show(
      lease(
        {
          snapshots: [
            snap(),
            snap({
              id: 's2',
              name: 'Now',
              state: 'pending',
              progress_percent: 40,
              restorable: false
            })
          ],
          bin: [item()]
        },
        ALL
      )
    );
    expect(document.body.textContent).toContain('being taken, 40 %');
    expect(
      screen.getByRole('progressbar', { name: 'Snapshot Now' })
    ).toBeTruthy();
    expect(
      button('Go back to the snapshot Now').getAttribute('aria-disabled')
    ).toBe('true');
    expect(document.body.textContent).toContain('6 days left');
  });

  it('asks for what its buttons say', async () => {
    const { pressed } = await show(
      lease({ snapshots: [snap()], bin: [item()] }, ALL)
    );
    for (const name of [
      'Go back to the snapshot Before exercise 3',
      'Whether new volumes of this lab are copies of Before exercise 3',
      'Delete the snapshot Before exercise 3',
      'Take a snapshot…',
      'Make the volume of Shell basics larger',
      'Take vol-old out of the bin',
      'Put files into the bin…'
    ]) {
      fireEvent.click(button(name));
    }
    expect(pressed).toEqual([
      'restore Before exercise 3',
      'publish Before exercise 3',
      'delete-snapshot Before exercise 3',
      'snapshot',
      'grow',
      'return vol-old',
      'discard'
    ]);
  });

  it('says why it cannot be done now', async () => {
    const { pressed } = await show(
      lease({ snapshots: [snap()] }, ['snapshot'])
    );
    const restore = button('Go back to the snapshot Before exercise 3');
    expect(restore.getAttribute('title')).toBe('Not restore now.');
    fireEvent.click(restore);
    expect(pressed).toEqual([]);
  });

  it.each<[Partial<BinItem>, string]>([
    [{}, '6 days left'],
    [{ delete_after: at(DAY_S + 60) }, '1 day left'],
    [{ delete_after: at(3600) }, 'deleted today or tomorrow'],
    [{ delete_after: at(-1) }, 'deleted any moment now'],
    [{ quarantined: true }, 'kept until somebody decides'],
    [{ delete_after: null }, 'kept until somebody decides']
  ])('counts the days of %p', (changes, words) => {
    expect(daysLeft(item(changes), NOW, trans)).toBe(words);
  });
});
