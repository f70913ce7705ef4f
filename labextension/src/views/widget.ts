/**
 * The widget that `CloudPanel` of the notebook is shown by. Its model holds only which lab it is about.
 */

import { DOMWidgetModel, DOMWidgetView } from '@jupyter-widgets/base';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { WIDGET_MODULE } from '../tokens';

/** The classes that ipywidgets looks up by name. */
export function widgetExports(
  createPanel: (payload: unknown) => Widget
): Record<string, typeof DOMWidgetModel | typeof DOMWidgetView> {
  class CloudPanelModel extends DOMWidgetModel {
    defaults() {
      return {
        ...super.defaults(),
        _model_name: 'CloudPanelModel',
        _model_module: WIDGET_MODULE,
        _view_name: 'CloudPanelView',
        _view_module: WIDGET_MODULE,
        lab: '',
        machine_profile: '',
        slot: 'main'
      };
    }
  }

  class CloudPanelView extends DOMWidgetView {
    render(): void {
      super.render();
      this.listenTo(
        this.model,
        'change:lab change:machine_profile change:slot',
        () => this._show()
      );
    }

    processLuminoMessage(msg: Message): void {
      super.processLuminoMessage(msg);
      if (msg.type === 'after-attach') {
        this._show();
      } else if (msg.type === 'before-detach') {
        this._drop();
      }
    }

    remove(): void {
      this._drop();
      super.remove();
    }

    private _show(): void {
      this._drop();
      if (!this.el.isConnected) {
        return;
      }
      this._panel = createPanel({
        lab: this.model.get('lab'),
        machine_profile: this.model.get('machine_profile'),
        slot: this.model.get('slot')
      });
      Widget.attach(this._panel, this.el);
    }

    private _drop(): void {
      this._panel?.dispose();
      this._panel = null;
    }

    private _panel: Widget | null = null;
  }

  return { CloudPanelModel, CloudPanelView };
}
