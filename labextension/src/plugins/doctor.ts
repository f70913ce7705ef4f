/**
 * Why a machine hangs, in a tab.
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

export const doctorPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:doctor',
  description: 'Says why a lab machine hangs.',
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
      command: CommandIDs.why,
      name: 'educloud-why',
      label: trans.__('Ask Why Lab Machine Hangs'),
      caption: trans.__('Look at everything that is known about the machine'),
      type: trans.__('Doctor'),
      make: async leaseId => {
        const { WhyPanel } = await import('../views/whypanel');
        return new WhyPanel({ leaseId, model, trans });
      }
    });
  }
};
