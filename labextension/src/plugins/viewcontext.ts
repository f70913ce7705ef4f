/**
 * What views are given: their buttons run commands, so that a click and the palette do the same.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { TranslationBundle } from '@jupyterlab/translation';

import { CommandIDs, type ICallsShown, type ICloudModel } from '../tokens';
import type { IViewContext } from '../views/context';

export function viewContext(
  app: JupyterFrontEnd,
  model: ICloudModel,
  trans: TranslationBundle,
  calls: ICallsShown | null = null
): IViewContext {
  const run = (id: string, args: Record<string, string>) => {
    void app.commands.execute(id, args);
  };
  return {
    model,
    trans,
    calls,
    actions: {
      start: lease => run(CommandIDs.start, { lease_id: lease.id }),
      claim: choice => run(CommandIDs.start, { ...choice }),
      stop: lease => run(CommandIDs.stop, { lease_id: lease.id }),
      extend: lease => run(CommandIDs.extend, { lease_id: lease.id }),
      terminal: lease => run(CommandIDs.openTerminal, { lease_id: lease.id }),
      console: lease => run(CommandIDs.openConsole, { lease_id: lease.id }),
      remove: lease => run(CommandIDs.deleteMachine, { lease_id: lease.id }),
      why: lease => run(CommandIDs.why, { lease_id: lease.id }),
      // No commands: a notebook's link could run those (docs/decisions/0020).
      wish: (lease, wish) => {
        void import('../wishes').then(({ askAndSend }) =>
          askAndSend(model, lease, wish, trans)
        );
      }
    }
  };
}
