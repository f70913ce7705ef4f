import {
  act,
  cleanup,
  fireEvent,
  render,
  screen,
  within
} from '@testing-library/react';
import * as React from 'react';

import { RequestError } from '../request';
import { ViewProvider } from '../views/context';
import { OverviewPage } from '../views/overview';
import { WhyView } from '../views/whypanel';
import { at, parts, settle, viewContext } from './parts';

type Parts = ReturnType<typeof parts>;

async function show(prepare: (all: Parts) => void) {
  const all = parts();
  prepare(all);
  const context = viewContext(all.model);
  const view = (round: number) => (
    <ViewProvider value={context}>
      <OverviewPage round={round} />
    </ViewProvider>
  );
  const { rerender, container } = render(view(0));
  await act(settle);
  const section = (name: string) =>
    within(
      container.querySelector<HTMLElement>(
        `[data-section="${name}"]`
      ) as HTMLElement
    );
  return {
    ...all,
    section,
    again: async () => {
      rerender(view(1));
      await act(settle);
    }
  };
}

afterEach(cleanup);

describe('course overview', () => {
  it('says so where there is nothing', async () => {
    await show(() => undefined);
    expect(
      screen.getByText('Everything in the cloud has an owner.')
    ).toBeTruthy();
    expect(screen.getByText('Both are empty.')).toBeTruthy();
    expect(screen.getByText('Nothing is recorded yet.')).toBeTruthy();
  });

  it('shows a refusal in its section, and the rest all the same', async () => {
    const { section, again } = await show(({ client }) => {
      client.fail.audit = new RequestError(
        { code: 'forbidden', what: 'Only those who oversee the course.' },
        403
      );
    });
    expect(section('audit').getByRole('alert').textContent).toBe(
      'Only those who oversee the course.'
    );
    expect(section('shelf').queryByRole('alert')).toBeNull();
    await again();
    expect(section('audit').queryByRole('alert')).toBeNull();
  });

  it('adds older entries below', async () => {
    const entry = (id: number) => ({
      id,
      at: at(id),
      who: 'ada',
      what: `act ${id}`,
      course: 'local'
    });
    const { section, client } = await show(all => {
      all.client.auditPages = [
        { entries: [entry(9), entry(8)], older: 8 },
        { entries: [entry(7)], older: null }
      ];
    });
    await act(async () => {
      fireEvent.click(section('audit').getByRole('button'));
      await settle();
    });
    expect(client.calls).toContain('audit 8');
    const rows = section('audit').getAllByRole('row').slice(1);
    expect(rows.map(row => row.querySelectorAll('td')[1].textContent)).toEqual([
      'act 9',
      'act 8',
      'act 7'
    ]);
    expect(section('audit').queryByRole('button')).toBeNull();
  });

  it('does nothing at a dry run but say what would be done', async () => {
    const { section, client } = await show(all => {
      all.client.orphansReply = {
        dry_run: true,
        halted: 'Too many at once: a person has to look.',
        orphans: [
          {
            cloud_id: 'i-1',
            kind: 'instance',
            state: 'seen',
            reason: 'nobody knows it',
            first_seen_at: at(0),
            last_seen_at: at(0),
            acts_at: at(60)
          }
        ]
      };
    });
    expect(
      screen.getByText('Too many at once: a person has to look.')
    ).toBeTruthy();
    await act(async () => {
      fireEvent.click(
        section('orphans').getByRole('button', {
          name: 'Say what would be done now, and do nothing'
        })
      );
      await settle();
    });
    expect(client.calls.filter(call => call.startsWith('reap'))).toEqual([
      'reap true'
    ]);
    expect(
      section('orphans').getByText(/^Dry run: .* now\. i-1$/)
    ).toBeTruthy();
  });
});

describe('the doctor', () => {
  it('writes what a machine printed as text, without its escape sequences', () => {
    const all = parts();
    const { container } = render(
      <ViewProvider value={viewContext(all.model)}>
        <WhyView
          why={{
            lease_id: 'k7m2',
            healthy: true,
            findings: [],
            text: 'All well.',
            console_tail: '\x1b[31m<img src=x>\x1b[0m\r\n'
          }}
        />
      </ViewProvider>
    );
    expect(container.querySelector('img')).toBeNull();
    expect(container.textContent).toContain('<img src=x>\n');
    expect(container.textContent).toContain('Nothing is wrong');
  });
});
