/**
 * The status bar item: how the machine is, and the time left.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { PanelLayout, Widget } from '@lumino/widgets';

import { DOMAIN, ICloudModel, ILabFinder } from '../tokens';
import { viewContext } from './viewcontext';

export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:status',
  description: 'Shows the lab machine in the status bar.',
  autoStart: true,
  requires: [ICloudModel],
  optional: [IStatusBar, ILabFinder, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    statusBar: IStatusBar | null,
    finder: ILabFinder | null,
    translator: ITranslator | null
  ): void => {
    if (!statusBar) {
      return; // Notebook 7 has none.
    }
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const item = new Widget();
    item.addClass('educloud-status');
    const layout = (item.layout = new PanelLayout());
    void import('../views/status').then(({ statusView }) => {
      layout.addWidget(
        statusView(viewContext(app, model, trans), finder, app.commands)
      );
    });
    const active = () => (model.snapshot?.leases.length ?? 0) > 0;
    const activeStateChanged = new Signal<Widget, void>(item);
    let wasActive = active();
    model.changed.connect(() => {
      if (active() !== wasActive) {
        wasActive = active();
        activeStateChanged.emit();
      }
    });
    statusBar.registerStatusItem('educloud-lab:status', {
      item,
      align: 'left',
      rank: 5,
      isActive: active,
      activeStateChanged
    });
  }
};
