import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';

import { followAll } from '../jobnotifications';
import { formatClock } from '../views/time';
import type { Lease } from '../wire';
import { at, FakeSettings, job, lease, parts, snapshot } from './parts';

function all() {
  return Notification.manager.notifications;
}

async function follow(first: Lease[], settings = new FakeSettings()) {
  const { client, socket, model } = parts();
  client.current = snapshot(1, first);
  await model.refresh();
  const commands = new CommandRegistry();
  const ran: unknown[] = [];
  for (const command of ['educloud:start', 'educloud:extend']) {
    commands.addCommand(command, {
      describedBy: { args: { type: 'object' } },
      execute: args => void ran.push(args)
    });
  }
  followAll({
    model,
    settings,
    trans: nullTranslator.load('test'),
    commands
  });
  let version = 1;
  const show = (...leases: Lease[]) => {
    version += 1;
    socket.received.emit(snapshot(version, leases));
  };
  return { show, ran };
}

beforeEach(() => {
  jest.useFakeTimers();
  Notification.dismiss();
});

afterEach(() => {
  jest.useRealTimers();
});

const over = { in_flight: false, progress: 1 };

describe('JobNotifications', () => {
  it('shows one for a job, and updates it in place', async () => {
    const { show } = await follow([lease()]);
    show(lease({ phase: 'starting', job: job({ id: 'a' }) }));
    show(lease({ phase: 'starting', job: job({ id: 'a', progress: 0.7 }) }));
    expect(all()).toHaveLength(1);
    expect(all()[0].type).toBe('in-progress');
    expect(all()[0].message).toBe('Shell basics: Starting. Boot');
    expect(all()[0].options.progress).toBeGreaterThanOrEqual(0.7);
    show(
      lease({
        phase: 'ready',
        headline: 'Ready',
        job: job({ id: 'a', ...over })
      })
    );
    expect(all()).toHaveLength(1);
    expect(all()[0].type).toBe('success');
    expect(all()[0].message).toBe('Shell basics: Ready');
  });

  it('says nothing about what was over when the page was loaded', async () => {
    const ready = lease({ phase: 'ready', job: job({ id: 'b', ...over }) });
    const { show } = await follow([ready]);
    show(ready);
    expect(all()).toEqual([]);
  });

  it('is quiet about a job that the page was reloaded in', async () => {
    await follow([lease({ phase: 'starting', job: job({ id: 'c' }) })]);
    expect(all()).toHaveLength(1);
    expect(all()[0].options.autoClose).toBe(0); // In the notification centre, not popped up.
  });

  it('says what a job on the volume has brought, not that the machine is ready', async () => {
    const { show } = await follow([lease()]);
    show(lease({ phase: 'ready', job: job({ id: 'f', kind: 'snapshot' }) }));
    expect(all()[0].message).toBe('Shell basics: Taking a snapshot. Boot');
    show(
      lease({
        phase: 'ready',
        job: job({ id: 'f', kind: 'snapshot', outcome: 'done', ...over })
      })
    );
    expect(all()[0].message).toBe('Shell basics: The snapshot is complete.');
    show(lease({ phase: 'ready', job: job({ id: 'g', kind: 'grow' }) }));
    show(
      lease({
        phase: 'ready',
        problem: { code: 'x', what: 'No room.' },
        job: job({ id: 'g', kind: 'grow', outcome: 'failed', ...over })
      })
    );
    expect(all().map(one => one.type)).toContain('error');
  });

  it('offers to try again', async () => {
    const { show, ran } = await follow([lease()]);
    show(lease({ phase: 'starting', job: job({ id: 'd' }) }));
    show(
      lease({
        phase: 'trouble',
        problem: { code: 'x', what: 'No room.', next_step: 'Wait.' },
        job: job({ id: 'd', ...over })
      })
    );
    const [one] = all();
    expect(one.type).toBe('error');
    expect(one.message).toBe('Shell basics: No room. Wait.');
    one.options.actions?.[0].callback(null as never);
    expect(ran).toEqual([{ lease_id: 'k7m2' }]);
  });

  const END = at(300);
  const words = `Shell basics: Put to sleep at ${formatClock(END, Date.parse(END))}: nothing happens on it.`;
  const warned = (id: string, changes = {}, lab = {}) =>
    lease(
      {
        phase: 'ready',
        limits: {
          limits: [{ kind: 'idle', ends_at: at(300), text: 'Idle' }],
          warning: {
            id,
            kind: 'idle',
            text: 'In UTC, for other programs.',
            ends_at: END,
            urgent: false,
            ...changes
          }
        },
        ...lab
      },
      ['extend']
    );

  it('says each warning once, in one notification', async () => {
    const { show, ran } = await follow([lease()]);
    show(warned('a'));
    show(warned('a'));
    expect(all().map(one => one.message)).toEqual([words]);
    expect(all()[0].type).toBe('warning');
    show(warned('b', { urgent: true, loses: 'The system disk goes.' }));
    expect(all().map(one => one.message)).toEqual([
      `${words} The system disk goes.`
    ]);
    expect(all()[0].type).toBe('error');
    const [keep] = all()[0].options.actions ?? [];
    expect(keep.label).toBe('Keep');
    keep.callback(null as never);
    expect(ran).toEqual([{ lease_id: 'k7m2' }]);
  });

  it('takes a warning back when it is over', async () => {
    const { show } = await follow([lease()]);
    show(warned('a'));
    show(lease({ phase: 'ready', limits: { limits: [] } }));
    expect(all()).toEqual([]);
    show(warned('b'));
    show();
    expect(all()).toEqual([]);
  });

  it('leaves a closed warning closed until the next one', async () => {
    const { show } = await follow([lease()]);
    show(warned('a'));
    Notification.dismiss(all()[0].id);
    show(warned('a'));
    expect(all()).toEqual([]);
    show(warned('b'));
    expect(all()).toHaveLength(1);
  });

  it('warns for each machine by itself', async () => {
    const { show } = await follow([lease()]);
    show(warned('a'), warned('a', {}, { id: 'two', lab: 'Networks' }));
    expect(all()).toHaveLength(2);
    show(warned('a'));
    expect(all().map(one => one.message)).toEqual([words]);
  });

  it('is silent when switched off', async () => {
    const settings = new FakeSettings();
    settings.notifications = false;
    const { show } = await follow([lease()], settings);
    show(lease({ phase: 'starting', job: job({ id: 'e' }) }));
    show(warned('a'));
    expect(all()).toEqual([]);
  });
});
