/**
 * The console log of a machine, in a tab.
 */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { chooseLease, obviousLease } from '../choose';
import { CommandIDs, DOMAIN, ICloudModel, ILabFinder } from '../tokens';
import type { ConsoleLog } from '../views/consolelog';

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
    const tracker = new WidgetTracker<MainAreaWidget<ConsoleLog>>({
      namespace: 'educloud-console'
    });
    app.commands.addCommand(CommandIDs.openConsole, {
      label: trans.__('Show Console Log of Lab Machine'),
      caption: trans.__('What the machine printed while it started'),
      describedBy: {
        args: {
          type: 'object',
          properties: {
            lease_id: {
              type: 'string',
              description: trans.__(
                'Id of the lease. Without it: the lab of the notebook in front, or the only machine there is.'
              )
            }
          }
        }
      },
      isEnabled: args =>
        Boolean(args.lease_id) ||
        obviousLease(model, finder, undefined) !== null,
      execute: async args => {
        let id = args.lease_id as string | undefined;
        id ??= (await chooseLease(model, finder, undefined, trans))?.id;
        if (!id) {
          return null;
        }
        const open = tracker.find(one => one.content.leaseId === id);
        if (open) {
          app.shell.activateById(open.id);
          void open.content.refresh();
          return open;
        }
        const { ConsoleLog } = await import('../views/consolelog');
        const content = new ConsoleLog({ leaseId: id, model, trans });
        const widget = new MainAreaWidget({ content });
        widget.id = `educloud-console-${id}`;
        content.fillToolbar(widget.toolbar);
        // Notebook 7's main area holds one thing only: the notebook.
        app.shell.add(widget, labShell ? 'main' : 'down', {
          mode: 'tab-after',
          type: trans.__('Console log')
        });
        await tracker.add(widget);
        app.shell.activateById(widget.id);
        return widget;
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openConsole,
        args: widget => ({ lease_id: widget.content.leaseId }),
        name: widget => widget.content.leaseId,
        when: model.ready
      });
    }
  }
};
