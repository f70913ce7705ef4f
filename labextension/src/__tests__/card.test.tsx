import {
  act,
  cleanup,
  fireEvent,
  render,
  screen
} from '@testing-library/react';
import * as React from 'react';

import { RequestError } from '../request';
import { ViewProvider } from '../views/context';
import { LeaseCard } from '../views/leasecard';
import { Panel } from '../views/panel';
import { Sidebar } from '../views/sidebar';
import type { Action, Lease } from '../wire';
import {
  at,
  FakeSettings,
  job,
  lease,
  NOW,
  parts,
  snapshot,
  viewContext
} from './parts';

async function show(
  shown: Lease[],
  view: () => React.JSX.Element = () => <LeaseCard lease={shown[0]} />
) {
  const all = parts();
  all.client.current = snapshot(1, shown, 0);
  await all.model.refresh();
  const context = viewContext(all.model);
  const result = render(<ViewProvider value={context}>{view()}</ViewProvider>);
  return { ...all, ...context, ...result };
}

function button(name: string | RegExp): HTMLElement {
  return screen.getByRole('button', { name });
}

beforeEach(() => {
  jest.useFakeTimers({ now: NOW, doNotFake: ['queueMicrotask'] });
});

afterEach(() => {
  cleanup();
  jest.useRealTimers();
});

describe('LeaseCard', () => {
  it('says where it stands to a screen reader', async () => {
    await show([lease({ headline: 'Asleep. Your files are kept.' })]);
    const headline = screen.getByText('Asleep. Your files are kept.');
    expect(headline.getAttribute('aria-live')).toBe('polite');
    expect(screen.getByRole('article', { name: 'Shell basics' })).toBeTruthy();
  });

  it('shows each step with its progress and what is waited for', async () => {
    await show([lease({ phase: 'starting', job: job() }, ['stop'])]);
    const bar = screen.getByRole('progressbar', { name: 'Starting' });
    expect(bar.getAttribute('aria-valuenow')).toBe('30');
    expect(screen.getByText('The machine is booting')).toBeTruthy();
    expect(screen.getByText('1 s of about 6 s')).toBeTruthy();
    const steps = screen.getAllByRole('listitem').slice(0, 3);
    expect(steps.map(step => step.className.split('jp-mod-')[1])).toEqual([
      'done',
      'doing',
      'todo'
    ]);
    expect(steps[1].getAttribute('aria-current')).toBe('step');
    act(() => {
      jest.advanceTimersByTime(2000);
    });
    expect(bar.getAttribute('aria-valuenow')).toBe('50');
  });

  it('counts the time that is left, and keeps the machine', async () => {
    const { pressed } = await show([
      lease({ phase: 'ready', expires_at: at(6840) }, ['stop', 'extend'])
    ]);
    expect(screen.getByText('1 h 54 min left', { exact: false })).toBeTruthy();
    fireEvent.click(button('Keep the machine of Shell basics running longer'));
    expect(pressed).toEqual(['extend Shell basics']);
  });

  it('presses what can be pressed, and says why the rest cannot', async () => {
    const { pressed } = await show([
      lease({ phase: 'ready' }, ['stop', 'terminal', 'delete'])
    ]);
    for (const name of ['Terminal', 'Stop', 'Console log', 'Delete machine…']) {
      fireEvent.click(button(name));
    }
    expect(pressed).toEqual([
      'terminal Shell basics',
      'stop Shell basics',
      'remove Shell basics'
    ]);
    const log = button('Console log');
    expect(log.getAttribute('aria-disabled')).toBe('true');
    expect(log.getAttribute('title')).toBe('Not console now.');
    // Still reachable by keyboard, so that the reason can be read.
    expect(log.hasAttribute('disabled')).toBe(false);
  });

  it.each<[Lease['phase'], Action[], string[], string[]]>([
    ['off', ['start'], ['Start'], ['Stop']],
    ['asleep', ['start'], ['Start'], ['Stop']],
    ['starting', ['stop'], ['Stop'], ['Start']],
    ['ready', ['stop'], ['Stop'], ['Start']],
    ['stopping', [], ['Stop'], ['Start']],
    ['trouble', ['start', 'stop'], ['Try again', 'Stop'], ['Start']]
  ])('%s offers what makes sense', async (phase, enabled, there, absent) => {
    await show([lease({ phase }, enabled)]);
    there.forEach(name => expect(button(name)).toBeTruthy());
    absent.forEach(name =>
      expect(screen.queryByRole('button', { name })).toBeNull()
    );
  });

  it('tells what happened, what was kept and what to do', async () => {
    await show([
      lease({
        phase: 'trouble',
        problem: {
          code: 'no-capacity',
          what: 'There is no room.',
          kept: 'Your volume.',
          next_step: 'Try again later.'
        }
      })
    ]);
    expect(screen.getByRole('alert').textContent).toBe(
      'There is no room.Kept safe: Your volume.What to do: Try again later.'
    );
  });

  it('says before a stop what survives it', async () => {
    await show([lease({ system_disk: 'lost' })]);
    expect(
      screen.getByText(
        'Files in /data always stay. Everything else goes when the machine stops.'
      )
    ).toBeTruthy();
  });

  it('shows a refusal in place', async () => {
    const shown = lease();
    const { client, model } = await show([shown]);
    client.fail.start = new RequestError(
      { code: 'quota', what: 'You have two machines already.' },
      409
    );
    await act(async () => {
      await model.ask(shown.id, 'start');
    });
    expect(screen.getByRole('alert').textContent).toContain('two machines');
  });

  it('writes names as text', async () => {
    const name = '<img src=x onerror=alert(1)> "ä"';
    const { container } = await show([lease({ lab: name })]);
    expect(container.querySelector('img')).toBeNull();
    expect(screen.getByRole('heading', { name })).toBeTruthy();
  });
});

describe('Sidebar', () => {
  const sidebar = () => (
    <Sidebar settings={new FakeSettings()} finder={null} needs={null} />
  );

  it('offers the machine profiles where there is no lease', async () => {
    const { pressed } = await show([], sidebar);
    fireEvent.click(button('Start Small Linux machine'));
    expect(pressed).toEqual(['claim tiny']);
  });

  it('has a card for each lease', async () => {
    await show([lease(), lease({ id: 'b', lab: 'Networks' })], sidebar);
    expect(screen.getAllByRole('article')).toHaveLength(2);
  });

  it('offers the lab of the notebook in front', async () => {
    const finder = {
      changed: new FakeSettings().changed as never,
      current: () => ({ lab: 'Networks', machine_profile: 'tiny' }),
      around: () => null,
      says: () => null,
      asksForCalls: () => false
    };
    const { pressed } = await show([lease()], () => (
      <Sidebar settings={new FakeSettings()} finder={finder} needs={null} />
    ));
    fireEvent.click(button('Start a machine for Networks'));
    expect(pressed).toEqual(['claim Networks']);
  });

  it.each([
    [404, 'has no lab machines', 'jupyter server extension enable'],
    [0, 'does not answer', 'connects again by itself']
  ])('explains a server half that answers %i', async (status, what, how) => {
    const all = parts();
    all.client.fail.hello = new RequestError({ code: 'x', what: 'X' }, status);
    await all.model.refresh();
    render(
      <ViewProvider value={viewContext(all.model)}>{sidebar()}</ViewProvider>
    );
    expect(document.body.textContent).toContain(what);
    expect(document.body.textContent).toContain(how);
    await act(async () => {
      fireEvent.click(button('Check again'));
    });
    expect(all.model.serverState).toBe('ok');
  });
});

describe('Panel', () => {
  it('is the same card', async () => {
    const shown = lease({ headline: 'Asleep' });
    const { container } = await show([shown], () => (
      <Panel choice={{ lab: shown.lab, machine_profile: 'tiny' }} />
    ));
    expect(container.querySelectorAll('[data-lease="k7m2"]')).toHaveLength(1);
  });

  it('does nothing without a click', async () => {
    const choice = { lab: 'Networks', machine_profile: 'tiny' };
    const { client, pressed } = await show([], () => <Panel choice={choice} />);
    expect(client.calls).toEqual(['hello', 'snapshot']);
    fireEvent.click(button('Start a machine for Networks'));
    expect(pressed).toEqual(['claim Networks']);
  });

  it('explains a machine profile that is not there', async () => {
    const choice = { lab: 'Networks', machine_profile: 'huge' };
    await show([], () => <Panel choice={choice} />);
    expect(screen.getByRole('alert').textContent).toContain('"huge"');
    expect(
      button('Start a machine for Networks').getAttribute('aria-disabled')
    ).toBe('true');
  });

  it('blames the cloud, not the notebook, while there is no broker', async () => {
    const all = parts();
    all.client.current = {
      ...snapshot(0),
      profiles: [],
      cloud: {
        kind: 'local',
        name: 'bench',
        reachable: false,
        problem: { code: 'starting', what: 'The cloud is being started.' }
      }
    };
    await all.model.refresh();
    const choice = { lab: 'Networks', machine_profile: 'tiny' };
    render(
      <ViewProvider value={viewContext(all.model)}>
        <Panel choice={choice} />
      </ViewProvider>
    );
    expect(screen.queryByRole('alert')).toBeNull();
    expect(document.body.textContent).toContain('The cloud is being started.');
    expect(document.body.textContent).not.toContain('which is not here');
    expect(
      button('Start a machine for Networks').getAttribute('aria-disabled')
    ).toBe('true');
  });
});
