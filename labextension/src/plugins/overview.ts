/**
 * The course overview, in a tab: for those who answer for the course.
 */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addTab } from '../place';
import { CommandIDs, DOMAIN, ICloudModel } from '../tokens';
import type { Overview } from '../views/overview';

export const overviewPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:overview',
  description: 'Shows what is going on in the course.',
  autoStart: true,
  requires: [ICloudModel],
  optional: [ILabShell, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const tracker = new WidgetTracker<MainAreaWidget<Overview>>({
      namespace: 'educloud-overview'
    });
    app.commands.addCommand(CommandIDs.overview, {
      label: trans.__('Course Overview'),
      caption: trans.__(
        'What has no owner in the cloud, what is in the bin, and who did what'
      ),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        let widget = tracker.currentWidget;
        if (widget) {
          void widget.content.refresh();
        } else {
          const { Overview } = await import('../views/overview');
          const content = new Overview({ model, trans });
          widget = new MainAreaWidget({ content });
          widget.id = 'educloud-overview';
          content.fillToolbar(widget.toolbar);
          addTab(app.shell, widget, labShell ? 'main' : 'down', {
            type: trans.__('Course overview')
          });
          await tracker.add(widget);
        }
        app.shell.activateById(widget.id);
        return widget;
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.overview,
        name: () => 'overview',
        when: model.ready
      });
    }
  }
};
