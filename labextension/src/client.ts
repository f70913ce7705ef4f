/**
 * The verbs of our REST interface, typed. No state.
 */

import type { ServerConnection } from '@jupyterlab/services';

import { pathOf, request } from './request';
import type { Wish } from './tokens';
import type {
  Accounts,
  AuditPage,
  Console,
  DeleteRequest,
  Hello,
  Lease,
  LeaseRequest,
  OrphanReport,
  Shelf,
  Snapshot,
  Why
} from './wire';

/** What the manager needs of the server. */
export interface ICloudClient {
  hello(): Promise<Hello>;
  snapshot(): Promise<Snapshot>;
  claim(body: LeaseRequest): Promise<Lease>;
  ask(leaseId: string, action: 'start' | 'stop' | 'extend'): Promise<void>;
  deleteMachine(leaseId: string, body: DeleteRequest): Promise<void>;
  wish(leaseId: string, wish: Wish): Promise<void>;
  console(leaseId: string): Promise<Console>;
  why(leaseId: string): Promise<Why>;
  accounts(leaseId: string): Promise<Accounts>;
  audit(options: { leaseId?: string; before?: number }): Promise<AuditPage>;
  orphans(): Promise<OrphanReport>;
  reap(dryRun: boolean): Promise<OrphanReport>;
  shelf(): Promise<Shelf>;
}

/** The REST interface of the server half. Every method rejects with RequestError. */
export class CloudClient implements ICloudClient {
  constructor(options: CloudClient.IOptions) {
    this.serverSettings = options.serverSettings;
  }

  readonly serverSettings: ServerConnection.ISettings;

  hello(): Promise<Hello> {
    return request('hello', this.serverSettings);
  }

  snapshot(): Promise<Snapshot> {
    return request('snapshot', this.serverSettings);
  }

  claim(body: LeaseRequest): Promise<Lease> {
    return this._post('leases', body);
  }

  async ask(
    leaseId: string,
    action: 'start' | 'stop' | 'extend'
  ): Promise<void> {
    await this._post(pathOf('leases', leaseId, action), {});
  }

  async deleteMachine(leaseId: string, body: DeleteRequest): Promise<void> {
    await this._post(pathOf('leases', leaseId, 'delete'), body);
  }

  console(leaseId: string): Promise<Console> {
    return request(pathOf('leases', leaseId, 'console'), this.serverSettings);
  }

  async wish(leaseId: string, wish: Wish): Promise<void> {
    const { path, body } = routeOf(wish);
    await this._post(pathOf('leases', leaseId, ...path), body);
  }

  why(leaseId: string): Promise<Why> {
    return request(pathOf('leases', leaseId, 'why'), this.serverSettings);
  }

  accounts(leaseId: string): Promise<Accounts> {
    return request(pathOf('leases', leaseId, 'calls'), this.serverSettings);
  }

  audit(options: { leaseId?: string; before?: number }): Promise<AuditPage> {
    const { leaseId, before } = options;
    const path = leaseId ? pathOf('leases', leaseId, 'audit') : 'audit';
    const query = before === undefined ? '' : `?before=${before}`;
    return request(path + query, this.serverSettings);
  }

  orphans(): Promise<OrphanReport> {
    return request('orphans', this.serverSettings);
  }

  reap(dryRun: boolean): Promise<OrphanReport> {
    return this._post('orphans/reap', { dry_run: dryRun });
  }

  shelf(): Promise<Shelf> {
    return request('shelf', this.serverSettings);
  }

  private _post<T>(path: string, body: object): Promise<T> {
    return request<T>(path, this.serverSettings, {
      method: 'POST',
      body: JSON.stringify(body)
    });
  }
}

/** Where a wish goes, below its lease, and what goes with it. */
export function routeOf(wish: Wish): { path: string[]; body: object } {
  switch (wish.action) {
    case 'busy':
    case 'exempt':
      return { path: [wish.action], body: wish.body };
    case 'end-exemption':
      return { path: [wish.action], body: {} };
    case 'snapshot':
      return { path: ['snapshots'], body: wish.body };
    case 'restore':
      return { path: ['snapshots', wish.snapshotId, 'restore'], body: {} };
    case 'delete-snapshot':
      return { path: ['snapshots', wish.snapshotId, 'delete'], body: {} };
    case 'publish':
      return {
        path: ['snapshots', wish.snapshotId, 'publish'],
        body: { published: wish.published }
      };
    case 'grow':
      return { path: ['volume', 'grow'], body: wish.body };
    case 'discard':
      return { path: ['volume', 'discard'], body: { confirm: wish.confirm } };
    case 'return':
      return { path: ['bin', wish.itemId, 'return'], body: {} };
  }
}

export namespace CloudClient {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
  }
}
