/**
 * A command that shows a tab about one lease: the one that is open, else a new one, which comes back after a reload.
 */

import type {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd
} from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { chooseLease, obviousLease } from '../choose';
import { addTab } from '../place';
import type { ICloudModel, ILabFinder } from '../tokens';

/** What stands in such a tab. */
export interface ILeaseTab extends Widget {
  readonly leaseId: string;
  /** Look again. Never rejects. */
  refresh(): Promise<void>;
  fillToolbar(toolbar: MainAreaWidget['toolbar']): void;
}

export interface ILeaseTabOptions {
  app: JupyterFrontEnd;
  model: ICloudModel;
  labShell: ILabShell | null;
  finder: ILabFinder | null;
  restorer: ILayoutRestorer | null;
  trans: TranslationBundle;
  command: string;
  /** Begins the ids of the tabs. */
  name: string;
  label: string;
  caption: string;
  /** What the tab is, for the shell. */
  type: string;
  make(leaseId: string): Promise<ILeaseTab>;
}

export function addLeaseTab(
  options: ILeaseTabOptions
): WidgetTracker<MainAreaWidget<ILeaseTab>> {
  const { app, model, finder, restorer, trans, command, name } = options;
  const tracker = new WidgetTracker<MainAreaWidget<ILeaseTab>>({
    namespace: name
  });
  app.commands.addCommand(command, {
    label: options.label,
    caption: options.caption,
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
      Boolean(args.lease_id) || obviousLease(model, finder, undefined) !== null,
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
      const content = await options.make(id);
      const widget = new MainAreaWidget({ content });
      widget.id = `${name}-${id}`;
      content.fillToolbar(widget.toolbar);
      addTab(app.shell, widget, options.labShell ? 'main' : 'down', {
        mode: 'tab-after',
        type: options.type
      });
      await tracker.add(widget);
      app.shell.activateById(widget.id);
      return widget;
    }
  });
  if (restorer) {
    void restorer.restore(tracker, {
      command,
      args: widget => ({ lease_id: widget.content.leaseId }),
      name: widget => widget.content.leaseId,
      when: model.ready
    });
  }
  return tracker;
}
