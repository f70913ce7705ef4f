import {
  act,
  cleanup,
  fireEvent,
  render,
  screen
} from '@testing-library/react';
import * as React from 'react';
import { Clipboard } from '@jupyterlab/apputils';
import { Signal } from '@lumino/signaling';

import { CallsShown } from '../callsshown';
import { readShowCalls } from '../choose';
import type { ICallsShown, ILabFinder } from '../tokens';
import { AccountsView } from '../views/accounts';
import { CallsBox } from '../views/calls';
import { ViewProvider } from '../views/context';
import { LeaseCard } from '../views/leasecard';
import { edge, Way } from '../views/way';
import type { Accounts, Lease } from '../wire';
import {
  at,
  FakeSettings,
  job,
  lease,
  parts,
  settle,
  viewContext
} from './parts';

const copied: string[] = [];

const ACCOUNTS: Accounts = {
  lease_id: 'k7m2',
  lab: 'Shell basics',
  components: [
    { part: 'CLC', name: 'cloud controller', does: 'takes requests', here: 'x' }
  ],
  accounts: [
    {
      job_id: 'j2',
      lease_id: 'k7m2',
      kind: 'start',
      started_at: at(0),
      ended_at: at(9),
      outcome: 'done',
      left_out: 3,
      calls: [
        {
          at: at(1),
          last_at: at(1),
          step: 'Boot the machine',
          operation: 'RunInstances',
          parameters: { ImageId: 'emi-1', UserData: '[user data, 7 bytes]' },
          duration_ms: 12,
          outcome: 'ok',
          answer: { 'Instances.1.State.Name': '<b>pending</b>' },
          request_id: 'r-1',
          aws: 'aws ec2 run-instances --image-id emi-1',
          euca: 'euca-run-instances emi-1',
          parts: ['CLC', 'CC', 'NC', 'SC'],
          way: 'The CLC checks the request.'
        },
        {
          at: at(2),
          last_at: at(4),
          times: 4,
          step: 'Boot the machine',
          operation: 'DescribeInstances',
          parameters: {},
          duration_ms: 3,
          outcome: 'lost',
          error: 'No answer.',
          parts: ['CLC']
        }
      ]
    }
  ]
};

function shown(labs: string[]): ICallsShown & { labs: string[] } {
  const made = {
    labs,
    shown: (lab: string) => made.labs.includes(lab)
  } as ICallsShown & { labs: string[] };
  (made as { changed: unknown }).changed = new Signal<ICallsShown, void>(made);
  return made;
}

const load = async () => ({ AccountsView });

async function show(
  labs: string[],
  changes: Partial<Lease> = {},
  whole = false
) {
  const all = parts();
  const calls = shown(labs);
  all.client.accountsReply = ACCOUNTS;
  const context = { ...viewContext(all.model), calls };
  const card = (one: Lease) => (
    <ViewProvider value={context}>
      {whole ? <LeaseCard lease={one} /> : <CallsBox lease={one} load={load} />}
    </ViewProvider>
  );
  const view = render(card(lease(changes)));
  const box = () =>
    view.container.querySelector<HTMLDetailsElement>('.educloud-calls');
  const open = async () => {
    const details = box() as HTMLDetailsElement;
    details.open = true;
    fireEvent(details, new Event('toggle'));
    await act(settle);
  };
  return {
    ...all,
    ...view,
    calls,
    box,
    open,
    become: (changed: Partial<Lease>) => view.rerender(card(lease(changed)))
  };
}

const asked = (calls: string[]) =>
  calls.filter(call => call.startsWith('accounts'));

beforeEach(() => {
  jest.useFakeTimers({
    doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate']
  });
  copied.length = 0;
  jest
    .spyOn(Clipboard, 'copyToSystem')
    .mockImplementation(text => void copied.push(String(text)));
});

afterEach(() => {
  cleanup();
  jest.useRealTimers();
});

describe('what just happened', () => {
  it('is on the card only where it is to be shown', async () => {
    const { box, calls } = await show([], {}, true);
    expect(box()).toBeNull();
    calls.labs.push('Shell basics');
    act(() => (calls.changed as Signal<ICallsShown, void>).emit());
    expect(box()).not.toBeNull();
  });

  it('asks nothing while it is closed', async () => {
    const { client, become } = await show(['Shell basics']);
    become({ updated_at: at(5) });
    await act(settle);
    expect(asked(client.calls)).toEqual([]);
  });

  it('shows each call with its way, its answer as text, and its command lines', async () => {
    const { open, container } = await show(['Shell basics']);
    await open();
    expect(screen.getByText(/Start, done/)).toBeTruthy();
    expect(screen.getByText(/3 more calls are not kept/)).toBeTruthy();
    expect(screen.getByText('<b>pending</b>')).toBeTruthy();
    expect(screen.getByText('[user data, 7 bytes]')).toBeTruthy();
    expect(
      screen.getByText('aws ec2 run-instances --image-id emi-1')
    ).toBeTruthy();
    expect(
      screen.getByRole('img', {
        name: /RunInstances: CLC → CC → NC → SC/,
        hidden: true
      })
    ).toBeTruthy();
    expect(
      container.querySelector('[data-call="DescribeInstances"] summary')
        ?.textContent
    ).toBe('DescribeInstances 4 times, no answer');
    expect(container.querySelectorAll('[id]:not(h3)')).toHaveLength(0);
  });

  it('copies a command line', async () => {
    const { open, container } = await show(['Shell basics']);
    await open();
    const button = container.querySelector('[data-action="copy-euca2ools"]');
    fireEvent.click(button as HTMLElement);
    expect(copied).toEqual(['euca-run-instances emi-1']);
    expect(screen.getByText('Copied.')).toBeTruthy();
  });

  it('asks again when the lease changes: one question at a time, with pauses', async () => {
    const { open, become, client } = await show(['Shell basics'], {
      job: job()
    });
    let release = (): void => undefined;
    client.gate = new Promise<void>(done => {
      release = done;
    });
    await open();
    for (const attempts of [2, 3, 4]) {
      become({ job: job({ attempts }) });
      await act(settle);
    }
    expect(asked(client.calls)).toHaveLength(1);
    release();
    await act(settle);
    expect(asked(client.calls)).toHaveLength(1);
    await act(async () => {
      jest.advanceTimersByTime(1000);
      await settle();
    });
    await act(settle);
    expect(asked(client.calls)).toHaveLength(2);
    await act(async () => {
      jest.advanceTimersByTime(1000);
      await settle();
    });
    await act(settle);
    expect(asked(client.calls)).toHaveLength(2); // Nothing changed since.
  });

  it('says why it cannot be shown', async () => {
    const { open, client } = await show(['Shell basics']);
    client.fail.accounts = new Error('gone');
    await open();
    expect(screen.getByText('gone')).toBeTruthy();
  });
});

describe('where it is shown', () => {
  it('is everywhere by the setting, else with labs that ask for it', () => {
    const settings = new FakeSettings();
    const finder = {
      changed: new Signal<object, void>({}),
      asksForCalls: (lab: string) => lab === 'asks'
    } as unknown as ILabFinder;
    const calls = new CallsShown(settings, finder);
    const changes: string[] = [];
    calls.changed.connect(() => changes.push('changed'));
    expect([calls.shown('asks'), calls.shown('other')]).toEqual([true, false]);
    settings.showCalls = true;
    settings.changed.emit();
    expect(calls.shown('other')).toBe(true);
    expect(changes).toEqual(['changed']);
    expect(new CallsShown(new FakeSettings(), null).shown('asks')).toBe(false);
  });

  it.each([
    [{ lab: 'x', show_calls: true }, true],
    [{ show_calls: 'yes' }, false],
    [null, false],
    ['x', false]
  ])('is read from the metadata %j', (data, found) => {
    expect(readShowCalls(data)).toBe(found);
  });
});

describe('the picture of a way', () => {
  it('numbers the parts that a request passes, and says it in words', () => {
    const { container } = render(
      <Way
        parts={['CLC', 'SC', 'moon']}
        said="The SC makes it."
        label="Way"
        you="you"
      />
    );
    const on = [...container.querySelectorAll('.jp-mod-on')].map(
      part => part.textContent
    );
    expect(on).toEqual(['1 CLC', '2 SC']);
    expect(container.querySelectorAll('.educloud-wayArrow')).toHaveLength(2);
    expect(container.querySelector('desc')?.textContent).toBe(
      'The SC makes it.'
    );
  });

  it('begins its lines at the edge of a box', () => {
    expect(edge({ x: 0, y: 0 }, { x: 100, y: 0 }, 0)).toEqual({ x: 27, y: 0 });
    expect(edge({ x: 0, y: 0 }, { x: 0, y: 50 }, 0)).toEqual({ x: 0, y: 12 });
  });
});
