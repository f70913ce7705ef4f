/**
 * One notification for each job, updated in place; and a warning before a machine is put to sleep.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { DOMAIN, ICloudModel, ICloudSettings } from '../tokens';

export const notificationsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:notifications',
  description: 'Notifies about the lab machines.',
  autoStart: true,
  requires: [ICloudModel, ICloudSettings],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    settings: ICloudSettings,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const follow = async () => {
      if (!model.snapshot?.leases.length) {
        return;
      }
      model.changed.disconnect(follow);
      const { followAll } = await import('../jobnotifications');
      followAll({ model, settings, trans, commands: app.commands });
    };
    model.changed.connect(follow);
  }
};
