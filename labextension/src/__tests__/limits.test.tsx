import {
  act,
  cleanup,
  fireEvent,
  render,
  screen,
  within
} from '@testing-library/react';
import * as React from 'react';

import { ViewProvider } from '../views/context';
import { LeaseCard } from '../views/leasecard';
import { statusLease } from '../views/status';
import type { Lease, Limits } from '../wire';
import { at, job, lease, NOW, parts, snapshot, viewContext } from './parts';

async function show(first: Lease) {
  const all = parts();
  all.client.current = snapshot(1, [first], 0);
  await all.model.refresh();
  const context = viewContext(all.model);
  const view = (shown: Lease) => (
    <ViewProvider value={context}>
      <LeaseCard lease={shown} />
    </ViewProvider>
  );
  const { rerender, container } = render(view(first));
  return {
    ...all,
    ...context,
    container,
    next: (l: Lease) => rerender(view(l))
  };
}

const LIMITS: Limits = {
  limits: [
    { kind: 'idle', ends_at: at(290), text: 'Idle for 30 min' },
    { kind: 'hard', ends_at: at(6840), text: 'Its time' }
  ],
  active_at: at(-1510),
  active_by: 'typing in a terminal',
  guarded: true
};

const WARNED: Limits = {
  ...LIMITS,
  warning: {
    id: 'idle-300',
    kind: 'idle',
    text: 'In UTC',
    loses: 'The system disk goes.',
    ends_at: at(290),
    urgent: false
  }
};

function running(limits: Limits, enabled: Lease['actions'] = undefined): Lease {
  const one = lease({ phase: 'ready', limits, expires_at: at(6840) }, [
    'stop',
    'extend',
    'busy',
    'exempt'
  ]);
  return enabled ? { ...one, actions: enabled } : one;
}

function open(name: string): HTMLElement {
  const summary = screen.getByText(name);
  const details = summary.closest('details') as HTMLDetailsElement;
  // The browser of the tests does not open what is clicked.
  act(() => {
    details.open = true;
    details.dispatchEvent(new Event('toggle'));
  });
  return details;
}

beforeEach(() => {
  window.localStorage.clear();
  jest.useFakeTimers({ now: NOW, doNotFake: ['queueMicrotask'] });
});

afterEach(() => {
  cleanup();
  jest.useRealTimers();
});

describe('time', () => {
  it('says which limit comes next, and counts to it', async () => {
    await show(running(LIMITS));
    expect(screen.getByText('4 min 50 s left', { exact: false })).toBeTruthy();
    act(() => {
      jest.advanceTimersByTime(10_000);
    });
    expect(screen.getByText('4 min 40 s left', { exact: false })).toBeTruthy();
  });

  it('tells all limits and the last activity when opened, and remembers that', async () => {
    const { container } = await show(running(LIMITS));
    expect(container.querySelector('[data-limit]')).toBeNull();
    const details = open('Time limits');
    expect(
      [...details.querySelectorAll('[data-limit]')].map(one =>
        one.getAttribute('data-limit')
      )
    ).toEqual(['idle', 'hard']);
    expect(details.textContent).toContain(
      'Last activity: typing in a terminal, 25 min ago'
    );
    expect(details.textContent).toContain('a timer of its own');
    cleanup();
    const again = await show(running(LIMITS));
    expect(again.container.querySelectorAll('[data-limit]')).toHaveLength(2);
  });

  it('announces a warning once, and no ticking', async () => {
    const { container, next } = await show(running(LIMITS));
    const region = container.querySelector('.educloud-limitWarning');
    expect(region?.getAttribute('aria-live')).toBe('polite');
    expect(region?.textContent).toBe('');
    next(running(WARNED));
    // The same element: a region that comes with its text is not read.
    expect(container.querySelector('.educloud-limitWarning')).toBe(region);
    const said = region?.textContent;
    expect(said).toContain('nothing happens on it');
    expect(said).toContain('The system disk goes.');
    act(() => {
      jest.advanceTimersByTime(30_000);
    });
    expect(region?.textContent).toBe(said);
    for (let node = region; node; node = node.parentElement) {
      // Nor is the countdown in any other region that is read.
      expect(node !== region && node.hasAttribute('aria-live')).toBe(false);
    }
    next(running({ ...WARNED, warning: { ...WARNED.warning!, urgent: true } }));
    expect(region?.getAttribute('aria-live')).toBe('assertive');
    expect(container.querySelector('.jp-mod-urgent')).toBeTruthy();
  });

  it('has one Keep, the same before, during and after a warning', async () => {
    const { next, pressed } = await show(running(LIMITS));
    const keep = () => screen.getByRole('button', { name: /^Keep/ });
    const before = keep();
    before.focus();
    next(running(WARNED));
    expect(keep()).toBe(before);
    fireEvent.click(keep());
    expect(pressed).toEqual(['extend Shell basics']);
    next(running(LIMITS));
    expect(document.activeElement).toBe(before); // The focus stays where it was.
  });

  it('declares the machine busy', async () => {
    const { pressed, next } = await show(running(LIMITS));
    const details = within(open('Time limits'));
    const busy = details.getByRole('button', { name: 'Busy…' });
    expect(busy.getAttribute('aria-expanded')).toBe('false');
    fireEvent.click(busy);
    expect(busy.getAttribute('aria-expanded')).toBe('true');
    // Two hours would be beyond the hard limit.
    const group = within(details.getByRole('group', { name: 'Busy until' }));
    expect(group.getAllByRole('button').map(one => one.textContent)).toEqual([
      '30 min',
      'until the limit',
      'Not busy'
    ]);
    fireEvent.click(group.getByText('30 min'));
    fireEvent.click(group.getByText('until the limit'));
    fireEvent.click(group.getByText('Not busy'));
    expect(pressed).toEqual([`busy ${at(1800)}`, `busy ${at(6840)}`]);
    next(running({ ...LIMITS, busy_until: at(1800) }));
    expect(screen.getByText(/^Busy until /)).toBeTruthy();
    fireEvent.click(group.getByText('Not busy'));
    expect(pressed[2]).toBe('busy null');
  });

  it('shows that limits are off, why, by whom, and ends that', async () => {
    const exempted = running(
      {
        exemption: {
          since: at(0),
          until: at(86_400),
          reason: 'Exam',
          by: 'grace'
        }
      },
      [{ action: 'end-exemption', enabled: true }]
    );
    const { pressed } = await show(exempted);
    expect(screen.getByText('No limit on time now')).toBeTruthy();
    expect(
      screen.getByText(/^Limits are off until .*: Exam \(grace\)$/)
    ).toBeTruthy();
    open('Time limits');
    fireEvent.click(
      screen.getByRole('button', { name: 'Turn limits on again…' })
    );
    expect(pressed).toEqual(['end-exemption']);
  });

  it('shows nothing of it while the machine does not run', async () => {
    const { container } = await show(lease({ phase: 'asleep' }));
    expect(container.querySelector('.educloud-limits')).toBeNull();
  });
});

describe('queue', () => {
  it('says which place, what is waited for, and when it is tried', async () => {
    const queued = job({
      attempts: 3,
      queue: {
        position: 3,
        waiting: 7,
        since: at(-60),
        what: 'm1.small in bench-1',
        next_try_at: at(24)
      }
    });
    const { container } = await show(lease({ phase: 'starting', job: queued }));
    expect(container.textContent).toContain(
      'Place 3 of 7 in the queue. Waiting for room: m1.small in bench-1'
    );
    expect(container.textContent).toContain('Next try in 24 s');
  });
});

describe('doctor', () => {
  it('says in short what it is, and opens the whole answer', async () => {
    const { pressed, container } = await show(
      lease({
        phase: 'starting',
        finding: {
          code: 'pending-too-long',
          what: 'Pending for 6 minutes.',
          component: 'NC',
          component_name: 'the node controller (NC)',
          sure: 'likely',
          at: at(0),
          by_itself: 'It is tried once more.',
          student_can: 'Wait.',
          instructor_can: 'Write to the administrator.'
        }
      })
    );
    const box = container.querySelector('[data-finding]');
    expect(box?.textContent).toBe(
      'Pending for 6 minutes.Probably: the node controller (NC)By itself: It is tried once more.What you can do: Wait.Why?'
    );
    fireEvent.click(within(box as HTMLElement).getByRole('button'));
    expect(pressed).toEqual(['why Shell basics']);
  });
});

describe('status bar', () => {
  it('is about the machine that is warned about', () => {
    const calm = lease({ id: 'a', lab: 'A' });
    const warned = lease({ id: 'b', lab: 'B', limits: WARNED });
    const urgent = lease({
      id: 'c',
      lab: 'C',
      limits: { ...WARNED, warning: { ...WARNED.warning!, urgent: true } }
    });
    expect(statusLease([calm, warned], 'A')?.id).toBe('b');
    expect(statusLease([calm, warned, urgent], 'A')?.id).toBe('c');
    expect(statusLease([calm], 'A')?.id).toBe('a');
  });
});
