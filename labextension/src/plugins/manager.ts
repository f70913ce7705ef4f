/**
 * The one model of the machines, shared by everything else.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';

import { ICloudModel, ICloudSettings } from '../tokens';

export const managerPlugin: JupyterFrontEndPlugin<ICloudModel> = {
  id: 'educloud-lab:manager',
  description: 'Provides the state of the lab machines.',
  autoStart: true,
  provides: ICloudModel,
  requires: [ICloudSettings],
  activate: async (
    app: JupyterFrontEnd,
    settings: ICloudSettings
  ): Promise<ICloudModel> => {
    const { createModel } = await import('../create');
    const model = createModel(app.serviceManager.serverSettings, settings);
    model.start(); // Not awaited: a slow server must not hold up the page.
    return model;
  }
};
