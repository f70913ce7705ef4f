/**
 * Put the model together for one Jupyter server.
 */

import type { ServerConnection } from '@jupyterlab/services';

import { CloudClient } from './client';
import { CloudModel } from './manager';
import { StateSocket } from './socket';
import type { ICloudSettings } from './tokens';

export function createModel(
  serverSettings: ServerConnection.ISettings,
  settings: ICloudSettings
): CloudModel {
  return new CloudModel({
    client: new CloudClient({ serverSettings }),
    socket: new StateSocket({ serverSettings }),
    settings
  });
}
