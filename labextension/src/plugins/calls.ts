/**
 * Says where "What just happened" is shown.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';

import { CallsShown } from '../callsshown';
import { ICallsShown, ICloudSettings, ILabFinder } from '../tokens';

export const callsPlugin: JupyterFrontEndPlugin<ICallsShown> = {
  id: 'educloud-lab:calls',
  description: 'Shows what each action called in the cloud.',
  autoStart: true,
  provides: ICallsShown,
  requires: [ICloudSettings],
  optional: [ILabFinder],
  activate: (
    _: JupyterFrontEnd,
    settings: ICloudSettings,
    finder: ILabFinder | null
  ): ICallsShown => new CallsShown(settings, finder)
};
