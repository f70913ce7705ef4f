/**
 * What the notebook in front needs: asked of the server when there is a notebook that says something of a lab.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import {
  CommandIDs,
  DOMAIN,
  ICloudModel,
  ICloudSettings,
  ILabFinder,
  ILabNeeds
} from '../tokens';
import type { NeedsReport } from '../wire';

export const needsPlugin: JupyterFrontEndPlugin<ILabNeeds> = {
  id: 'educloud-lab:needs',
  description: 'Tells whether what a notebook needs of a machine is here.',
  autoStart: true,
  provides: ILabNeeds,
  requires: [ICloudModel, ICloudSettings],
  optional: [ILabFinder, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    settings: ICloudSettings,
    finder: ILabFinder | null,
    state: IStateDB | null,
    translator: ITranslator | null
  ): ILabNeeds => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    let watch: ILabNeeds | null = null;
    const ask = async (metadata: unknown): Promise<NeedsReport> => {
      const { request } = await import('../request');
      return request('needs', app.serviceManager.serverSettings, {
        method: 'POST',
        body: JSON.stringify({ metadata })
      });
    };
    const needs = {
      changed: new Signal<ILabNeeds, void>({} as ILabNeeds),
      get report() {
        return watch?.report ?? null;
      },
      judge: ask
    };
    const begin = async () => {
      if (!finder?.says()) {
        return;
      }
      finder.changed.disconnect(begin);
      const [{ LabNeeds }, { Offer }] = await Promise.all([
        import('../needs'),
        import('../offer')
      ]);
      const offer = new Offer({
        model,
        trans,
        state,
        isShown: () => {
          const sidebar = document.getElementById('educloud-sidebar');
          return Boolean(sidebar?.offsetParent);
        },
        show: () => void app.commands.execute(CommandIDs.show)
      });
      watch = new LabNeeds({
        model,
        finder,
        ask,
        onReport: (says, report) => {
          if (settings.notifications) {
            // The sidebar may just be opened by the page's own layout, or by a link.
            void app.restored.then(() => offer.make(says, report));
          }
        }
      });
      watch.changed.connect(() => needs.changed.emit());
    };
    finder?.changed.connect(begin);
    void begin();
    return needs;
  }
};
