/**
 * The terminals of the machines: JupyterLab's own manager and protocol, at our base URL.
 */

import { URLExt } from '@jupyterlab/coreutils';
import {
  ServerConnection,
  TerminalManager,
  type Terminal
} from '@jupyterlab/services';

import { requestUrl } from './request';

/** Below the Jupyter server's base URL. */
export const VM_PREFIX = 'educloud/vm/';

/** The lease and the number in a terminal's name `<lease_id>-<n>`; null when it is not such a name. */
export function parseName(name: string): { leaseId: string; n: number } | null {
  const match = /^(.+)-([1-9]\d*)$/.exec(name);
  return match ? { leaseId: match[1], n: Number(match[2]) } : null;
}

/** The first free name of a lease. */
export function freeName(leaseId: string, taken: Iterable<string>): string {
  const names = new Set(taken);
  let n = 1;
  while (names.has(`${leaseId}-${n}`)) {
    n += 1;
  }
  return `${leaseId}-${n}`;
}

/**
 * The REST half. JupyterLab's own refuses to work where an administrator has switched off the server's local terminals;
 * these are not local.
 */
export class VmTerminalClient implements Terminal.ITerminalAPIClient {
  constructor(readonly serverSettings: ServerConnection.ISettings) {}

  readonly isAvailable = true;

  startNew(options: { name?: string } = {}): Promise<Terminal.IModel> {
    return requestUrl(this._url(), this.serverSettings, {
      method: 'POST',
      body: JSON.stringify({ name: options.name })
    });
  }

  listRunning(): Promise<Terminal.IModel[]> {
    return requestUrl(this._url(), this.serverSettings);
  }

  async shutdown(name: string): Promise<void> {
    await requestUrl(this._url(name), this.serverSettings, {
      method: 'DELETE'
    });
  }

  private _url(name = ''): string {
    return URLExt.join(
      this.serverSettings.baseUrl,
      'api/terminals',
      encodeURIComponent(name)
    );
  }
}

/** A second manager beside the stock one. It asks the server only while `active`. */
export function createTerminalManager(
  serverSettings: ServerConnection.ISettings,
  active: () => boolean
): TerminalManager {
  const settings = ServerConnection.makeSettings({
    ...serverSettings,
    baseUrl: URLExt.join(serverSettings.baseUrl, VM_PREFIX),
    wsUrl: URLExt.join(serverSettings.wsUrl, VM_PREFIX)
  });
  return new TerminalManager({
    serverSettings: settings,
    terminalAPIClient: new VmTerminalClient(settings),
    standby: () => (active() ? 'when-hidden' : true)
  });
}
