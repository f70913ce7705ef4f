/**
 * The one state of the machines in this page. Sidebar, panels, notifications and commands all read it; nothing else
 * talks to the server. It knows no DOM.
 */

import { PromiseDelegate } from '@lumino/coreutils';
import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';

import type { ICloudClient } from './client';
import { RequestError } from './request';
import type { IStateSocket } from './socket';
import {
  labKey,
  type ICloudModel,
  type ICloudSettings,
  type ILabChoice,
  type Pending,
  type ServerState,
  type Wish
} from './tokens';
import {
  API_VERSION,
  type Accounts,
  type AuditPage,
  type Console,
  type Lease,
  type OrphanReport,
  type Problem,
  type Shelf,
  type Snapshot,
  type Why
} from './wire';

/** After the socket gave up (a proxy may forbid websockets), it is tried again this much later. */
const SOCKET_REST_MS = 300_000;
const LONGEST_POLL_MS = 60_000;

export class CloudModel implements ICloudModel {
  constructor(options: CloudModel.IOptions) {
    this._client = options.client;
    this._socket = options.socket;
    this._settings = options.settings;
    this._socket.received.connect(this._onReceived, this);
    this._socket.stateChanged.connect(this._onSocketState, this);
    this._settings.changed.connect(this._onSettings, this);
    this._poll = new Poll({
      name: 'educloud-lab:CloudModel#poll',
      auto: false,
      factory: () => this._onPoll(),
      frequency: this._frequency(),
      // Asks only while changes do not arrive by themselves, and not for a page that nobody sees.
      standby: () => (this.isLive ? true : 'when-hidden')
    });
  }

  get serverState(): ServerState {
    return this._serverState;
  }

  get serverProblem(): Problem | null {
    return this._serverProblem;
  }

  get serverVersion(): string {
    return this._serverVersion;
  }

  get snapshot(): Snapshot | null {
    return this._snapshot;
  }

  get isLive(): boolean {
    return this._socket.state === 'open' && this._serverState === 'ok';
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get ready(): Promise<void> {
    return this._ready.promise;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._settings.changed.disconnect(this._onSettings, this);
    this._socket.received.disconnect(this._onReceived, this);
    this._socket.stateChanged.disconnect(this._onSocketState, this);
    this._poll.dispose();
    this._socket.dispose();
    Signal.clearData(this);
  }

  /** Ask for the first time, and go on asking. Does not wait for the answer. */
  start(): void {
    if (this._started || this._isDisposed) {
      return;
    }
    this._started = true;
    void this.refresh().then(() => {
      if (!this._isDisposed) {
        void this._poll.start();
      }
    });
  }

  now_ms(): number {
    return Date.now() + this._clockOffset_ms;
  }

  lease(id: string): Lease | null {
    return this._snapshot?.leases.find(lease => lease.id === id) ?? null;
  }

  leaseOfLab(lab: string, slot = 'main'): Lease | null {
    return (
      this._snapshot?.leases.find(
        lease => lease.lab === lab && lease.slot === slot
      ) ?? null
    );
  }

  pending(key: string): Pending | null {
    return this._pending.get(key) ?? null;
  }

  refusal(key: string): Problem | null {
    return this._refusals.get(key)?.problem ?? null;
  }

  /** Several callers at once share one round of questions. */
  refresh(): Promise<void> {
    this._refreshing ??= this._refresh().finally(() => {
      this._refreshing = null;
    });
    return this._refreshing;
  }

  async claim(choice: ILabChoice): Promise<Lease | null> {
    const key = labKey(choice.lab, choice.slot);
    let lease: Lease | null = null;
    await this._act(key, 'start', async () => {
      lease = await this._client.claim({ ...choice, start: true });
    });
    return lease;
  }

  ask(leaseId: string, action: 'start' | 'stop' | 'extend'): Promise<boolean> {
    return this._act(leaseId, action, () => this._client.ask(leaseId, action));
  }

  deleteMachine(leaseId: string, confirm: string): Promise<boolean> {
    return this._act(leaseId, 'delete', () =>
      this._client.deleteMachine(leaseId, { confirm })
    );
  }

  wish(leaseId: string, wish: Wish): Promise<boolean> {
    return this._act(leaseId, wish.action, () =>
      this._client.wish(leaseId, wish)
    );
  }

  console(leaseId: string): Promise<Console> {
    return this._client.console(leaseId);
  }

  why(leaseId: string): Promise<Why> {
    return this._client.why(leaseId);
  }

  accounts(leaseId: string): Promise<Accounts> {
    return this._client.accounts(leaseId);
  }

  audit(options: { leaseId?: string; before?: number }): Promise<AuditPage> {
    return this._client.audit(options);
  }

  orphans(): Promise<OrphanReport> {
    return this._client.orphans();
  }

  reap(dryRun: boolean): Promise<OrphanReport> {
    return this._client.reap(dryRun);
  }

  shelf(): Promise<Shelf> {
    return this._client.shelf();
  }

  /** One action at a time for one key: a second press of a button while the first is on its way does nothing. */
  private async _act(
    key: string,
    action: Pending,
    call: () => Promise<void>
  ): Promise<boolean> {
    if (this._pending.has(key)) {
      return false;
    }
    this._pending.set(key, action);
    this._refusals.delete(key);
    this._emit();
    let done = false;
    try {
      await call();
      done = true;
    } catch (error) {
      this._refusals.set(key, {
        problem: problemOf(error),
        updatedAt: this.lease(key)?.updated_at ?? null
      });
    }
    if (!this._isDisposed) {
      try {
        // The answer should be on the screen before the button is free again.
        this._take(await this._client.snapshot(), false);
      } catch {
        // The socket or the next poll brings it; the outcome of the action is known.
      }
    }
    this._pending.delete(key);
    this._emit();
    return done;
  }

  private async _refresh(): Promise<void> {
    try {
      if (this._serverState !== 'ok') {
        const hello = await this._client.hello();
        if (this._isDisposed) {
          return;
        }
        this._serverVersion = hello.package_version;
        if (hello.api_version !== API_VERSION) {
          const older = hello.api_version < API_VERSION;
          this._setServer(older ? 'too-old' : 'too-new', null);
          return;
        }
        if (hello.problem) {
          this._setServer('problem', hello.problem);
          return;
        }
      }
      const snapshot = await this._client.snapshot();
      if (this._isDisposed) {
        return;
      }
      this._serverState = 'ok';
      this._serverProblem = null;
      this._take(snapshot, true);
      this._emit();
      this._openSocket();
    } catch (error) {
      if (!this._isDisposed) {
        const status = error instanceof RequestError ? error.status : -1;
        this._setServer(Private.stateOf(status, error), problemOf(error));
      }
    } finally {
      this._ready.resolve();
    }
  }

  private async _onPoll(): Promise<void> {
    if (this._serverState === 'missing') {
      return; // Installing it needs a restart of the server; "Try again" asks at once.
    }
    await this.refresh();
    if (this._serverState === 'unreachable') {
      throw new Error('The Jupyter server does not answer.'); // The poll then backs off.
    }
  }

  private _openSocket(): void {
    const rested = Date.now() - this._gaveUpAt_ms > SOCKET_REST_MS;
    if (this._socket.state === 'closed' && rested) {
      this._socket.open();
    }
  }

  private _onReceived(_: IStateSocket, snapshot: Snapshot): void {
    if (this._take(snapshot, false)) {
      this._emit();
    }
  }

  private _onSocketState(socket: IStateSocket): void {
    if (socket.state === 'closed') {
      this._gaveUpAt_ms = Date.now();
    }
    if (socket.state === 'open') {
      // What happened while it was down was not sent.
      void this.refresh();
    } else {
      void this._poll.schedule();
    }
    this._emit();
  }

  private _onSettings(): void {
    this._poll.frequency = this._frequency();
  }

  private _frequency(): Poll['frequency'] {
    return {
      interval: this._settings.poll_s * 1000,
      backoff: true,
      max: LONGEST_POLL_MS
    };
  }

  /**
   * Take a snapshot unless it is older than what is known.
   *
   * Versions only grow, except where the server's store was replaced: a snapshot that was asked for anew may therefore
   * have a lower version, if the server's clock says that it is newer.
   */
  private _take(next: Snapshot, askedAnew: boolean): boolean {
    const last = this._snapshot;
    if (last && next.version < last.version) {
      const newer = Date.parse(next.server_time) > Date.parse(last.server_time);
      if (!askedAnew || !newer) {
        return false;
      }
    }
    this._snapshot = next;
    this._clockOffset_ms = Date.parse(next.server_time) - Date.now();
    for (const [key, refusal] of this._refusals) {
      const updatedAt = this.lease(key)?.updated_at ?? null;
      if (refusal.updatedAt !== updatedAt && !this._pending.has(key)) {
        this._refusals.delete(key); // The lease moved on: the refusal is history.
      }
    }
    return true;
  }

  private _setServer(state: ServerState, problem: Problem | null): void {
    this._serverState = state;
    this._serverProblem = problem;
    this._emit();
  }

  private _emit(): void {
    if (!this._isDisposed) {
      this._changed.emit();
    }
  }

  private _client: ICloudClient;
  private _socket: IStateSocket;
  private _settings: ICloudSettings;
  private _poll: Poll;
  private _ready = new PromiseDelegate<void>();
  private _refreshing: Promise<void> | null = null;
  private _serverState: ServerState = 'connecting';
  private _serverProblem: Problem | null = null;
  private _serverVersion = '';
  private _snapshot: Snapshot | null = null;
  private _clockOffset_ms = 0;
  private _gaveUpAt_ms = -Infinity;
  private _pending = new Map<string, Pending>();
  private _refusals = new Map<
    string,
    { problem: Problem; updatedAt: string | null }
  >();
  private _started = false;
  private _isDisposed = false;
  private _changed = new Signal<this, void>(this);
}

export namespace CloudModel {
  export interface IOptions {
    client: ICloudClient;
    socket: IStateSocket;
    settings: ICloudSettings;
  }
}

/** The problem that an error carries, or one made of its message. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RequestError) {
    return error.problem;
  }
  return {
    code: 'page',
    what: error instanceof Error ? error.message : String(error),
    kept: '',
    next_step: '',
    at: null
  };
}

namespace Private {
  export function stateOf(status: number, error: unknown): ServerState {
    if (status === 404) {
      return 'missing';
    }
    // A Hub or a proxy answers for a server that is not running.
    if (status === 0 || [424, 502, 503, 504].includes(status)) {
      return error instanceof RequestError &&
        !error.problem.code.startsWith('http-') &&
        status !== 0
        ? 'problem'
        : 'unreachable';
    }
    return 'problem';
  }
}
