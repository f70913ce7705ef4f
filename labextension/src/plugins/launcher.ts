/**
 * Cards in the launcher.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, DOMAIN } from '../tokens';

export const launcherPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:launcher',
  description: 'Adds the lab machine to the launcher.',
  autoStart: true,
  optional: [ILauncher, ITranslator],
  activate: (
    _: JupyterFrontEnd,
    launcher: ILauncher | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const category = trans.__('Lab Machine');
    launcher?.add({ command: CommandIDs.show, category, rank: 0 });
    launcher?.add({ command: CommandIDs.openTerminal, category, rank: 1 });
  }
};
