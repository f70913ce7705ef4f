/**
 * The verbs of our REST interface, typed. No state.
 */

import type { ServerConnection } from '@jupyterlab/services';

import { pathOf, request } from './request';
import type {
  Console,
  DeleteRequest,
  Hello,
  Lease,
  LeaseRequest,
  Snapshot
} from './wire';

/** What the manager needs of the server. */
export interface ICloudClient {
  hello(): Promise<Hello>;
  snapshot(): Promise<Snapshot>;
  claim(body: LeaseRequest): Promise<Lease>;
  ask(leaseId: string, action: 'start' | 'stop' | 'extend'): Promise<void>;
  deleteMachine(leaseId: string, body: DeleteRequest): Promise<void>;
  console(leaseId: string): Promise<Console>;
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

  private _post<T>(path: string, body: object): Promise<T> {
    return request<T>(path, this.serverSettings, {
      method: 'POST',
      body: JSON.stringify(body)
    });
  }
}

export namespace CloudClient {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
  }
}
