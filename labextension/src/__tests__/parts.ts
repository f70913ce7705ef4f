/**
 * Parts for the tests: a server half that answers from memory, and leases in all states.
 */

import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import type { ICloudClient } from '../client';
import { CloudModel } from '../manager';
import type { IStateSocket, SocketState } from '../socket';
import type { CardWish, ICloudSettings, Wish } from '../tokens';
import type { ICardActions, IViewContext } from '../views/context';
import type {
  Action,
  Accounts,
  AuditPage,
  Console,
  Hello,
  Job,
  Lease,
  MachineProfile,
  OrphanReport,
  Shelf,
  Snapshot,
  Why
} from '../wire';

export const NOW = Date.parse('2026-11-22T12:00:00Z');

export function at(seconds: number): string {
  return new Date(NOW + seconds * 1000).toISOString();
}

export const PROFILE: MachineProfile = {
  name: 'tiny',
  revision: 1,
  title: 'Small Linux machine',
  description: 'A shell and Python.',
  image: 'tiny',
  instance_type: 'm1.small',
  volume_size_bytes: 2 ** 30,
  mount_point: '/data',
  time_limit_s: 7200
};

const ACTIONS: Action[] = [
  'start',
  'stop',
  'delete',
  'extend',
  'terminal',
  'console',
  'busy',
  'exempt',
  'end-exemption',
  'snapshot',
  'restore',
  'grow',
  'discard',
  'return',
  'why'
];

export function lease(
  changes: Partial<Lease> = {},
  enabled: Action[] = ['start']
): Lease {
  return {
    id: 'k7m2',
    course: 'local',
    lab: 'Shell basics',
    slot: 'main',
    person: 'ada',
    machine_profile: { name: 'tiny', revision: 1, title: PROFILE.title },
    generation: 1,
    target: 'stopped',
    status: 'stopped',
    phase: 'off',
    headline: 'Off',
    volumes: [
      {
        id: 'vol-1',
        size_bytes: 2 ** 30,
        mount_point: '/data',
        stage: 'available'
      }
    ],
    system_disk: 'kept',
    actions: ACTIONS.map(action => ({
      action,
      enabled: enabled.includes(action),
      reason: enabled.includes(action) ? '' : `Not ${action} now.`
    })),
    updated_at: at(0),
    ...changes
  };
}

export function job(changes: Partial<Job> = {}): Job {
  return {
    id: 'job-1',
    kind: 'start',
    created_at: at(0),
    in_flight: true,
    attempts: 1,
    progress: 0.2,
    estimate_s: 8,
    steps: [
      {
        name: 'volume',
        title: 'Make the volume',
        state: 'done',
        started_at: at(-3),
        ended_at: at(-1),
        estimate_s: 2
      },
      {
        name: 'boot',
        title: 'Boot',
        state: 'doing',
        waiting_for: 'The machine is booting',
        started_at: at(-1),
        estimate_s: 6
      },
      { name: 'mount', title: 'Mount', state: 'todo', estimate_s: 2 }
    ],
    ...changes
  };
}

export function snapshot(
  version: number,
  leases: Lease[] = [],
  seconds = version
): Snapshot {
  return {
    version,
    server_time: at(seconds),
    person: 'ada',
    course: 'local',
    cloud: { kind: 'local', name: 'bench', reachable: true },
    profiles: [PROFILE],
    leases
  };
}

/** Answers from memory; `fail` is thrown instead by the next call of that name. */
export class FakeClient implements ICloudClient {
  calls: string[] = [];
  current = snapshot(1);
  helloReply: Hello = { api_version: 1, package_version: '0.1.0' };
  fail: { [name: string]: unknown } = {};
  gate: Promise<void> | null = null;

  async hello(): Promise<Hello> {
    this._call('hello');
    return this.helloReply;
  }

  async snapshot(): Promise<Snapshot> {
    this._call('snapshot');
    return this.current;
  }

  async claim(body: { lab: string }): Promise<Lease> {
    this._call('claim', body.lab);
    await this.gate;
    return lease({ lab: body.lab });
  }

  async ask(id: string, action: string): Promise<void> {
    this._call(action, id);
    await this.gate;
  }

  async deleteMachine(id: string, body: { confirm: string }): Promise<void> {
    this._call('delete', `${id} ${body.confirm}`);
  }

  async wish(id: string, wish: Wish): Promise<void> {
    this._call('wish', `${id} ${JSON.stringify(wish)}`);
    await this.gate;
  }

  whyReply: Why = {
    lease_id: 'k7m2',
    healthy: true,
    findings: [],
    text: 'All well.'
  };

  async why(id: string): Promise<Why> {
    this._call('why', id);
    return this.whyReply;
  }

  accountsReply: Accounts = {
    lease_id: 'k7m2',
    lab: 'Shell basics',
    accounts: []
  };

  async accounts(id: string): Promise<Accounts> {
    this._call('accounts', id);
    await this.gate;
    return this.accountsReply;
  }

  auditPages: AuditPage[] = [{ entries: [] }];

  async audit(options: { before?: number }): Promise<AuditPage> {
    this._call('audit', String(options.before ?? ''));
    return options.before === undefined
      ? this.auditPages[0]
      : this.auditPages[1];
  }

  orphansReply: OrphanReport = { dry_run: true, orphans: [] };

  async orphans(): Promise<OrphanReport> {
    this._call('orphans');
    return this.orphansReply;
  }

  async reap(dryRun: boolean): Promise<OrphanReport> {
    this._call('reap', String(dryRun));
    return {
      ...this.orphansReply,
      dry_run: dryRun,
      acted: this.orphansReply.orphans.map(one => one.cloud_id)
    };
  }

  shelfReply: Shelf = { items: [] };

  async shelf(): Promise<Shelf> {
    this._call('shelf');
    return this.shelfReply;
  }

  async console(id: string): Promise<Console> {
    this._call('console', id);
    return { lease_id: id, text: 'hello', read_at: at(0) };
  }

  private _call(name: string, detail = ''): void {
    this.calls.push(`${name} ${detail}`.trim());
    if (name in this.fail) {
      const error = this.fail[name];
      delete this.fail[name];
      throw error;
    }
  }
}

export class FakeSocket implements IStateSocket {
  state: SocketState = 'closed';
  isDisposed = false;
  opened = 0;
  readonly stateChanged = new Signal<this, SocketState>(this);
  readonly received = new Signal<this, Snapshot>(this);

  open(): void {
    this.opened += 1;
  }

  become(state: SocketState): void {
    this.state = state;
    this.stateChanged.emit(state);
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

export class FakeSettings implements ICloudSettings {
  poll_s = 5;
  notifications = true;
  warnBeforeStop: ICloudSettings['warnBeforeStop'] = 'when-something-is-lost';
  defaultProfile = '';
  terminalFlowControl = true;
  showCalls = false;
  readonly changed = new Signal<this, void>(this);
}

export function parts(): {
  client: FakeClient;
  socket: FakeSocket;
  model: CloudModel;
} {
  const client = new FakeClient();
  const socket = new FakeSocket();
  const model = new CloudModel({
    client,
    socket,
    settings: new FakeSettings()
  });
  return { client, socket, model };
}

/** A context whose buttons write down what they were asked. */
export function viewContext(
  model: CloudModel
): IViewContext & { pressed: string[] } {
  const pressed: string[] = [];
  const note = (name: string) => (what: { lab: string }) => {
    pressed.push(`${name} ${what.lab}`);
  };
  const names: (keyof ICardActions)[] = [
    'start',
    'claim',
    'stop',
    'extend',
    'terminal',
    'console',
    'remove',
    'why'
  ];
  return {
    model,
    trans: nullTranslator.load('test'),
    actions: {
      ...(Object.fromEntries(
        names.map(name => [name, note(name)])
      ) as unknown as ICardActions),
      wish: (what: Lease, wish: CardWish) => {
        const on =
          'snapshot' in wish
            ? ` ${wish.snapshot.name}`
            : 'item' in wish
              ? ` ${wish.item.cloud_id}`
              : 'until' in wish
                ? ` ${wish.until}`
                : '';
        pressed.push(`${wish.kind}${on}`);
      }
    },
    pressed
  };
}

/** Let what is already due happen, without waiting for the clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await Promise.resolve();
  }
}
