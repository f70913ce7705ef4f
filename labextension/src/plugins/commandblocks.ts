/**
 * Shell blocks in a lab's text get a button that types them into the machine's terminal.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import {
  CommandIDs,
  DOMAIN,
  ICloudModel,
  ILabFinder,
  IMachineTerminals
} from '../tokens';

export const commandBlocksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:command-blocks',
  description: 'Types shell blocks of a lab into the terminal of its machine.',
  autoStart: true,
  requires: [ICloudModel, IMachineTerminals],
  optional: [INotebookTracker, ILabFinder, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    terminals: IMachineTerminals,
    tracker: INotebookTracker | null,
    finder: ILabFinder | null,
    translator: ITranslator | null
  ): void => {
    if (!tracker || !finder) {
      return;
    }
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const begin = async () => {
      if (!finder.says()) {
        return;
      }
      finder.changed.disconnect(begin);
      const { followNotebooks } = await import('../commandblocks');
      followNotebooks({
        tracker,
        model,
        terminals,
        trans,
        start: choice =>
          void app.commands.execute(CommandIDs.start, { ...choice })
      });
    };
    finder.changed.connect(begin);
    void begin();
  }
};
