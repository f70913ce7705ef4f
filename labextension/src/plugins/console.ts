/**
 * The console log of a machine, in a tab.
 */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, DOMAIN, ICloudModel, ILabFinder } from '../tokens';
import { addLeaseTab } from './leasetab';

export const consolePlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:console',
  description: 'Shows the console log of a lab machine.',
  autoStart: true,
  requires: [ICloudModel],
  optional: [ILabShell, ILabFinder, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    labShell: ILabShell | null,
    finder: ILabFinder | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addLeaseTab({
      app,
      model,
      labShell,
      finder,
      restorer,
      trans,
      command: CommandIDs.openConsole,
      name: 'educloud-console',
      label: trans.__('Show Console Log of Lab Machine'),
      caption: trans.__('What the machine printed while it started'),
      type: trans.__('Console log'),
      make: async leaseId => {
        const { ConsoleLog } = await import('../views/consolelog');
        return new ConsoleLog({ leaseId, model, trans });
      }
    });
  }
};
